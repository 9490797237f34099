"""Files that a mapping names, as views: each column typed where that loses nothing of what is written.

`12E4` stays what it is, and so do `007` and `1.500`; whole numbers, decimals, flags, days and moments get
their type, so that a mapping can reckon with them.
"""

from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from features.crm.reading.column_form import add_macros
from features.crm.reading.column_words import says_moments
from features.crm.reading.moment_form import moment_form, moment_steps, order_of
from features.crm.reading.value_shapes import Look
from features.crm.values import literal, quoted
from features.sources.csv_file import csv_to_parquet
from features.sources.readers import connect

_TYPES = {
    "BOOLEAN": "lower(v) IN ('true', 'false')",
    "BIGINT": r"regexp_full_match(v, '-?(0|[1-9]\d{0,17})')",
    "DOUBLE": r"regexp_full_match(v, '-?(0|[1-9]\d{0,14})(\.\d+)?') AND length(v) <= 17",
    "DATE": r"length(v) = 10 AND regexp_full_match(v, '\d{4}-\d\d-\d\d') AND TRY_CAST(v AS DATE) IS NOT NULL",
    "TIMESTAMP": r"regexp_full_match(v, '\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?')"
    " AND TRY_CAST(v AS TIMESTAMP) IS NOT NULL",
}
"""The first that all values of a column are gets it."""
_SAMPLE = 20_000


@dataclass(frozen=True)
class FileView:
    """A CSV file laid down.

    Args:
        select: the SELECT that reads it, typed.
        text: the file as UTF-8, where it is not that itself.
        notes: what was decided.
    """

    select: str
    text: Path
    notes: list[str] = field(default_factory=list)


def csv_view(path: Path, target: Path, staging: Path) -> FileView:
    """Lay a CSV file down as Parquet and type its columns.

    Args:
        path: the file.
        target: the Parquet file.
        staging: for what is written on the way.

    Raises:
        RenewalError: it cannot be read.
    """
    with connect(staging / "spill") as connection:
        add_macros(connection)
        read = csv_to_parquet(connection, path, target, staging, twice=True)
        notes = list(read.notes)
        if read.rejected:
            notes.append(f"{path.name}: {read.rejected} lines are no rows: {read.examples[0]}")
        source = f"read_parquet({literal(target)})"
        dated = _dated(connection, source, staging / f"{target.stem}.sample.csv")
        typed = {
            name: _typed(connection, source, path.name, name, is_dated, notes)
            for name, is_dated in dated.items()
        }
    columns = ", ".join(f"{value} AS {quoted(name)}" for name, value in typed.items())
    return FileView(f"SELECT {columns} FROM {source}", read.text, notes)


def _dated(connection: duckdb.DuckDBPyConnection, source: str, sample: Path) -> dict[str, bool]:
    """Columns, and whether DuckDB takes them for days or moments: mappings are written against that."""
    connection.execute(f"COPY (FROM {source} LIMIT {_SAMPLE}) TO {literal(sample)} (FORMAT csv, HEADER)")
    names = [row[0] for row in connection.execute(f"DESCRIBE FROM {source}").fetchall()]
    rows = connection.execute(
        f"DESCRIBE FROM read_csv({literal(sample)}, header = true, delim = ',', sample_size = -1)"
    ).fetchall()
    return {name: row[1].startswith(("DATE", "TIMESTAMP")) for name, row in zip(names, rows, strict=True)}


def _typed(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    called: str,
    name: str,
    is_dated: bool,
    notes: list[str],
) -> str:
    """The column, cast where all its values are of a type."""
    measures = [f"count(*) FILTER ({test})" for test in _TYPES.values()]
    row = connection.execute(
        f"SELECT count(v), {', '.join(measures)} FROM (SELECT {quoted(name)} AS v FROM {source})"
    ).fetchone() or (0,)
    n, *counts = row
    if not n:
        return quoted(name)
    for type, count in zip(_TYPES, counts, strict=True):
        if count == n:
            return f"CAST({quoted(name)} AS {type})"
    return _moments(connection, source, called, name, notes) if is_dated else quoted(name)


def _moments(
    connection: duckdb.DuckDBPyConnection, source: str, called: str, name: str, notes: list[str]
) -> str:
    """The column as days or moments, if each value has a form that is unambiguous; else unchanged."""
    look = Look(connection, source)
    shapes = look.shapes(name)
    if not shapes.complete or shapes.nothing:
        return quoted(name)
    form = moment_form(connection, source, name, shapes.given)
    if set(form.rows) & {"other", "compact", "serial", "epoch"}:
        return quoted(name)
    shorts = {(each.sign, each.short) for each in form.written if each.kind == "numeric"}
    orders = {(sign, short): order_of(sign, form.orders[sign], None, short)[0] for sign, short in shorts}
    is_day = "moments" not in form.rows
    (step,) = moment_steps(is_day, form, orders)
    value = step.format(v=f"text_of({quoted(name)})", g=quoted(name))
    unread = connection.execute(
        f"SELECT count(*) FROM {source} WHERE {quoted(name)} IS NOT NULL AND {value} IS NULL"
    ).fetchone()
    if unread is None or unread[0]:
        return quoted(name)
    says, doubts = says_moments(f"{called} {name}", form, {}, shorts)
    notes += [*says, *doubts]
    return f"CAST({value} AS DATE)" if is_day else value
