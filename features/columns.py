"""Columns of accounts, contracts, opportunities and leads as features: their values by `history`, else
today's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features.arrays import Coded, Column, Columns, codes_in, picked, sortable
from features.catalog.declare import Info
from features.crm.contract import TABLES, Kind
from features.kernel import MISSING, Selection, Stream, Timeline, View, elapsed_days, take

Ints = NDArray[np.int64]
KEYS = {
    "accounts": "account_id",
    "contracts": "contract_id",
    "opportunities": "opportunity_id",
    "leads": "lead_id",
}
BEGINS = {"accounts": "created_at", "contracts": "start_date", "opportunities": "created_at"}
"""Since when a row exists."""
SEEN_FROM = {"renewal": ("contracts", "accounts"), "win": ("opportunities", "accounts", "leads")}
"""Whose columns are features of a model."""
NEVER = frozenset(
    {
        "contracts.renewed", "contracts.decided_at", "contracts.lost_reason", "contracts.end_date",
        "opportunities.is_won", "opportunities.closed_at", "opportunities.lost_reason",
        "opportunities.created_at",
        "leads.created_at", "leads.disqualified_reason",
    }
)  # fmt: skip
"""The outcome itself, what only it explains, and moments that other features hold."""
ONLY_FROM_HISTORY = frozenset({"contracts.forecast", "opportunities.forecast"})
"""Changed up to the close: today's value would reveal the outcome."""
_YES, _NO = frozenset({"true", "t", "yes", "y", "1", "1.0"}), frozenset({"false", "f", "no", "n", "0", "0.0"})


@dataclass(frozen=True)
class CrmColumn:
    """A column as a feature.

    `history` says how rows of `history` cover it: not at all (None); as `states` from when a row was
    made, so that
    today's value holds where they say nothing; or as `changes` only. Then a cell without a change so far is
    missing: to fill it with today's value would reveal which cells are going to change.
    """

    table: str
    column: str
    kind: Kind
    history: Literal["states", "changes"] | None = None

    @property
    def today_counts(self) -> bool:
        """Whether today's value may be used where history says nothing."""
        return self.history != "changes" and self.name not in ONLY_FROM_HISTORY

    @property
    def name(self) -> str:
        """The feature's name, `table.column`."""
        return f"{self.table}.{self.column}"

    @property
    def info(self) -> Info:
        """How the feature is described to people."""
        dated = self.kind in (Kind.TIME, Kind.DATE)
        column = self.column.replace("_", " ")
        subject = TABLES[self.table].name.removesuffix("s").replace("opportunitie", "opportunity")
        done = re.fullmatch(r"(\w+ed) (at|on|date)", column) if dated else None
        column = re.sub(r" (at|on|date)$", " date", column) if dated else column
        words = f"{subject} was {done[1]}" if done else f"{column} of the {subject}"
        units = {
            Kind.MONEY: "money",
            Kind.FLAG: "yes or no",
            Kind.CATEGORY: "category",
            Kind.DURATION: "seconds",
        }
        return Info(
            name=self.name,
            words=f"days since the {words}" if dated else words,
            unit="days" if dated else units.get(self.kind, "number"),
            touchpoint=self.table,
            collected=self.name + (", history" if self.history else ""),
            source="column",
            column=self.name,
            group=self.name,
        )


def crm_columns(
    schema: Mapping[str, tuple[str, ...]],
    carried: Mapping[str, Mapping[str, Kind]],
    kind: str,
    *,
    in_history: Mapping[str, Literal["states", "changes"]] | None = None,
) -> tuple[CrmColumn, ...]:
    """The columns of a CRM that are features of a model: neither ids nor free text nor the outcome."""
    usable_columns = []
    for table in SEEN_FROM[kind]:
        if table == "leads" and "opportunity_id" not in schema.get("leads", ()):
            continue
        core = {column.stored: column.kind for column in TABLES[table].columns}
        for column in schema.get(table, ()):
            name = f"{table}.{column}"
            what = carried.get(table, {}).get(column) or core.get(column)
            usable = what not in (None, Kind.ID, Kind.TEXT) and name not in NEVER
            spoken_of = (in_history or {}).get(name)
            if usable and (name not in ONLY_FROM_HISTORY or spoken_of):
                usable_columns.append(CrmColumn(table, column, Kind(str(what)), spoken_of))
    return tuple(usable_columns)


def rows_by_id(ids: Column, numbers: Mapping[str, int]) -> Ints:
    """(len(numbers),) the row that holds each known id, -1 where none does; of several, the last."""
    rows = np.full(len(numbers), -1, np.int64)
    codes = codes_in(ids, dict(numbers))
    held = np.flatnonzero(codes >= 0)
    rows[codes[held]] = held
    return rows


