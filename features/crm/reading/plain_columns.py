"""Which columns are written as the contract writes them, every value of them: those are read at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from features.crm.contract import Kind
from features.crm.values import Reading, quoted

_DAY = "length({v}) = 10 AND {v}[5] = '-' AND {v}[8] = '-' AND TRY_CAST({v} AS DATE) IS NOT NULL"
_MOMENT = (
    "(length({v}) = 19 OR length({v}) = 20 AND {v}[20] = 'Z') AND {v}[5] = '-' AND {v}[14] = ':'"
    " AND {v}[17] = ':' AND {v}[18] < '6' AND TRY_CAST({v} AS TIMESTAMP) IS NOT NULL"
)
_NUMBER = r"regexp_full_match({v}, '-?\d+(\.\d+)?')"
_AT_ONCE = 40
"""Columns that one query looks at: planning more of them takes longer than their share."""


@dataclass(frozen=True)
class Plain:
    """A column of days, moments or numbers as the contract writes them.

    Args:
        days: all values are days without a time.
        greatest: the greatest number.
    """

    days: bool = False
    greatest: float | None = None


def plain_columns(
    connection: duckdb.DuckDBPyConnection, source: str, readings: Sequence[Reading]
) -> dict[str, Plain]:
    """Of text columns of numbers and moments, those in which every value is plain, by raw name.

    A column in which each number with a point has three digits after it is not: the point may group.
    """
    measured = [each for each in readings if each.column.kind in _MEASURES]
    if not measured:
        return {}
    plain: dict[str, Plain] = {}
    for start in range(0, len(measured), _AT_ONCE):
        plain |= _plain_among(connection, source, measured[start : start + _AT_ONCE])
    return plain


def _plain_among(
    connection: duckdb.DuckDBPyConnection, source: str, measured: Sequence[Reading]
) -> dict[str, Plain]:
    parts = [
        measure.format(v=quoted(each.raw)) for each in measured for measure in _MEASURES[each.column.kind]
    ]
    row = iter(connection.execute(f"SELECT {', '.join(parts)} FROM {source}").fetchone() or ())
    plain = {}
    for each in measured:
        odd, *more = (next(row) for _ in _MEASURES[each.column.kind])
        if odd:
            continue
        if each.column.kind in (Kind.TIME, Kind.DATE):
            plain[each.raw] = Plain(days=not more[0])
        elif not more[0] or more[1]:
            plain[each.raw] = Plain(greatest=more[2])
    return plain


_MOMENTS = (
    f"count(*) FILTER ({{v}} IS NOT NULL AND NOT coalesce({_DAY} OR {_MOMENT}, false))",
    "count(*) FILTER (length({v}) > 10)",
)
_NUMBERS = (
    f"count(*) FILTER ({{v}} IS NOT NULL AND NOT {_NUMBER})",
    "count(*) FILTER (contains({v}, '.'))",
    "count(*) FILTER (contains({v}, '.') AND length({v}) - strpos({v}, '.') <> 3)",
    "max(TRY_CAST({v} AS DOUBLE))",
)
_MEASURES = {
    Kind.TIME: _MOMENTS,
    Kind.DATE: _MOMENTS,
    Kind.NUMBER: _NUMBERS,
    Kind.WHOLE: _NUMBERS,
    Kind.MONEY: _NUMBERS,
    Kind.DURATION: _NUMBERS,
}
