"""Arrow tables as plain numpy columns: what the kernel and the catalogue calculate with."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, repeat

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.as_of import MISSING

FEW = 200
"""Rows up to which a column of texts is sooner coded one by one than handed to Arrow."""
MOMENT = pa.timestamp("us")


def plain(level: str) -> str:
    """A category as filters compare it: lower case, single spaces, no dashes."""
    return " ".join(str(level).lower().replace("_", " ").replace("-", " ").split())


@dataclass(frozen=True)
class Coded:
    """A column of strings: (n,) int32 `codes` into `levels`, -1 where there is none."""

    codes: NDArray[np.int32]
    levels: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.codes)

    @cached_property
    def plain(self) -> list[str]:
        """The levels as filters compare them."""
        return [
            " ".join(str(level).lower().replace("_", " ").replace("-", " ").split()) for level in self.levels
        ]

    def among(self, words: frozenset[str]) -> NDArray[np.bool_]:
        """(n,) whether each value is one of `words`."""
        hit = np.array([*(word in words for word in self.plain), False])
        return hit[self.codes]

    def take(self, index: NDArray[np.int64]) -> "Coded":
        """Values at (m,) `index`; index -1 gives none."""
        if not len(self.codes):
            return Coded(np.full(len(index), -1, np.int32), self.levels)
        return Coded(np.where(index < 0, np.int32(-1), self.codes[index]), self.levels)


Column = NDArray | Coded
Columns = Mapping[str, Column]


class ArrowColumns(Columns):
    """The columns of an Arrow table, each turned into numpy when it is first looked at."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table
        self._names = dict.fromkeys(table.column_names)
        self._made: dict[str, Column] = {}

    def __getitem__(self, name: str) -> Column:
        if name not in self._made:
            self._made[name] = _column(self.table.column(name))
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return self.table.num_columns

    def picked(self, name: str, rows: NDArray[np.int64]) -> Column:
        """Some rows of a column, the others left untouched."""
        if name in self._made:
            return _picked(self._made[name], rows)
        return _column(self.table.column(name).take(pa.array(rows)))


def columns_of(table: pa.Table) -> ArrowColumns:
    """Each column as an array: strings coded, times as microseconds, whole numbers and flags as int64 with
    `MISSING` for null, everything else as float64 with NaN for null.
    """  # fmt: skip
    return ArrowColumns(table)


def picked(columns: Columns, name: str, rows: NDArray[np.int64]) -> Column:
    """Some rows of a column."""
    return columns.picked(name, rows) if isinstance(columns, ArrowColumns) else _picked(columns[name], rows)


def _picked(column: Column, rows: NDArray[np.int64]) -> Column:
    return Coded(column.codes[rows], column.levels) if isinstance(column, Coded) else column[rows]


def length(columns: Columns) -> int:
    """How many rows the columns have."""
    return columns.table.num_rows if isinstance(columns, ArrowColumns) else len(next(iter(columns.values())))


def _column(values: pa.ChunkedArray) -> Column:
    kind = values.type
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _coded(values)
    if pa.types.is_null(kind):
        return np.full(len(values), np.nan)
    if pa.types.is_temporal(kind):
        moments = _cast(values, MOMENT, safe=False).to_numpy()  # null becomes NaT, which is `MISSING`
        return moments.astype("datetime64[us]", copy=False).view(np.int64)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        whole = _cast(values, pa.int64())
        filled = pc.fill_null(whole, MISSING) if whole.null_count else whole
        return filled.to_numpy().astype(np.int64, copy=False)
    return _cast(values, pa.float64()).to_numpy().astype(np.float64, copy=False)  # null becomes NaN


def _cast(values: pa.ChunkedArray, kind: pa.DataType, safe: bool = True) -> pa.ChunkedArray:
    """`values` as `kind`; a live answer has a hundred columns, most of which are of it already."""
    return values if values.type == kind else values.cast(kind, safe=safe)


def _coded(values: pa.ChunkedArray) -> Coded:
    if len(values) <= FEW and not pa.types.is_dictionary(values.type):
        return _coded_one_by_one(values.to_pylist())
    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    whole = values if values.num_chunks < 2 else values.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):  # no rows, or one chunk kept as such
        whole = whole.chunk(0) if whole.num_chunks else pa.array([], pa.string()).dictionary_encode()
    codes = whole.indices.cast(pa.int32())
    codes = pc.fill_null(codes, -1) if codes.null_count else codes
    return Coded(codes.to_numpy(zero_copy_only=False), np.asarray(whole.dictionary.to_pylist(), dtype=object))


def _coded_one_by_one(given: list[str | None]) -> Coded:
    levels = [text for text in dict.fromkeys(given) if text is not None]
    number: dict[str | None, int] = {text: at for at, text in enumerate(levels)}
    number[None] = -1
    codes = np.fromiter(map(number.__getitem__, given), np.int32, len(given))
    return Coded(codes, np.asarray(levels, dtype=object))


def codes_in(ids: Column, known: Mapping[str, int]) -> NDArray[np.int64]:
    """(n,) the number `known` gives each id, -1 for others and for none."""
    if not isinstance(ids, Coded):
        return np.full(len(ids), -1, np.int64)
    numbers = np.fromiter(chain(map(known.get, ids.levels, repeat(-1)), (-1,)), np.int64, len(ids.levels) + 1)
    return numbers[ids.codes]


def sortable(column: Column) -> NDArray:
    """An array that sorts like the column's values, whatever order its codes have."""
    if not isinstance(column, Coded):
        return column
    if not len(column.levels):
        return column.codes
    rank = np.empty(len(column.levels) + 1, np.int64)
    rank[np.argsort(column.levels.astype(str), kind="stable")] = np.arange(len(column.levels))
    rank[-1] = -1
    return rank[column.codes]
