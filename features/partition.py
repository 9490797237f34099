"""Tables of some accounts → kernel → feature rows: a pure function, the same in process, on Spark and live."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from features.arrays import Coded, Column, Columns, codes_in, columns_of, sortable
from features.as_of import DAY, MISSING, Ints, Stream, View, elapsed_days, take, timeline
from features.catalog import ITSELF, Plan
from features.columns import (
    BEGINS,
    KEYS,
    ONLY_FROM_HISTORY,
    CrmColumn,
    rows_by_id,
    values_stood,
    values_today,
)
from features.declaration import EVER, RUNUP, SCOPE_COLUMN, TERM, Events, Feature, Test
from features.event_columns import COMPUTED
from features.tables import SUBJECTS, TABLES

RUNUP_DAYS = 180


@dataclass
class Partition:
    """The tables of some accounts and the snapshots to answer, with what was worked out on the way.

    Args:
        kind: `renewal` or `win`.
        tables: columns by table; an absent table has no rows.
        snapshots: columns account_id, contract_id, opportunity_id, as_of, lead_days; m rows.
    """

    kind: str
    tables: dict[str, Columns]
    snapshots: Columns
    _computed: dict[tuple[str, str], Column] = field(default_factory=dict)
    _masks: dict[tuple[str, Test], NDArray[np.bool_]] = field(default_factory=dict)
    _groups: dict[tuple[str, str], Ints] = field(default_factory=dict)
    _views: dict[tuple[str, str, str], View] = field(default_factory=dict)
    _streams: dict[tuple[Events, str], Stream] = field(default_factory=dict)

    @cached_property
    def as_of(self) -> Ints:
        """(m,) moments of the snapshots, `MISSING` in undated data."""
        column = self.snapshots["as_of"]
        assert isinstance(column, np.ndarray)
        return column

    @cached_property
    def known(self) -> dict[str, dict[str, int]]:
        """Scope → id → number, over the ids the snapshots name."""
        found = {}
        for scope, column in SCOPE_COLUMN.items():
            ids = self.snapshots.get(column)
            levels = ids.levels if isinstance(ids, Coded) else ()
            found[scope] = {level: number for number, level in enumerate(levels)}
        return found | {"everyone": {"": 0}}

    def group_of_snapshots(self, scope: str) -> Ints:
        """(m,) each snapshot's account, contract, …, -1 for none."""
        if ("", scope) not in self._groups:
            self._groups["", scope] = self._codes(self.snapshots, scope, len(self.as_of))
        return self._groups["", scope]

    def _codes(self, columns: Columns, scope: str, rows: int) -> Ints:
        if scope == "everyone":
            return np.zeros(rows, np.int64)
        return codes_in(columns[SCOPE_COLUMN[scope]], self.known[scope])

    def column(self, table: str, name: str) -> Column:
        """A column of a table, calculated if need be."""
        if name in self.tables[table]:
            return self.tables[table][name]
        if (table, name) not in self._computed:
            self._computed[table, name] = COMPUTED[table, name].make(self.tables)
        return self._computed[table, name]

    def group(self, table: str, scope: str) -> Ints:
        """(n,) each row's account, contract, …, -1 if no snapshot asks for it."""
        if (table, scope) not in self._groups:
            columns = self.tables[table]
            rows = len(next(iter(columns.values())))
            if scope in SCOPE_COLUMN and SCOPE_COLUMN[scope] not in columns:
                columns = {SCOPE_COLUMN[scope]: self.column(table, SCOPE_COLUMN[scope])}
            self._groups[table, scope] = self._codes(columns, scope, rows)
        return self._groups[table, scope]

    def view(self, table: str, at: str, scope: str) -> View:
        """A table by one of its moments, seen from the snapshots."""
        if (table, at, scope) not in self._views:
            moment = self.column(table, at)
            assert isinstance(moment, np.ndarray)
            recorded = self.tables[table].get("recorded_at") if at == "occurred_at" else None
            line = timeline(
                self.group(table, scope),
                moment,
                groups=len(self.known[scope]),
                before=int(self.as_of.max()) if len(self.as_of) else 0,
                recorded=recorded if isinstance(recorded, np.ndarray) else None,
                ties=lambda: self._ties(table),
            )
            self._views[table, at, scope] = View(line, self.group_of_snapshots(scope), self.as_of)
        return self._views[table, at, scope]

    def _ties(self, table: str) -> tuple[NDArray, ...]:
        """What orders rows of one moment: the table's key, or all of its columns where it has none."""
        columns = self.tables[table]
        key = TABLES[table].key
        names = [key] if key in columns else sorted(columns)
        return tuple(sortable(columns[name]) for name in names)

    def mask(self, table: str, test: Test) -> NDArray[np.bool_]:
        """(n,) whether each row of the table passes."""
        if (table, test) not in self._masks:
            self._masks[table, test] = _passes(self.column(table, test.column), test)
        return self._masks[table, test]

    def stream(self, events: Events, scope: str) -> Stream:
        """The filtered events, seen from the snapshots."""
        if (events, scope) not in self._streams:
            view = self.view(events.table, events.at, scope)
            passes = None
            for test in events.where:
                hit = self.mask(events.table, test)
                passes = hit if passes is None else passes & hit
            chosen = None if passes is None else passes[view.line.rows]
            self._streams[events, scope] = Stream(view, chosen)
        return self._streams[events, scope]

    def start(self, view: View, window: int | str) -> Ints:
        """(m,) position of the first event of a window."""
        if window == EVER:
            return view.begin
        if isinstance(window, int):
            return view.days(window)
        return view.since(window, self.window_start(window))

    def window_start(self, window: str) -> Ints:
        """(m,) when the subject's term (or deal) began, or the run-up to its end; `MISSING` if not known."""
        if window == TERM:
            return self.subject_column(BEGINS[SUBJECTS[self.kind]])
        end = self.subject_column("end_date")
        return np.where(end == MISSING, MISSING, end - RUNUP_DAYS * DAY)

    def subject_column(self, name: str) -> Ints:
        """(m,) a moment of each snapshot's contract or opportunity; the end as it was known at `as_of`."""
        table = SUBJECTS[self.kind]
        if name == "end_date":
            end = self.snapshots["ends_at"]
            assert isinstance(end, np.ndarray)
            return end
        values = self.tables[table][name]
        assert isinstance(values, np.ndarray)
        return take(values, self.rows_of_snapshots(table), MISSING)

    def rows_of_snapshots(self, table: str) -> Ints:
        """(m,) the row of a table that each snapshot is about, -1 for none."""
        key = KEYS[table]
        scope = key.removesuffix("_id")
        if table == "leads":
            return self._lead_rows()
        rows = np.append(rows_by_id(self.tables[table][key], self.known[scope]), -1)
        return rows[self.group_of_snapshots(scope)]

    def _lead_rows(self) -> Ints:
        """(m,) the last lead of the opportunity seen before the snapshot (undated: the last of all)."""
        if len(self.as_of) and self.as_of.max() == MISSING:
            return self._any_lead()
        stream = self.stream(Events("leads", "created_at"), "opportunity")
        return take(stream.view.line.rows, stream.last(stream.view.begin), -1)

    def _any_lead(self) -> Ints:
        rows = np.append(rows_by_id(self.tables["leads"]["opportunity_id"], self.known["opportunity"]), -1)
        return rows[self.group_of_snapshots("opportunity")]


