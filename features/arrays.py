"""Arrow tables as plain numpy columns: what the kernel and the catalogue calculate with.

Columns of events that are calculated from others before the kernel sees them (each row from what it
knew itself).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, repeat

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.kernel import DAY, MISSING

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


def codes_in(ids: Column, number_by_id: Mapping[str, int]) -> NDArray[np.int64]:
    """(n,) the number `number_by_id` gives each id, -1 for others and for none."""
    if not isinstance(ids, Coded):
        return np.full(len(ids), -1, np.int64)
    numbers = np.fromiter(
        chain(map(number_by_id.get, ids.levels, repeat(-1)), (-1,)), np.int64, len(ids.levels) + 1
    )
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


Tables = Mapping[str, Columns]
OUTCOME_DAYS = 45
"""Days after a contract's end when its outcome counts as known, where the CRM does not say when it was
decided."""


@dataclass(frozen=True)
class Computed:
    """A calculated column: what it reads (`table.column`) and how."""

    needs: tuple[str, ...]
    make: Callable[[Tables], Column]


def _moments(column: Column) -> NDArray[np.int64]:
    assert isinstance(column, np.ndarray)
    return column


def _minus(late: Column, early: Column, unit: int) -> NDArray[np.int64]:
    """(n,) whole units from `early` to `late`, `MISSING` where either is."""
    late, early = _moments(late), _moments(early)
    gone = (late == MISSING) | (early == MISSING)
    return np.where(gone, MISSING, (late - early) // unit)


def look_up(ids: Column, keys: Column, values: Column) -> Column:
    """(n,) the value in the row whose key equals each id; nothing for ids without a row."""
    if not isinstance(ids, Coded) or not isinstance(keys, Coded):
        return Coded(np.full(len(ids), -1, np.int32), np.array([], dtype=object))
    row_of = {keys.levels[code]: row for row, code in enumerate(keys.codes.tolist()) if code >= 0}
    rows = np.array([*(row_of.get(level, -1) for level in ids.levels), -1], dtype=np.int64)[ids.codes]
    if isinstance(values, Coded):
        return values.take(rows)
    empty = np.nan if values.dtype.kind == "f" else MISSING
    return np.where(rows < 0, empty, values[rows]) if len(values) else np.full(len(rows), empty)


def _seniority(tables: Tables) -> Column:
    """Of the account's own contacts: those of others may not be there to look up."""
    people, rows = tables["contacts"], tables["activities"]
    seniority = look_up(rows["contact_id"], people["contact_id"], people["seniority"])
    home = look_up(rows["contact_id"], people["contact_id"], people["account_id"])
    if not isinstance(seniority, Coded) or not isinstance(home, Coded):
        return seniority
    account_codes = codes_in(rows["account_id"], {level: code for code, level in enumerate(home.levels)})
    return Coded(np.where(account_codes == home.codes, seniority.codes, np.int32(-1)), seniority.levels)


def _discount_pct(tables: Tables) -> Column:
    full, net = tables["quotes"]["list_amount"], tables["quotes"]["net_amount"]
    assert isinstance(full, np.ndarray)
    assert isinstance(net, np.ndarray)
    is_known = (full > 0) & (net != MISSING)
    return np.divide(100.0 * (full - net), full, out=np.full(len(full), np.nan), where=is_known)


def _step(tables: Tables, name: str) -> tuple[Column, NDArray[np.int64]]:
    """A stage history column and (n,) the row before of the same opportunity where it was given, -1 if
    none."""
    table = tables["stage_history"]
    column, stage = table[name], table["stage"]
    group, at = table["opportunity_id"], _moments(table["changed_at"])
    assert isinstance(group, Coded)
    given = column.codes >= 0 if isinstance(column, Coded) else column != MISSING
    order = np.lexsort((sortable(column), sortable(stage), at, group.codes))
    order = order[given[order]]
    before = np.full(len(at), -1, np.int64)
    same = group.codes[order[1:]] == group.codes[order[:-1]]
    before[order[1:][same]] = order[:-1][same]
    return column, before


