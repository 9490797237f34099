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


def peer_rows(plan: Plan, tables: dict[str, Columns], snapshots: Columns) -> Columns:
    """(m,) columns of every feature that spans accounts, and of those that others are calculated from.

    Args:
        plan: what to answer.
        tables: whole tables, every account's rows.
        snapshots: account_id, owner_id, contract_id, opportunity_id, as_of, lead_days; m rows.
    """
    if not plan.across:
        return {}
    as_of = snapshots["as_of"]
    assert isinstance(as_of, np.ndarray)
    midnight = np.where(as_of == MISSING, MISSING, as_of - as_of % DAY)
    asked = {**snapshots, "as_of": midnight}
    if "industry" in tables.get("accounts", {}):
        accounts = tables["accounts"]
        asked["industry"] = look_up(snapshots["account_id"], accounts["account_id"], accounts["industry"])
    put = Asked(plan.kind, Ledger(tables, known_ids(asked)), asked)
    found: dict[str, Column] = {feature.name: answer(put, feature) for feature in plan.across}
    for derived in plan.across_derived:
        found[derived.name] = derived.formula(*(found[need] for need in derived.needs))
    return found
