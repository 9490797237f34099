"""What the values of a column look like: each distinct value with its digits masked, and how often it occurs.

A million dates have a handful of shapes. Whatever is decided about a column is decided on these, in Python;
DuckDB reads each value but once more, in the form decided.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import duckdb

from features.crm.reading.nothing import NOTHING, is_nothing
from features.crm.values import literal, quoted

MOST = 2000
"""Shapes or values that are looked at; columns of free text have more, and no form."""


@dataclass(frozen=True)
class Shape:
    """Values that differ in their digits alone; `least` and `greatest` in the order of text."""

    text: str
    rows: int
    least: str
    greatest: str


@dataclass(frozen=True)
class Shapes:
    """The shapes of a column's values, the most frequent first; `complete` unless they are too many."""

    all: tuple[Shape, ...]
    complete: bool = True

    @cached_property
    def nothing(self) -> tuple[str, ...]:
        """Spellings of nothing that occur."""
        return tuple(spelled for shape in self.all for spelled in sorted(_nothing(shape)))

    @cached_property
    def given(self) -> tuple[Shape, ...]:
        """The shapes that are something."""
        return tuple(shape for shape in self.all if not _nothing(shape))

    @property
    def rows(self) -> int:
        """Rows with a value."""
        return sum(shape.rows for shape in self.given)


def shapes_from(values: Iterable[str]) -> Shapes:
    """The shapes of a few trimmed values."""
    return Shapes(tuple(Shape(re.sub(r"[0-9]", "9", value), 1, value, value) for value in values if value))


def _nothing(shape: Shape) -> set[str]:
    return {value for value in (shape.least, shape.greatest) if is_nothing(value)}


class Look:
    """Looks at the columns of a relation, at each only once.

    Args:
        connection: with the macros of `features.crm.reading.column_form`.
        source: an SQL relation.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, source: str) -> None:
        self.connection, self.source = connection, source
        self._shapes: dict[str, Shapes] = {}
        self._values: dict[str, dict[str, int] | None] = {}

    def texts(self, column: str) -> str:
        """The column's trimmed values and their rows (`v`, `n`), as a relation."""
        value = f"text_of(CAST({quoted(column)} AS VARCHAR))"
        return f"(SELECT {value} AS v, count(*) AS n FROM {self.source} GROUP BY ALL HAVING v IS NOT NULL)"

    def shapes(self, column: str) -> Shapes:
        """The shapes of a text column."""
        if column not in self._shapes:
            rows = self.connection.execute(
                "SELECT translate(v, '0123456789', '9999999999') AS shape, CAST(sum(n) AS BIGINT) AS rows,"
                f" min(v), max(v) FROM {self.texts(column)} GROUP BY ALL ORDER BY rows DESC, shape"
                f" LIMIT {MOST + 1}"
            ).fetchall()
            self._shapes[column] = Shapes(tuple(Shape(*row) for row in rows[:MOST]), len(rows) <= MOST)
        return self._shapes[column]

    def values(self, column: str) -> dict[str, int] | None:
        """A text column's values and their rows, the most frequent first; None where they are too many."""
        if column not in self._values:
            query = f"SELECT v, n FROM {self.texts(column)} ORDER BY n DESC, v LIMIT {MOST + 1}"
            rows = self.connection.execute(query).fetchall()
            self._values[column] = None if len(rows) > MOST else dict(rows)
        return self._values[column]

    def nothing(self, columns: list[str]) -> dict[str, tuple[str, ...]]:
        """The spellings of nothing that occur in columns of words."""
        if not columns:
            return {}
        words = ", ".join(map(literal, sorted(NOTHING)))
        longest = max(map(len, NOTHING)) + 2
        spelled = {}
        for column in columns:
            # The different values first: cleaning every row of a long column is most of the work.
            rows = self.connection.execute(
                "SELECT DISTINCT word FROM (SELECT text_of(v) AS word FROM"
                f" (SELECT DISTINCT CAST({quoted(column)} AS VARCHAR) AS v FROM {self.source}"
                f" WHERE length(CAST({quoted(column)} AS VARCHAR)) <= {longest}))"
                f" WHERE lower(word) IN ({words})"
            ).fetchall()
            spelled[column] = tuple(sorted(word for (word,) in rows))
        return spelled