def _difference(name: str, unit: int) -> Callable[[Tables], Column]:
    def make(tables: Tables) -> Column:
        column, before = _step(tables, name)
        values = _moments(column)
        return np.where(before < 0, MISSING, (values - values[before]) // unit) if len(values) else values

    return make


def _is_new_stage(tables: Tables) -> Column:
    stage, before = _step(tables, "stage")
    assert isinstance(stage, Coded)
    if not len(stage):
        return np.zeros(0, np.int64)
    return ((before < 0) | (stage.codes != stage.codes[before])).astype(np.int64)


def _outcome_at(tables: Tables) -> Column:
    table = tables["contracts"]
    end, renewed = _moments(table["end_date"]), _moments(table["renewed"])
    late = np.where(end == MISSING, MISSING, end + OUTCOME_DAYS * DAY)
    decided = _moments(table["decided_at"]) if "decided_at" in table else np.full(len(end), MISSING)
    return np.where(renewed == MISSING, MISSING, np.where(decided == MISSING, late, decided))


def _between(table: str, late: str, early: str, unit: int) -> Computed:
    """Whole units from one moment of a row to another."""
    return Computed(
        (f"{table}.{late}", f"{table}.{early}"),
        lambda tables: _minus(tables[table][late], tables[table][early], unit),
    )


def _milli(table: str, column: str) -> Computed:
    """A number as whole thousandths."""

    def make(tables: Tables) -> Column:
        values = _moments(tables[table][column]).astype(np.float64)
        gone = ~np.isfinite(values)
        return np.where(gone, MISSING, np.rint(np.where(gone, 0.0, values) * 1_000).astype(np.int64))

    return Computed((f"{table}.{column}",), make)


def _overdue_at(tables: Tables) -> Column:
    issued, due = _moments(tables["invoices"]["issued_at"]), _moments(tables["invoices"]["due_at"])
    return np.where(due == MISSING, MISSING, np.maximum(due + DAY, issued))


def _settled_overdue_at(tables: Tables) -> Column:
    paid, overdue = _moments(tables["invoices"]["paid_at"]), _moments(_overdue_at(tables))
    return np.where((paid == MISSING) | (overdue == MISSING), MISSING, np.maximum(paid, overdue))


def _industry(tables: Tables) -> Column:
    accounts = tables["accounts"]
    return look_up(tables["quotes"]["account_id"], accounts["account_id"], accounts["industry"])


SECOND = 1_000_000
_STAGES = ("stage_history.opportunity_id", "stage_history.changed_at", "stage_history.stage")
_DUE = ("invoices.issued_at", "invoices.due_at")

COMPUTED: dict[tuple[str, str], Computed] = {
    ("activities", "seniority"): Computed(
        ("activities.contact_id", "contacts.contact_id", "contacts.seniority"), _seniority
    ),
    ("quotes", "discount_pct"): Computed(("quotes.list_amount", "quotes.net_amount"), _discount_pct),
    ("quotes", "industry"): Computed(
        ("quotes.account_id", "accounts.account_id", "accounts.industry"), _industry
    ),
    ("stage_history", "slip_days"): Computed(
        (*_STAGES, "stage_history.expected_close_date"), _difference("expected_close_date", DAY)
    ),
    ("stage_history", "amount_step"): Computed((*_STAGES, "stage_history.amount"), _difference("amount", 1)),
    ("stage_history", "is_new_stage"): Computed(_STAGES, _is_new_stage),
    ("contracts", "outcome_at"): Computed(("contracts.end_date", "contracts.renewed"), _outcome_at),
    ("opportunities", "seconds_to_close"): _between("opportunities", "closed_at", "created_at", SECOND),
    ("cases", "seconds_open"): _between("cases", "closed_at", "opened_at", SECOND),
    ("cases", "opened_second"): Computed(
        ("cases.opened_at",), lambda tables: _moments(tables["cases"]["opened_at"]) // SECOND
    ),
    ("cases", "csat_milli"): _milli("cases", "csat"),
    ("surveys", "score_milli"): _milli("surveys", "score"),
    ("surveys", "seconds_to_answer"): _between("surveys", "answered_at", "asked_at", SECOND),
    ("leads", "seconds_to_qualify"): _between("leads", "qualified_at", "created_at", SECOND),
    ("invoices", "days_late"): _between("invoices", "paid_at", "due_at", DAY),
    ("invoices", "overdue_at"): Computed(_DUE, _overdue_at),
    ("invoices", "settled_overdue_at"): Computed((*_DUE, "invoices.paid_at"), _settled_overdue_at),
}
"""(table, column) → how it is calculated."""

OPTIONAL = {("contracts", "outcome_at"): ("contracts.decided_at",)}
"""What a calculated column also reads where it is there."""
