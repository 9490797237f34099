"""What spans accounts: an owner's record and load, the industry's discounts; as of the midnight before the
snapshot.

It is a pass of its own because its groups (owners, industries) cut across the account partitions. Midnight
(UTC) makes
it the same in nightly and live scoring.
"""

import numpy as np

from features.answers import Asked, answer, known_ids
from features.arrays import Column, Columns
from features.as_of import DAY, MISSING
from features.catalog import Plan
from features.event_columns import look_up
from features.ledger import Ledger


class Peers:
    """What spans accounts for the subjects of one model.

    Args:
        plan: what to answer.
        tables: whole tables, every account's rows.
        subjects: account_id, owner_id, contract_id, opportunity_id of every subject that may be asked about.
    """

    def __init__(self, plan: Plan, tables: dict[str, Columns], subjects: Columns) -> None:
        self.plan, self.tables = plan, tables
        self.ledger = Ledger(tables, known_ids(self.industries(subjects)))

    def _industry(self, account_id: Column) -> dict[str, Column]:
        accounts = self.tables.get("accounts", {})
        if "industry" not in accounts:
            return {}
        return {"industry": look_up(account_id, accounts["account_id"], accounts["industry"])}

    def industries(self, subjects: Columns) -> Columns:
        """The subjects with their accounts' industry, where accounts have one: what `rows` asks by."""
        return {**subjects, **self._industry(subjects["account_id"])}

    def rows(self, snapshots: Columns) -> Columns:
        """(m,) columns of every feature that spans accounts, and of those that others are calculated from.

        Args:
            snapshots: account_id, owner_id, contract_id, opportunity_id, as_of, lead_days, and `industry`
            if it is known already; m rows.
        """
        as_of = snapshots["as_of"]
        assert isinstance(as_of, np.ndarray)
        midnight = np.where(as_of == MISSING, MISSING, as_of - as_of % DAY)
        asked = snapshots if "industry" in snapshots else self.industries(snapshots)
        put = Asked(self.plan.kind, self.ledger, {**asked, "as_of": midnight})
        found: dict[str, Column] = {feature.name: answer(put, feature) for feature in self.plan.across}
        for derived in self.plan.across_derived:
            found[derived.name] = derived.formula(*(found[need] for need in derived.needs))
        return found
