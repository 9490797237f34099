"""What was known before `until`: the CRM as if today were that day.

Rows first known at or after it are left out, later moments of a row and what comes with them are made null,
and outcomes decided at or after it are open again.
"""

from collections.abc import Iterable

import duckdb
import pandas as pd

from features.crm.contract import TABLES, Column
from features.crm.values import literal, quoted

RENEWAL_KNOWN_AFTER_DAYS = 45
"""Without `decided_at` a contract's outcome counts as known so many days after its end."""


def value_of(name: str) -> str:
    """The name, in the drafted views, of a stored column's value."""
    return quoted(f"__{name}")


def first_known(table: str, present: Iterable[str]) -> str | None:
    """An SQL expression for the moment from which a row was known, None for tables without one.

    A planned meeting was known when it was recorded; a survey that was never asked, when it was answered.
    """
    order = {"activities": ("recorded_at", "occurred_at"), "surveys": ("asked_at", "answered_at")}
    time = TABLES[table].time
    columns = [name for name in order.get(table, (time,) if time else ()) if name in set(present)]
    return f"coalesce({', '.join(value_of(name) for name in columns)})" if columns else None


def _recorded(table: str, present: set[str]) -> list[str]:
    """Moments that prove the CRM was still kept then: not plans, nor contract or expected close dates."""
    if table == "activities":
        unplanned = f"CASE WHEN lower({value_of('kind')}) <> 'meeting' THEN {value_of('occurred_at')} END"
        return [
            f"coalesce({value_of('recorded_at')}, {unplanned})" if "recorded_at" in present else unplanned
        ]
    outcomes = {"contracts": ("renewed", "decided_at"), "opportunities": ("is_won", "closed_at")}
    moments = [] if table in ("contracts", "campaigns") else [TABLES[table].time or ""]
    if table not in outcomes:
        moments += TABLES[table].seconds
    recorded = [value_of(name) for name in moments if name in present]
    if table in outcomes and set(outcomes[table]) <= present:
        outcome, at = (value_of(name) for name in outcomes[table])
        recorded.append(f"CASE WHEN {outcome} IS NOT NULL THEN {at} END")
    return recorded


def _decided_undated(present: set[str]) -> bool:
    """Whether contracts have outcomes without the moment they were decided at."""
    return {"end_date", "renewed"} <= present and "decided_at" not in present


def last_midnight(
    connection: duckdb.DuckDBPyConnection, drafted: dict[str, set[str]], now: pd.Timestamp
) -> pd.Timestamp | None:
    """The next midnight after the last moment the data records, None where it records none.

    Moments from `now` on are plans or slips of the pen and don't count.

    Args:
        connection: holds a view `draft_<table>` of each drafted table.
        drafted: stored columns by table.
        now: naive UTC.
    """
    recorded = {table: _recorded(table, present) for table, present in drafted.items()}
    last = _latest(connection, recorded, now)
    contracts = drafted.get("contracts", set())
    if last is None and "start_date" in contracts:
        last = _latest(connection, {"contracts": [value_of("start_date")]}, now)
    decided = _last_decided(connection, now) if _decided_undated(contracts) else None
    if decided is not None and (last is None or decided > last):
        return decided
    return None if last is None else last.floor("D") + pd.Timedelta(days=1)


def _last_decided(connection: duckdb.DuckDBPyConnection, now: pd.Timestamp) -> pd.Timestamp | None:
    """The day until which contracts' undated outcomes prove that the CRM was kept; None without outcomes.

    Where contracts were looked at on some day, most that ended before it are decided and most that end later
    are not, but for early renewals. The end that parts the two with the fewest mistakes is the last one
    decided; its outcome is known 45 days on, or before the first end that is undecided then.
    """
    end, outcome = value_of("end_date"), value_of("renewed")
    rows = "draft_contracts ANTI JOIN bad_contracts USING (__row)"
    ((parting, undecided),) = connection.execute(
        f"WITH ends AS (SELECT {end} AS day, sum(if({outcome} IS NULL, -1, 1)) AS gain FROM {rows}"
        f" WHERE {end} IS NOT NULL GROUP BY ALL),"
        " summed AS (SELECT day, sum(gain) OVER (ORDER BY day) AS gain FROM ends),"
        " best AS (SELECT max(day) AS day FROM summed WHERE gain > 0 AND gain = (SELECT max(gain) FROM"
        " summed))"
        f" SELECT (SELECT day FROM best), (SELECT min({end}) FROM {rows} WHERE {outcome} IS NULL"
        f" AND {end} > (SELECT day FROM best))"
    ).fetchall()
    if parting is None:
        return None
    settled_at = pd.Timestamp(parting) + pd.Timedelta(days=RENEWAL_KNOWN_AFTER_DAYS)
    if undecided is not None and pd.Timestamp(undecided) <= settled_at:
        settled_at = pd.Timestamp(undecided) - pd.Timedelta(days=1)
    return min(settled_at.floor("D") + pd.Timedelta(days=1), now.floor("D"))


def _latest(
    connection: duckdb.DuckDBPyConnection, moments: dict[str, list[str]], now: pd.Timestamp
) -> pd.Timestamp | None:
    before = f"TIMESTAMP {literal(now)}"
    parts = [
        f"SELECT max({moment}) FILTER ({moment} < {before}) AS moment"
        f" FROM draft_{table} ANTI JOIN bad_{table} USING (__row)"
        for table, expressions in moments.items()
        for moment in expressions
    ]
    if not parts:
        return None
    row = connection.execute(f"SELECT max(moment) FROM ({' UNION ALL '.join(parts)})").fetchone()
    return pd.Timestamp(row[0]) if row and row[0] is not None else None


def as_known(table: str, column: Column, present: set[str], until: pd.Timestamp, in_the_past: bool) -> str:
    """An SQL expression for a column's value as it was known before `until`.

    Args:
        table: its table.
        column: of the contract, or carried.
        present: the stored columns of the table.
        until: naive UTC.
        in_the_past: `until` lies before the end of the data, and an undated decision counts as later.
    """
    value, limit = value_of(column.stored), f"TIMESTAMP {literal(until)}"
    if column.name in TABLES[table].seconds:
        outcome = {"contracts": "renewed", "opportunities": "is_won"}.get(table)
        if outcome not in present:
            return f"CASE WHEN {value} < {limit} THEN {value} END"
        # A closing date without an outcome is a plan, and not what the contract means by it.
        return f"CASE WHEN {value} < {limit} AND {value_of(outcome)} IS NOT NULL THEN {value} END"
    if column.known_with is None:
        return value
    later = _later(table, column.known_with, present, limit, in_the_past)
    return f"CASE WHEN {later} THEN NULL ELSE {value} END"


def _later(table: str, moment: str, present: set[str], limit: str, in_the_past: bool) -> str:
    at = value_of(moment) if moment in present else "CAST(NULL AS TIMESTAMP)"
    if table == "contracts" and in_the_past and "end_date" in present:
        at = f"coalesce({at}, {value_of('end_date')} + INTERVAL {RENEWAL_KNOWN_AFTER_DAYS} DAYS)"
    if table == "opportunities" and in_the_past and "created_at" in present:
        return f"(coalesce({at}, {limit}) >= {limit} AND {value_of('created_at')} IS NOT NULL)"
    return f"coalesce({at} >= {limit}, false)"
