"""A draft rewritten with some of its values changed, before its rows are judged together."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb

from features.crm.known_until import value_of
from features.crm.validate import Draft
from features.crm.values import literal


def rewrite(
    connection: duckdb.DuckDBPyConnection,
    drafted: Draft,
    values: Mapping[str, str],
    folder: str | Path,
    joins: Sequence[str] = (),
    where: str = "",
) -> int:
    """Replace the view `draft_<table>`; returns how many rows `where` leaves out.

    Args:
        connection: with the view.
        drafted: the table.
        values: stored column → SQL expression of its new value, over the draft's columns and the joins.
        folder: for the new Parquet file.
        joins: joins that add at most one row each.
        where: rows to keep; empty: all.
    """
    name = drafted.table.name
    path, n = Path(folder) / f"{name}.parquet", 1
    while path.exists():
        n += 1
        path = Path(folder) / f"{name}.{n}.parquet"
    replaced = ", ".join(f"{value} AS {value_of(column)}" for column, value in values.items())
    star = f"d.* REPLACE ({replaced})" if replaced else "d.*"
    rows = f"draft_{name} d {' '.join(joins)}" + (f" WHERE {where}" if where else "")
    connection.execute(f"COPY (SELECT {star} FROM {rows}) TO {literal(path)} (FORMAT parquet)")
    counted = (
        f"SELECT (SELECT count(*) FROM draft_{name}) - (SELECT count(*) FROM read_parquet({literal(path)}))"
    )
    ((removed,),) = connection.execute(counted).fetchall()
    connection.execute(f"CREATE OR REPLACE TEMP VIEW draft_{name} AS FROM read_parquet({literal(path)})")
    if where:
        connection.execute(f"DELETE FROM bad_{name} WHERE __row NOT IN (SELECT __row FROM draft_{name})")
    return int(removed)