def values_today(column: CrmColumn, values: Column, rows: Ints, as_of: Ints) -> Column:
    """(m,) the column in each snapshot's row (-1: none), as numbers or categories."""
    if isinstance(values, Coded):
        return values.take(rows)
    if values.dtype.kind == "f":
        return take(values, rows, np.nan)
    return _as_number(column.kind, take(values, rows, MISSING), as_of)


def _as_number(kind: Kind, whole: Ints, as_of: Ints) -> NDArray[np.float64]:
    if kind in (Kind.TIME, Kind.DATE):
        unseen = (whole >= as_of) | (as_of == MISSING)
        return elapsed_days(as_of, np.where(unseen, MISSING, whole))
    number = np.where(whole == MISSING, np.nan, whole.astype(np.float64))
    return number / 100 if kind == Kind.MONEY else number


def history_rows(
    table: str, column: str, history: Columns, numbers: Mapping[str, int], begins: Ints, group: Ints,
    as_of: Ints
) -> tuple[Ints, NDArray[np.bool_]]:  # fmt: skip
    """(m,) the row of `history` that holds a cell's value then (-1: none yet), and whether history covers
    the cell at all.

    A row's first entries, written when it was made (`begins`, (len(numbers),)), are known from its beginning
    on.
    """
    tables, names, changed = history["table"], history["column"], history["changed_at"]
    assert isinstance(tables, Coded)
    assert isinstance(names, Coded)
    assert isinstance(changed, np.ndarray)
    covered = _named(tables, table) & _named(names, column)
    codes = np.where(covered, codes_in(history["id"], dict(numbers)), -1)
    begin = np.where(codes < 0, MISSING, np.append(begins, MISSING)[codes])
    at = np.where((begin != MISSING) & (changed <= begin), np.minimum(changed, begin - 1), changed)
    covered = np.zeros(len(numbers) + 1, bool)
    covered[codes[codes >= 0]] = True
    before = int(as_of.max()) if len(as_of) else 0
    line = Timeline(
        codes,
        at,
        groups=len(numbers),
        before=before,
        ties=lambda rows: (sortable(picked(history, "value", rows)),),
    )
    stream = Stream(View(line, group, as_of), Selection(line, None))
    return take(line.rows, stream.last(stream.view.begin), -1), covered[group]


def values_stood(
    column: CrmColumn, today: Column, history: Columns, numbers: Mapping[str, int], begins: Ints, group: Ints,
    as_of: Ints
) -> Column:  # fmt: skip
    """(m,) the column as `history` says it stood at `as_of`; `today`'s value in cells history is silent
    about.

    Where history of a cell only starts later, the value before is not known, and stays missing.
    """
    rows, covered = history_rows(column.table, column.column, history, numbers, begins, group, as_of)
    return _choose(covered, _parsed(column.kind, history["value"], rows, as_of), today)


def _named(column: Coded, name: str) -> NDArray[np.bool_]:
    return np.array([*(level == name for level in column.levels), False])[column.codes]


def _choose(first: NDArray[np.bool_], past: Column, today: Column) -> Column:
    """(m,) `past` where `first`, else `today`."""
    if isinstance(past, Coded) and isinstance(today, Coded):
        levels = np.concatenate([past.levels, today.levels])
        shifted = np.where(today.codes < 0, -1, today.codes + len(past.levels))
        return Coded(np.where(first, past.codes, shifted).astype(np.int32), levels)
    assert isinstance(past, np.ndarray)
    assert isinstance(today, np.ndarray)
    return np.where(first, past, today)


def _parsed(kind: Kind, values: Column, rows: Ints, as_of: Ints) -> Column:
    """(m,) history's text of each row as the column's kind."""
    assert isinstance(values, Coded)
    text = values.take(rows)
    if kind == Kind.CATEGORY:
        return text
    if kind in (Kind.TIME, Kind.DATE):
        return _as_number(kind, np.array([*map(parse_moment, text.levels), MISSING])[text.codes], as_of)
    reader = _flag if kind == Kind.FLAG else parse_number
    numbers = np.array([*map(reader, text.levels), np.nan])[text.codes]
    return np.rint(numbers * 100) / 100 if kind == Kind.MONEY else numbers


def parse_number(text: str) -> float:
    """The number a text gives, NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return np.nan


def _flag(text: str) -> float:
    word = str(text).strip().lower()
    return 1.0 if word in _YES else 0.0 if word in _NO else np.nan


def parse_moment(text: str) -> int:
    """Microseconds of an ISO date or time, `MISSING` if it is none."""
    try:
        return int(
            np.datetime64(str(text).strip().removesuffix("Z").replace(" ", "T"), "us").astype(np.int64)
        )
    except ValueError:
        return int(MISSING)
