"""Which column of a source is meant by a column of the contract: spelled the same, or nearly so.

What kind a column is that the contract does not know, judged by its values.
"""

import difflib
from collections.abc import Iterable

import duckdb
import pyarrow as pa

from features.crm.contract import Kind, Table, plain_name
from features.crm.values import is_text, quoted


def matched(table: Table, names: Iterable[str]) -> dict[str, str]:
    """Contract column → the source's, in the order of the contract.

    An exact name goes before one in other case or with other separators (`Contract ID`), and that before one
    run together (`ContractId`); of equally near ones the first.
    """
    spelled = list(names)
    plain = {plain_name(name): name for name in reversed(spelled)}
    bare = {_bare(name): name for name in reversed(spelled)}
    ways = {
        name: name if name in spelled else plain.get(name, bare.get(_bare(name))) for name in table.by_name
    }
    return {name: source_name for name, source_name in ways.items() if source_name is not None}


def run_together(columns: dict[str, str]) -> list[str]:
    """The source's columns that were matched only with their separators left out."""
    return [source_name for name, source_name in columns.items() if plain_name(source_name) != name]


def nearest(wanted: str, names: Iterable[str]) -> str | None:
    """The column that is most likely meant by a contract column that none is spelled like."""
    bare = {_bare(name): name for name in names}
    near = difflib.get_close_matches(_bare(wanted), bare, n=1, cutoff=0.7)
    return bare[near[0]] if near else None


def _bare(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


_ENOUGH = 0.95
"""From this share of readable values on, a column counts as numbers or moments; the rest reads as missing."""
_FREE_TEXT_LETTERS = 60
_FEW = 30


def kinds_of(
    connection: duckdb.DuckDBPyConnection, source: str, columns: dict[str, pa.DataType]
) -> dict[str, tuple[Kind, int]]:
    """The kind of each column, and how many of its values that kind cannot read.

    Args:
        connection: with the macros of `features.crm.values`.
        source: an SQL relation.
        columns: name → Arrow type.
    """
    kinds = {name: (_typed(type), 0) for name, type in columns.items() if not is_text(type)}
    words = [name for name in columns if name not in kinds]
    if words:
        measures = [
            f"{measure} AS {key}_{i}" for i in range(len(words)) for key, measure in _measures(i).items()
        ]
        relation = connection.execute(f"SELECT {', '.join(measures)} FROM ({_read(words, source)})")
        names = [column[0] for column in relation.description]
        row = dict(zip(names, relation.fetchone() or (), strict=True))
        for i, name in enumerate(words):
            kinds[name] = _worded({key: row[f"{key}_{i}"] or 0 for key in _measures(i)})
    return {name: kinds[name] for name in columns}


def _read(words: list[str], source: str) -> str:
    """Each column's given value as g<i>, and that as a plain number as p<i>."""
    given = ", ".join(f"given(CAST({quoted(name)} AS VARCHAR)) AS g{i}" for i, name in enumerate(words))
    plain = ", ".join(f"plain(rtrim(g{i}, '% ')) AS p{i}" for i in range(len(words)))
    return f"SELECT *, {plain} FROM (SELECT {given} FROM {source})"


def _typed(type: pa.DataType) -> Kind:
    if pa.types.is_boolean(type):
        return Kind.FLAG
    if pa.types.is_integer(type):
        return Kind.WHOLE
    if pa.types.is_floating(type) or pa.types.is_decimal(type):
        return Kind.NUMBER
    if pa.types.is_date(type):
        return Kind.DATE
    return Kind.TIME if pa.types.is_timestamp(type) else Kind.TEXT


def _measures(i: int) -> dict[str, str]:
    value = f"g{i}"
    return {
        "n": f"count({value})",
        "flags": f"count(*) FILTER (lower({value}) IN ('true', 'false', 'yes', 'no', 't', 'f', 'y', 'n'))",
        "numbers": f"count(TRY_CAST(p{i} AS DOUBLE))",
        "wholes": rf"count(*) FILTER (regexp_full_match({value}, '[+-]?\d{{1,18}}'))",
        "codes": rf"count(*) FILTER (regexp_full_match({value}, '0\d+'))",
        "days": f"count(*) FILTER (is_day({value}) AND day_of({value}) IS NOT NULL)",
        "moments": f"count(moment_of({value}))",
        "letters": f"avg(length({value}))",
        "distinct": f"approx_count_distinct({value})",
    }


def _worded(counts: dict[str, float]) -> tuple[Kind, int]:
    n = counts["n"]
    if n == 0:
        return Kind.CATEGORY, 0
    if counts["flags"] == n:
        return Kind.FLAG, 0
    if counts["numbers"] >= _ENOUGH * n and not counts["codes"]:
        return (Kind.WHOLE if counts["wholes"] == n else Kind.NUMBER), int(n - counts["numbers"])
    if counts["days"] + counts["moments"] >= _ENOUGH * n:
        return (Kind.TIME if counts["moments"] else Kind.DATE), int(n - counts["days"] - counts["moments"])
    nearly_all_distinct = n >= _FEW and counts["distinct"] > 0.9 * n
    return (Kind.TEXT if counts["letters"] > _FREE_TEXT_LETTERS or nearly_all_distinct else Kind.CATEGORY), 0
