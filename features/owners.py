"""Whose a contract or deal is: its own owner's by today's data, else its account's owner's.

That one decides who may see it, on every route and page, whoever owned it at the moment it is looked at.
"""

from collections.abc import Mapping

import pandas as pd

from features.columns import KEYS
from features.crm.contract import SUBJECTS
from features.crm.crm import Crm


def owners_of(crm: Crm, kind: str, subjects: pd.Series) -> pd.Series:
    """The owners of contracts or deals.

    Args:
        crm: the data.
        kind: `renewal` (contracts) or `win` (opportunities).
        subjects: (n) their ids.

    Returns:
        (n) owner ids as text, missing where neither the subject nor its account has one; index as `subjects`.
    """
    table = SUBJECTS[kind]
    columns = [name for name in (KEYS[table], "account_id", "owner_id") if crm.has(table, name)]
    rows = crm.frame(table, columns).reindex(columns=[KEYS[table], "account_id", "owner_id"]).astype("string")
    deciding = rows["owner_id"].fillna(rows["account_id"].map(account_owners(crm)).astype("string"))
    by_subject = deciding.set_axis(rows[KEYS[table]])
    by_subject = by_subject[~by_subject.index.duplicated()]
    owners = by_subject.reindex(subjects.astype("string")).set_axis(subjects.index)
    return owners.astype("string").rename("owner_id")


def account_owners(crm: Crm) -> pd.Series:
    """The owner of each account that has one, by account id."""
    if not crm.has("accounts", "owner_id"):
        return pd.Series(dtype="string")
    rows = crm.frame("accounts", ["account_id", "owner_id"]).dropna().drop_duplicates("account_id")
    return rows.set_index("account_id")["owner_id"].astype("string")


def teams(crm: Crm) -> dict[str, frozenset[str]]:
    """Manager → the owners who report to them, directly or through others, and themselves.

    A circle of managers makes one team of all its members.
    """
    if not crm.has("owners", "manager_id"):
        return {}
    rows = crm.frame("owners", ["owner_id", "manager_id"]).dropna().astype(str)
    rows = rows[rows["manager_id"].str.strip() != ""]
    reports: dict[str, set[str]] = {}
    for owner, manager in zip(rows["owner_id"], rows["manager_id"], strict=True):
        reports.setdefault(manager, set()).add(owner)
    return {manager: frozenset(_below(manager, reports)) for manager in reports}


def _below(manager: str, reports: Mapping[str, set[str]]) -> set[str]:
    team, waiting = {manager}, [manager]
    while waiting:
        fresh = reports.get(waiting.pop(), set()) - team
        team |= fresh
        waiting += fresh
    return team


def owner_names(crm: Crm) -> dict[str, str]:
    """Owner → name, where the CRM has it."""
    if not crm.has("owners", "owner_id", "name"):
        return {}
    owners = crm.frame("owners", ["owner_id", "name"]).dropna()
    return dict(zip(owners["owner_id"].astype(str), owners["name"].astype(str), strict=True))
