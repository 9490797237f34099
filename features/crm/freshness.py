"""Tables that end earlier than the rest of the CRM: their silence is the export's, not the customers'."""

from pathlib import Path

import duckdb
import pandas as pd

from features.crm.contract import TABLES
from features.crm.values import literal, quoted

EVENTS = (
    "stage_history", "activities", "quotes", "leads", "touches", "surveys", "cases", "usage", "invoices",
    "history",
)  # fmt: skip
_LEAST_DAYS = 30


def days_behind(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    tables: dict[str, tuple[str, ...]],
    until: pd.Timestamp,
) -> dict[str, int]:
    """Table → how many days before `until` it ends, for those that end early by their own rhythm.

    A table is late when nothing has come for more than 30 days, and for longer than it ever paused before.

    Args:
        connection: to read with.
        folder: clean tables, a Parquet file each.
        tables: their columns.
        until: naive UTC.
    """
    late = {}
    for name in EVENTS:
        time = TABLES[name].time
        if name not in tables or time not in tables[name]:
            continue
        path = literal(folder / f"{name}.parquet")
        limit = f"TIMESTAMP {literal(until)}"
        ((behind, pause),) = connection.execute(
            f"WITH days AS (SELECT DISTINCT {quoted(time)}::DATE AS day FROM read_parquet({path})"
            f" WHERE {quoted(time)} < {limit}),"
            " pauses AS (SELECT day - lag(day) OVER (ORDER BY day) AS pause FROM days)"
            f" SELECT CAST({limit} AS DATE) - (SELECT max(day) FROM days), max(pause) FROM pauses"
        ).fetchall()
        if behind is not None and behind > max(_LEAST_DAYS, pause or 0):
            late[name] = int(behind)
    return late


def warnings_of(late: dict[str, int], until: pd.Timestamp) -> list[str]:
    """What to say of tables that end early."""
    return [
        f"{name} ends on {(until - pd.Timedelta(days=days)).date()}, {days:,} days before the rest:"
        " nothing in it"
        " after that day is the export's silence, not the customers'"
        for name, days in late.items()
    ]
