"""What is in a foreign file: its columns, and what their values look like as a whole."""

import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.crm.columns_match import bare_name
from features.crm.currency_codes import IN_A_HEADER
from features.crm.reading.moment_form import written_as
from features.crm.reading.value_shapes import shapes_from
from features.crm.values import literal

_SAMPLE = 5_000
_WORDS = 60
_NEARLY_ALL = 0.95
_DAYS = (
    "%d-%m-%Y", "%m-%d-%Y", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%Y/%m/%d", "%Y.%m.%d", "%d/%m/%y",
    "%m/%d/%y",
    "%d %b, %Y", "%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y",
)  # fmt: skip
_SAYS_LITTLE = frozenset(
    ["name", "number", "no", "nr", "status", "state", "type", "key", "code", "owner", ""]
)
"""Names that every object has one of."""
SCALE = re.compile(
    r"[\s_]*[(\[]?\s*(?:in\s+)?(?:[$€£¥]|[A-Z]{3}\s)?\s*\b(k|K|000s?|thousands?|m|M|mn|mm|millions?)[)\]]?$"
)
"""What stands behind a header of amounts in thousands or millions: `ARR $k`, `Amount (EUR 000s)`."""
AS_WRITTEN = "as written"
"""In place of a form: days and moments that need none."""
TAKEN_AS_IS = ("iso", "epoch", AS_WRITTEN)
_CLOCKS = ("", " %H:%M:%S", " %H:%M", " %I:%M %p", " %I:%M:%S %p", " %I:%M%p")
_ISO = r"^\d{4}-\d{1,2}-\d{1,2}([ T].*)?$"
_SINCE_1970 = r"^1[0-9]{9}([0-9]{3})?$"
"""Seconds and milliseconds, from 2001 to 2033; numbers and ids may look the same."""
_MONEY = r"^[^\w\d]*[A-Z]{0,3}[$€£¥₹]?\s*[-−(]?[\d][\d.,\s’']*\)?\s*[KMB]?\s*([A-Z]{3}|%|[$€£¥₹])?$"


@dataclass(frozen=True)
class ForeignColumn:
    """One column of a foreign file.

    Args:
        name: as the file has it.
        given: values that are not empty.
        distinct: different ones among them.
        numbers: share of the sample that are numbers or amounts.
        day_forms: one of `TAKEN_AS_IS`, or the `strptime` forms that all of the sample fit; several: it does
            not show which.
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
        """Columns by plain name, less a prefix that the system puts before each; the first of a name.

        A currency in a header (`Wert (EUR)`) is no part of the name. The last part of `Rate Plan Charge: MRR`
        is a name too, unless only the whole says whose it is (`Account: Name`).
        """
        by_name: dict[str, ForeignColumn] = {}
        for column in reversed(self.columns):
            bare = column.bare
            by_name[bare] = column
            if prefix and bare != prefix and bare.startswith(prefix):
                by_name[bare.removeprefix(prefix)] = column
        for column in self.columns:
            name = SCALE.sub("", IN_A_HEADER.sub("", column.name))
            last = bare_name(re.split(r"[.:]", name)[-1])
            by_name.setdefault(bare_name(name), column)
            if last not in _SAYS_LITTLE and not last.endswith("id") and not set(column.day_forms) - {"epoch"}:
                by_name.setdefault(last, column)
        return by_name

    @property
    def relation(self) -> str:
        """Its rows as SQL."""
        return f"read_parquet({literal(self.parquet)})"


def look_at(path: Path, stem: str, parquet: Path) -> ForeignFile:
    """Judge every column of a file.

    Args:
        path: the file.
        stem: its name without the ending.
        parquet: its values as text.
    """
    table = pq.ParquetFile(parquet)
    names = [name for name in table.schema_arrow.names if not name.startswith("__")]
    columns = tuple(_column(table.read([name]), name) for name in names)
    return ForeignFile(path, stem, parquet, table.metadata.num_rows, columns)


def _column(table: pa.Table, name: str) -> ForeignColumn:
    counts: Counter[str] = Counter()
    for entry in pc.value_counts(pc.cast(table[name], pa.string(), safe=False)).to_pylist():
        value = (entry["values"] or "").strip()
        if value and value != name.strip():  # a header repeated among the rows is no value
            counts[value] += entry["counts"]
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    sample = [value for value, _ in ordered[:_SAMPLE]]
    numbers = sum(bool(re.match(_MONEY, value)) for value in sample) / len(sample) if sample else 0.0
    words = tuple(sample) if len(counts) <= _WORDS else ()
    return ForeignColumn(name, counts.total(), len(counts), numbers, _day_forms(sample), words)


def _day_forms(sample: list[str]) -> tuple[str, ...]:
    if not sample or not any(letter.isdigit() for letter in sample[0]):
        return ()
    for form, pattern in (("iso", _ISO), ("epoch", _SINCE_1970)):
        if sum(bool(re.match(pattern, value)) for value in sample) >= _NEARLY_ALL * len(sample):
            return (form,)
    likely = [day + clock for day in _DAYS for clock in _CLOCKS if _reads(sample[:40], day + clock)]
    forms = tuple(form for form in likely if _reads(sample, form))
    return forms or (AS_WRITTEN,) * _are_moments(sample)


def _are_moments(sample: list[str]) -> bool:
    """Whether nearly all values are moments that are read as they stand, beyond doubt."""
    written = [written_as(shape) for shape in shapes_from(sample).all]
    sure = sum(each is not None and each.kind in ("iso", "format", "json") for each in written)
    return sure >= _NEARLY_ALL * len(written)


def _reads(values: list[str], form: str) -> bool:
    """Whether nearly all values are days of this form, in this century or the last."""
    allowed, misses = int((1 - _NEARLY_ALL) * len(values)) + (len(values) > 10), 0
    for value in values:
        try:
            misses += not 1900 <= datetime.strptime(value, form).year <= 2100
        except ValueError:
            misses += 1
        if misses > allowed:
            return False
    return True
