"""What happened with one customer, in words, from the ingested CRM and from live arrivals."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from features.columns import KEYS
from features.crm.contract import TABLES
from features.crm.crm import Crm

MOST = 80
_SOURCES = ("activities", "quotes", "surveys", "cases", "invoices", "opportunities", "contracts")


def customer(crm: Crm, account_id: str) -> dict[str, Any] | None:
    """The account's row, money in units; None: the CRM has no such account."""
    rows = _rows(crm, "accounts", account_id)
    if not rows:
        return None
    row = rows[0]
    if row.get("annual_revenue") is not None:
        row["annual_revenue"] /= 100
    return row


Sees = Callable[[Mapping[str, Any]], bool]
"""Whether a visitor may see what has this `owner_id` and `region`."""


def happened(
    crm: Crm | None, account_id: str, live: list[dict[str, Any]], sees: Sees = lambda row: True
) -> list[dict[str, Any]]:
    """Events of an account, newest first, at most 80: `at`, `known_at`, `words`, `table`, `is_live`.

    An event counts for scores made after `known_at`: when it had happened and was recorded. What belongs to a
    contract or deal is shown to who may see that one; what belongs to the account alone, to all on the page.
    """
    rows = [
        (table, row, False)
        for table in _SOURCES
        if crm is not None and table in crm.tables
        for row in _rows(crm, table, account_id)
    ]
    rows += [(each["crm_table"], each["payload"], True) for each in live]
    hidden = _hidden(crm, account_id, sees)
    shown = [each for each in rows if not _subjects_of(each[1]) & hidden]
    dated = [event for event in (_event(*each) for each in shown) if event is not None]
    return sorted(dated, key=lambda event: event["at"], reverse=True)[:MOST]


def _hidden(crm: Crm | None, account_id: str, sees: Sees) -> set[tuple[str, str]]:
    """The contracts and deals of an account that a visitor may not see, as (column, id)."""
    if crm is None:
        return set()
    account = customer(crm, account_id) or {}
    hidden = set()
    for table in ("contracts", "opportunities"):
        key = KEYS[table]
        for row in _rows(crm, table, account_id) if table in crm.tables else ():
            owner = row.get("owner_id") or account.get("owner_id")
            if not sees({"owner_id": owner, "region": account.get("region")}):
                hidden.add((key, str(row[key])))
    return hidden


def _subjects_of(row: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(key, str(row[key])) for key in KEYS.values() if row.get(key) is not None}


def _rows(crm: Crm, table: str, account_id: str) -> list[dict[str, Any]]:
    """An account's rows; the files are sorted by account, so that little of them is read."""
    if not crm.has(table, "account_id"):
        return []
    return pq.read_table(crm.path(table), filters=[("account_id", "==", account_id)]).to_pylist()


def _event(table: str, row: Mapping[str, Any], is_live: bool) -> dict[str, Any] | None:
    moment = row.get(TABLES[table].time or "") if table in TABLES else None
    if moment is None:
        return None
    at: Any = pd.to_datetime(moment, errors="coerce", utc=True)
    if pd.isna(at):
        return None
    words = _WORDS[table](row) if table in _WORDS else table.replace("_", " ")
    written: Any = row.get("recorded_at")
    recorded: Any = pd.to_datetime(written, errors="coerce", utc=True)
    known_at = at if pd.isna(recorded) else max(at, recorded)
    plain = {
        "at": at.tz_localize(None).to_pydatetime(),
        "known_at": known_at.tz_localize(None).to_pydatetime(),
    }
    return {**plain, "words": words, "table": table, "is_live": is_live}


def _activity(row: Mapping[str, Any]) -> str:
    kind = str(row.get("kind") or "activity").replace("_", " ")
    parts = [kind.capitalize()]
    if row.get("direction"):
        parts.append(
            {"inbound": "from them", "outbound": "by us"}.get(row["direction"], str(row["direction"]))
        )
    seconds = row.get("duration_seconds") or 60 * float(row.get("duration_minutes") or 0)
    if seconds:
        parts.append(f"{seconds / 60:.0f} minutes")
    if row.get("outcome"):
        parts.append(str(row["outcome"]).replace("_", " "))
    return ", ".join(parts)


def _quote(row: Mapping[str, Any]) -> str:
    listed, net = row.get("list_amount"), row.get("net_amount")
    if not listed or net is None:
        return "Quote"
    cut = 100 * (1 - float(net) / float(listed))
    return f"Quote, {cut:.0f} % off list" if cut >= 0.5 else "Quote at list price"


def _survey(row: Mapping[str, Any]) -> str:
    name = str(row.get("kind") or "survey").upper()
    return f"{name} survey: {row['score']:g}" if row.get("score") is not None else f"{name} survey, no answer"


def _case(row: Mapping[str, Any]) -> str:
    parts = ["Support case", *(str(row[name]) for name in ("priority",) if row.get(name))]
    return ", ".join([*parts, *(["escalated"] if row.get("escalated") else [])])


def _invoice(row: Mapping[str, Any]) -> str:
    paid, due = row.get("paid_at"), row.get("due_at")
    if paid is None:
        return "Invoice, not paid"
    late = (pd.Timestamp(paid) - pd.Timestamp(due)).days if due is not None else 0
    return f"Invoice, paid {late} days late" if late > 0 else "Invoice, paid in time"


def _opportunity(row: Mapping[str, Any]) -> str:
    won = row.get("is_won")
    state = "" if won is None else ", won" if won else ", lost"
    return f"Opportunity {row.get('opportunity_id', '')} opened{state}"


def _contract(row: Mapping[str, Any]) -> str:
    return f"Contract {row.get('contract_id', '')} began"


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "activities": _activity,
    "quotes": _quote,
    "surveys": _survey,
    "cases": _case,
    "invoices": _invoice,
    "opportunities": _opportunity,
    "contracts": _contract,
}
