"""What is in a foreign file: its columns, and what their values look like as a whole."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from features.crm.columns_match import bare_name
from features.crm.values import literal, quoted

_SAMPLE = 5_000
_WORDS = 60
_DAYS = (
    "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%Y.%m.%d", "%d/%m/%y",
    "%m/%d/%y",
    "%d %b, %Y", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y",
)  # fmt: skip
_CLOCKS = ("", " %H:%M:%S", " %H:%M", " %I:%M %p", " %I:%M:%S %p")
_ISO = r"^\d{4}-\d{1,2}-\d{1,2}([ T].*)?$"
_MONEY = r"^[^\w\d]*[A-Z]{0,3}[$€£¥₹]?\s*[-−(]?[\d][\d.,\s’']*\)?\s*[KMB]?\s*([A-Z]{3}|%|[$€£¥₹])?$"


@dataclass(frozen=True)
class ForeignColumn:
    """One column of a foreign file.

    Args:
        name: as the file has it.
        given: values that are not empty.
        distinct: different ones among them.
        numbers: share of the sample that are numbers or amounts.
        day_forms: `iso`, or the `strptime` forms that all of the sample fit; several: it does not show which.
        words: the different values, where there are few.
    """

    name: str
    given: int
    distinct: int
    numbers: float
    day_forms: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def bare(self) -> str:
        """Its name without case, separators and signs."""
        return bare_name(self.name)


@dataclass(frozen=True)
class ForeignFile:
    """A data file under its own name: its text as Parquet, and its columns."""

    path: Path
    stem: str
    parquet: Path
    rows: int
    columns: tuple[ForeignColumn, ...]

    def by_bare(self, prefix: str = "") -> dict[str, ForeignColumn]:
        """Columns by plain name, less a prefix that the system puts before each; the first of a name."""
        found = {}
        for column in reversed(self.columns):
            bare = column.bare
            found[bare] = column
            if prefix and bare != prefix and bare.startswith(prefix):
                found[bare.removeprefix(prefix)] = column
        return found

    @property
    def relation(self) -> str:
        """Its rows as SQL."""
        return f"read_parquet({literal(self.parquet)})"


def look_at(connection: duckdb.DuckDBPyConnection, path: Path, stem: str, parquet: Path) -> ForeignFile:
    """Judge every column of a file.

    Args:
        connection: any DuckDB.
        path: the file.
        stem: its name without the ending.
        parquet: its values as text.
    """
    names = [name for name in pq.read_schema(parquet).names if not name.startswith("__")]
    relation = f"read_parquet({literal(parquet)})"
    columns = tuple(_column(connection, relation, name) for name in names)
    return ForeignFile(path, stem, parquet, pq.read_metadata(parquet).num_rows, columns)


def _column(connection: duckdb.DuckDBPyConnection, relation: str, name: str) -> ForeignColumn:
    # A header that stands again among the rows is no value.
    text = f"nullif(nullif(trim(CAST({quoted(name)} AS VARCHAR)), ''), {literal(name.strip())})"
    ((given, distinct),) = connection.execute(
        f"SELECT count(v), count(DISTINCT v) FROM (SELECT {text} AS v FROM {relation})"
    ).fetchall()
    sample = _values(connection, relation, text)
    numbers = sum(bool(re.match(_MONEY, value)) for value in sample) / len(sample) if sample else 0.0
    words = tuple(sample) if distinct <= _WORDS else ()
    return ForeignColumn(name, given, distinct, numbers, _day_forms(connection, sample), words)


def _values(connection: duckdb.DuckDBPyConnection, relation: str, text: str) -> list[str]:
    """The most frequent different values."""
    rows = connection.execute(
        f"SELECT v FROM (SELECT {text} AS v FROM {relation}) WHERE v IS NOT NULL"
        f" GROUP BY v ORDER BY count(*) DESC, v LIMIT {_SAMPLE}"
    ).fetchall()
    return [value for (value,) in rows]


def _day_forms(connection: duckdb.DuckDBPyConnection, sample: list[str]) -> tuple[str, ...]:
    if not sample or not any(letter.isdigit() for letter in sample[0]):
        return ()
    if sum(bool(re.match(_ISO, value)) for value in sample) >= 0.95 * len(sample):
        return ("iso",)
    if sum(bool(re.fullmatch(r"1[0-9]{12}", value)) for value in sample) >= 0.95 * len(sample):
        return ("epoch",)
    likely = [day + clock for day in _DAYS for clock in _CLOCKS if _reads(sample[:40], day + clock)]
    return tuple(form for form in likely if _fits(connection, sample, form))


def _reads(few: list[str], form: str) -> bool:
    """Whether nearly all of a few values are of this form."""
    read = 0
    for i, value in enumerate(few):
        try:
            datetime.strptime(value, form)
            read += 1
        except ValueError:
            if i - read > 2:
                return False
    return read >= 0.9 * len(few)


def _fits(connection: duckdb.DuckDBPyConnection, sample: list[str], form: str) -> bool:
    """Whether nearly all of the values are days of this form, in this century or the last."""
    ((n,),) = connection.execute(
        "SELECT count(*) FROM (SELECT try_strptime(v, ?) AS t FROM (SELECT unnest(?) AS v))"
        " WHERE t BETWEEN TIMESTAMP '1900-01-01' AND TIMESTAMP '2100-01-01'",
        [form, sample],
    ).fetchall()
    return n >= 0.95 * len(sample)
