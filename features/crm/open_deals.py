"""A deal that its source marks as not closed is open, whatever stands in the column of won deals.

Salesforce and its kind write `IsWon` false for open deals as for lost ones; `IsClosed` tells them apart. It
says nothing else, and knows the outcome of whoever is judged by it: so it is not carried.
"""

from pathlib import Path

import duckdb

from features.crm.columns_match import bare_name, matched
from features.crm.contract import TABLES
from features.crm.quality import Quality
from features.crm.values import literal, quoted
from features.sources.readers import Raw

_CLOSED = ("isclosed", "closed")
_YES, _NO = ("true", "t", "1", "yes", "y"), ("false", "f", "0", "no", "n")


def settle_open_deals(
    connection: duckdb.DuckDBPyConnection, raw: Raw, folder: Path, quality: Quality
) -> None:
    """Empty `is_won` of the deals that are not closed, where a column of yes and no says which are.

    Args:
        connection: any DuckDB.
        raw: gets a new file for the opportunities, where this changes them.
        folder: for that file.
        quality: told how many deals are open by it.
    """
    if "opportunities" not in raw.tables:
        return
    source = f"read_parquet({literal(raw.tables['opportunities'])})"
    names = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
    won = matched(TABLES["opportunities"], [name for name in names if not name.startswith("__")]).get(
        "is_won"
    )
    closed = next((name for name in names if bare_name(name) in _CLOSED), None)
    if won is None or closed is None:
        return
    word = {name: f"lower(trim(CAST({quoted(name)} AS VARCHAR)))" for name in (won, closed)}
    is_open = f"{word[closed]} IN {_NO} AND {word[won]} IN {_NO}"
    every, opened = connection.execute(
        f"SELECT bool_and({word[closed]} IN {(*_YES, *_NO, '')}), count(*) FILTER ({is_open}) FROM {source}"
    ).fetchall()[0]
    if not every or not opened:
        return
    path = folder / "opportunities.open.parquet"
    settled = f"CASE WHEN {is_open} THEN NULL ELSE {quoted(won)} END AS {quoted(won)}"
    connection.execute(
        f"COPY (SELECT * EXCLUDE ({quoted(closed)}) REPLACE ({settled}) FROM {source})"
        f" TO {literal(path)} (FORMAT parquet)"
    )
    raw.tables["opportunities"] = path
    quality.warn(f"opportunities: {opened:,} open by {closed}, whatever {won} says")