def _passes(column: Column, test: Test) -> NDArray[np.bool_]:
    if isinstance(column, Coded):
        return column.codes >= 0 if test.words is None else column.among(test.words)
    given = ~np.isnan(column) if column.dtype.kind == "f" else column != MISSING
    if test.flag is not None:
        return given & (column == int(test.flag))
    if test.least is not None:
        given = given & (column >= test.least)
    if test.most is not None:
        given = given & (column <= test.most)
    return given


def answer(part: Partition, feature: Feature) -> Column:
    """(m,) one feature: float64 with NaN where nothing can be said, or categories."""
    events = feature.events
    if feature.value and feature.take != "distinct":
        events = events.given(feature.value)
    stream = part.stream(events, feature.scope)
    start = part.start(stream.view, feature.window)
    found = _aggregate(part, feature, stream, start)
    if isinstance(found, Coded):
        return found
    if feature.divide != 1:
        found = found / feature.divide
    if feature.window in (TERM, RUNUP):
        found = np.where(part.window_start(str(feature.window)) == MISSING, np.nan, found)
    return found


def _aggregate(part: Partition, feature: Feature, stream: Stream, start: Ints) -> Column:
    as_of = part.as_of
    match feature.take:
        case "count":
            return stream.count(start).astype(np.float64)
        case "sum":
            return stream.sum(_whole(part, feature, stream), start).astype(np.float64)
        case "mean":
            count = stream.count(start)
            total = stream.sum(_whole(part, feature, stream), start)
            return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
        case "last" | "previous" | "first" | "days_until":
            return _value(part, feature, stream, _rank(feature, stream, start))
        case "days_since":
            return elapsed_days(as_of, stream.at(stream.last(start)))
        case "days_since_first":
            return elapsed_days(as_of, stream.at(stream.first(start)))
        case "gap_days":
            count = stream.count(start)
            span = stream.at(stream.last(start)) - stream.at(stream.first(start))
            return np.divide(span, (count - 1) * DAY, out=np.full(len(count), np.nan), where=count > 1)
        case "distinct":
            days = feature.window if isinstance(feature.window, int) else None
            codes = part.column(feature.events.table, str(feature.value))
            return stream.distinct(_codes(codes, stream), days).astype(np.float64)


def _rank(feature: Feature, stream: Stream, start: Ints) -> Ints:
    if feature.take == "first":
        return stream.first(start)
    last = stream.last(start)
    if feature.take != "previous":
        return last
    return np.where(last < 0, -1, stream.before(np.maximum(last, 0), start))


