"""Who is in the ingested CRM: whom a row that arrives is about, and who may write about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from features.crm import Crm
from features.settings import Settings
from serving.auth import Principal
from serving.batch import held_out

OWNERS = {"contract_id": "contracts", "opportunity_id": "opportunities", "lead_id": "leads"}


@dataclass(frozen=True)
class People:
    """Who is in the CRM.

    Attributes:
        folder: of the CRM.
        owners: id column → id → account.
        accounts: account → its id, owner and region.
        held_out: the accounts that are held out.
    """

    folder: Path | None
    owners: dict[str, dict[str, str]]
    accounts: dict[str, dict[str, Any]]
    held_out: frozenset[str]

    def account(self, row: Mapping[str, Any]) -> str | None:
        """The account of a row: its own, or that of the contract, deal or lead it belongs to."""
        if row.get("account_id") not in (None, ""):
            return str(row["account_id"])
        for column, owners in self.owners.items():
            if row.get(column) is not None and str(row[column]) in owners:
                return owners[str(row[column])]
        return None

    def unwelcome(self, account: str | None, principal: Principal) -> str | None:
        """Why a row about an account is refused, None where it is not."""
        known = self.accounts.get(account or "")
        if known is not None and principal.sees(known):
            return None
        told = f"there is no account {account!r} in the CRM" if account else "is missing"
        return f"account_id: {told}"


def people_of(crm: Crm, settings: Settings) -> People:
    """The people of a CRM."""
    columns = [name for name in ("account_id", "owner_id", "region") if crm.has("accounts", name)]
    accounts = {row["account_id"]: row for row in crm.arrow("accounts", columns).to_pylist()}
    ids = pd.Series(list(accounts), dtype=object)
    return People(crm.folder, account_of(crm), accounts, frozenset(ids[held_out(ids, settings)]))


def account_of(crm: Crm) -> dict[str, dict[str, str]]:
    """For contracts, opportunities and leads: id → account."""
    found = {}
    for column, table in OWNERS.items():
        if crm.has(table, column, "account_id"):
            rows = crm.arrow(table, [column, "account_id"])
            found[column] = dict(zip(rows[column].to_pylist(), rows["account_id"].to_pylist(), strict=True))
    return found