def _rows(stream: Stream) -> Ints:
    return stream.view.line.rows[stream.picked]


def _codes(column: Column, stream: Stream) -> Ints:
    codes = column.codes if isinstance(column, Coded) else column
    return codes[_rows(stream)].astype(np.int64)


def _whole(part: Partition, feature: Feature, stream: Stream) -> Ints:
    values = part.column(feature.events.table, str(feature.value))
    if isinstance(values, Coded) or values.dtype.kind != "i":
        raise TypeError(f"{feature.name}: sums are over whole numbers, {feature.value} is none")
    return values[_rows(stream)]


def _value(part: Partition, feature: Feature, stream: Stream, rank: Ints) -> Column:
    values = part.column(feature.events.table, str(feature.value))
    row = take(_rows(stream), rank, -1)
    if isinstance(values, Coded):
        return values.take(row)
    if values.dtype.kind == "f":
        return take(values, row, np.nan)
    whole = take(values, row, MISSING)
    if feature.take == "days_until":
        return -elapsed_days(part.as_of, whole)
    return np.where(whole == MISSING, np.nan, whole.astype(np.float64))


def event_rows(part: Partition, plan: Plan) -> Columns:
    """Every event feature of the plan, and what the snapshot says about itself.

    Features that span accounts stand in the snapshots' columns already (`features.peers`).
    """
    across = {one.name for one in (*plan.across, *plan.across_derived)}
    found = {**_about_itself(part), **{name: part.snapshots[name] for name in across}}
    for feature in plan.features:
        found[feature.name] = answer(part, feature)
    for derived in plan.derived:
        found[derived.name] = derived.formula(*(found[need] for need in derived.needs))
    given = [name for name in found if name in ITSELF[plan.kind] and name != "as_of_seconds"]
    return {name: found[name] for name in (*given, *(one.name for one in plan.shown))}


def _about_itself(part: Partition) -> Columns:
    lead = part.snapshots["lead_days"]
    found: Columns = {"as_of_seconds": part.as_of / 1_000_000}
    if part.kind == "win":
        return {"days_open": lead, **found}
    found["days_to_end"] = lead
    if "start_date" in part.tables.get("contracts", {}):
        start, end = part.subject_column("start_date"), part.subject_column("end_date")
        gone = (start == MISSING) | (end == MISSING)
        found["term_days"] = np.where(gone, np.nan, (end - start) / DAY)
    end = part.subject_column("end_date")
    month = end.view("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    found["end_month"] = np.where(end == MISSING, np.nan, month.astype(np.float64))
    return found


def column_rows(part: Partition, columns: tuple[CrmColumn, ...]) -> Columns:
    """Every CRM column as a feature."""
    return {column.name: _crm_column(part, column) for column in columns if column.table in part.tables}


def _crm_column(part: Partition, column: CrmColumn) -> Column:
    rows = part.rows_of_snapshots(column.table)
    if column.name in ONLY_FROM_HISTORY:
        rows = np.full_like(rows, -1)
    today = values_today(column, part.tables[column.table][column.column], rows, part.as_of)
    dated = len(part.as_of) and part.as_of.max() != MISSING
    if not (column.has_history and dated and column.table in BEGINS):
        return today
    scope = KEYS[column.table].removesuffix("_id")
    known = part.known[scope]
    begins = part.tables[column.table].get(BEGINS[column.table])
    row_of = rows_by_id(part.tables[column.table][KEYS[column.table]], known)
    begin = np.full(len(known), MISSING) if begins is None else take(begins, row_of, MISSING)
    group = part.group_of_snapshots(scope)
    return values_stood(column, today, part.tables["history"], known, begin, group, part.as_of)


def partition_rows(
    plan: Plan, columns: tuple[CrmColumn, ...], tables: Mapping[str, pa.Table], snapshots: pa.Table
) -> pa.Table:
    """Feature rows of some accounts' snapshots, in the snapshots' order.

    Args:
        plan: which event features.
        columns: which CRM columns.
        tables: the accounts' rows of every table the plan reads (others' rows do no harm).
        snapshots: account_id, contract_id, opportunity_id, as_of, lead_days.
    """
    part = Partition(
        plan.kind, {name: columns_of(table) for name, table in tables.items()}, columns_of(snapshots)
    )
    rows = column_rows(part, columns)
    if len(part.as_of) and part.as_of.max() != MISSING:
        rows = {**event_rows(part, plan), **rows}
    return pa.table({name: _arrow(values) for name, values in rows.items()})


def _arrow(values: Column) -> pa.Array:
    if not isinstance(values, Coded):
        return pa.array(values, pa.float64())
    levels = pa.array(values.levels.tolist(), pa.string())
    if not len(levels):
        return pa.nulls(len(values), pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(pa.array(values.codes, mask=values.codes < 0), levels)
