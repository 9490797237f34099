"""Ledger and snapshots → feature rows: a pure function, the same in process, on Spark and live.

What spans accounts: an owner's record and load, the industry's discounts; as of the midnight before the
snapshot.

It is a pass of its own because its groups (owners, industries) cut across the account partitions. Midnight
(UTC) makes
it the same in nightly and live scoring.
"""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from features.arrays import Coded, Column, Columns, codes_in, columns_of, look_up
from features.catalog import ITSELF, Plan, of_columns
from features.catalog.declare import EVER, RUNUP, SCOPE_COLUMN, TERM, Events, Feature
from features.columns import BEGINS, KEYS, CrmColumn, rows_by_id, values_stood, values_today
from features.crm.contract import SUBJECTS
from features.event_index import Ledger
from features.kernel import DAY, FOREVER, MISSING, Floats, Ints, Stream, View, elapsed_days, take

RUNUP_DAYS = 180
LEADS = Events("leads", "created_at")


def known_ids(snapshots: Columns) -> dict[str, dict[str, int]]:
    """Scope → id → number, over the ids that snapshots name."""
    id_numbers: dict[str, dict[str, int]] = {"everyone": {"": 0}}
    for scope, column in SCOPE_COLUMN.items():
        ids = snapshots.get(column)
        levels = ids.levels if isinstance(ids, Coded) else ()
        id_numbers[scope] = {level: number for number, level in enumerate(levels)}
    return id_numbers


class Asked:
    """Snapshots put to a ledger.

    Args:
        kind: `renewal` or `win`.
        ledger: the accounts' events.
        snapshots: account_id, contract_id, opportunity_id, as_of, lead_days, ends_at, and what spans
        accounts; m rows.
    """

    def __init__(self, kind: str, ledger: Ledger, snapshots: Columns) -> None:
        self.kind, self.ledger, self.snapshots = kind, ledger, snapshots
        as_of = snapshots["as_of"]
        assert isinstance(as_of, np.ndarray)
        self.as_of: Ints = as_of
        self._groups: dict[str, Ints] = {}
        self._rows: dict[str, Ints] = {}
        self._windows: dict[str, Ints] = {}
        self._views: dict[tuple[str, str, str], View] = {}
        self._streams: dict[tuple[Events, str], Stream] = {}

    @property
    def dated(self) -> bool:
        """Whether the snapshots have moments."""
        return bool(len(self.as_of)) and int(self.as_of.max()) != MISSING

    def group(self, scope: str) -> Ints:
        """(m,) each snapshot's account, contract, …, -1 for none."""
        if scope not in self._groups:
            if scope == "everyone":
                self._groups[scope] = np.zeros(len(self.as_of), np.int64)
            else:
                number_by_id = self.ledger.id_numbers[scope]
                self._groups[scope] = codes_in(self.snapshots[SCOPE_COLUMN[scope]], number_by_id)
        return self._groups[scope]

    def view(self, table: str, at: str, scope: str) -> View:
        """A table by one of its moments, seen from the snapshots."""
        if (table, at, scope) not in self._views:
            line = self.ledger.line(table, at, scope)
            self._views[table, at, scope] = View(line, self.group(scope), self.as_of)
        return self._views[table, at, scope]

    def stream(self, events: Events, scope: str) -> Stream:
        """The chosen events, seen from the snapshots."""
        stream = self._streams.get((events, scope))
        if stream is None:
            view = self.view(events.table, events.at, scope)
            stream = self._streams[events, scope] = Stream(view, self.ledger.chosen(events, scope))
        return stream

    def start(self, view: View, window: int | str) -> Ints:
        """(m,) position of the first event of a window."""
        if window == EVER:
            return view.begin
        return view.days(window) if isinstance(window, int) else view.since(window, self.window_start(window))

    def window_start(self, window: str) -> Ints:
        """(m,) when the subject's term (or deal) began, or the run-up to its end; `MISSING` if not known."""
        if window not in self._windows:
            if window == TERM:
                self._windows[window] = self.subject_moment(BEGINS[SUBJECTS[self.kind]])
            else:
                end = self.moment("ends_at")
                self._windows[window] = np.where(end == MISSING, MISSING, end - RUNUP_DAYS * DAY)
        return self._windows[window]

    def moment(self, name: str) -> Ints:
        """(m,) a moment the snapshots hold themselves."""
        values = self.snapshots[name]
        assert isinstance(values, np.ndarray)
        return values

    def subject_moment(self, name: str) -> Ints:
        """(m,) a moment of each snapshot's contract or opportunity."""
        table = SUBJECTS[self.kind]
        values = self.ledger.tables[table][name]
        assert isinstance(values, np.ndarray)
        return take(values, self.rows(table), MISSING)

    def rows(self, table: str) -> Ints:
        """(m,) the row of a table that each snapshot is about, -1 for none."""
        if table not in self._rows:
            if table == "leads" and self.dated:
                self._rows[table] = self._lead_rows()
            else:
                key = "opportunity_id" if table == "leads" else KEYS[table]
                scope = key.removesuffix("_id")
                by_id = rows_by_id(self.ledger.tables[table][key], self.ledger.id_numbers[scope])
                self._rows[table] = np.append(by_id, -1)[self.group(scope)]
        return self._rows[table]

    def _lead_rows(self) -> Ints:
        """(m,) the opportunity's last lead before the snapshot."""
        stream = self.stream(LEADS, "opportunity")
        return take(stream.chosen.rows, stream.last(stream.view.begin), -1)


def answer(query: Asked, feature: Feature) -> Column:
    """(m,) one feature: float64 with NaN where nothing can be said, or categories."""
    events, scope = feature.source, feature.scope
    if feature.take == "distinct":
        values: Column = _distinct(query, feature)
    else:
        stream = query.stream(events, scope)
        values = _aggregate(query, feature, stream, query.start(stream.view, feature.window))
    if isinstance(values, Coded):
        return values
    if feature.divide != 1:
        values = values / feature.divide
    if feature.window in (TERM, RUNUP):
        values = np.where(query.window_start(str(feature.window)) == MISSING, np.nan, values)
    return values


def _distinct(query: Asked, feature: Feature) -> Floats:
    days = feature.window if isinstance(feature.window, int) else None
    present = query.ledger.present(feature.source, feature.scope, str(feature.value))
    return present.count(days, query.group(feature.scope), query.as_of).astype(np.float64)


def _aggregate(query: Asked, feature: Feature, stream: Stream, start: Ints) -> Column:
    match feature.take:
        case "count":
            return stream.count(start).astype(np.float64)
        case "sum" | "mean":
            total = query.ledger.total(feature.source, feature.scope, str(feature.value))
            summed = stream.sum(total, start).astype(np.float64)
            return summed if feature.take == "sum" else _per(summed, stream.count(start))
        case "last" | "days_until":
            return _value(query, feature, stream, stream.last(start))
        case "previous":
            return _value(query, feature, stream, stream.previous(start))
        case "first":
            return _value(query, feature, stream, stream.first(start))
        case "days_since":
            return elapsed_days(query.as_of, stream.at(stream.last(start)))
        case "days_since_first":
            return elapsed_days(query.as_of, stream.at(stream.first(start)))
        case "gap_days":
            span = stream.at(stream.last(start)) - stream.at(stream.first(start))
            return _per(span / DAY, stream.count(start) - 1)
    raise ValueError(f"{feature.name}: no aggregate {feature.take}")


def _per(amount: Floats, count: Ints) -> Floats:
    return np.divide(amount, count, out=np.full(len(count), np.nan), where=count > 0)


def _value(query: Asked, feature: Feature, stream: Stream, rank: Ints) -> Column:
    values = query.ledger.column(feature.source.table, str(feature.value))
    row = take(stream.chosen.rows, rank, -1)
    if isinstance(values, Coded):
        return values.take(row)
    if values.dtype.kind == "f":
        return take(values, row, np.nan)
    whole = take(values, row, MISSING)
    if feature.take == "days_until":
        return -elapsed_days(query.as_of, whole)
    return np.where(whole == MISSING, np.nan, whole.astype(np.float64))


def event_rows(query: Asked, plan: Plan) -> Columns:
    """Every event feature of the plan, and what the snapshot says about itself.

    Features that span accounts are in the snapshots' columns already (`features.evaluate`).
    """
    columns = about_itself(query)
    columns |= {name: query.snapshots[name] for name in plan.across_names}
    for feature in plan.features:
        columns[feature.name] = answer(query, feature)
    for derived in plan.derived:
        columns[derived.name] = derived.formula(*[columns[need] for need in derived.needs])
    return {name: columns[name] for name in plan.names if name in columns}


def about_itself(query: Asked) -> dict[str, Column]:
    """What a snapshot says about itself (`features.catalog.ITSELF`)."""
    columns: dict[str, Column] = {"as_of_seconds": query.as_of / 1_000_000}
    lead = query.snapshots["lead_days"]
    if query.kind == "win":
        return {ITSELF["win"][0]: lead, **columns}
    end = query.moment("ends_at")
    month = end.view("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    columns |= {"days_to_end": lead, "end_month": np.where(end == MISSING, np.nan, month.astype(np.float64))}
    if "start_date" in query.ledger.tables.get("contracts", {}):
        start = query.subject_moment("start_date")
        gone = (start == MISSING) | (end == MISSING)
        columns["term_days"] = np.where(gone, np.nan, (end - start) / DAY)
    return columns


def column_rows(query: Asked, columns: tuple[CrmColumn, ...]) -> Columns:
    """Every CRM column as a feature."""
    return {column.name: _crm_column(query, column) for column in columns}


def _crm_column(query: Asked, column: CrmColumn) -> Column:
    table = query.ledger.tables[column.table]
    rows = query.rows(column.table)
    today = values_today(
        column, table[column.column], rows if column.today_counts else np.full_like(rows, -1), query.as_of
    )
    if not (column.history and query.dated and column.table in BEGINS):
        return today
    scope = KEYS[column.table].removesuffix("_id")
    number_by_id = query.ledger.id_numbers[scope]
    begins = table.get(BEGINS[column.table])
    begin = np.full(len(number_by_id), MISSING)
    if isinstance(begins, np.ndarray):
        begin = take(begins, rows_by_id(table[KEYS[column.table]], number_by_id), MISSING)
    return values_stood(
        column, today, query.ledger.tables["history"], number_by_id, begin, query.group(scope), query.as_of
    )


def partition_rows(
    plan: Plan, columns: tuple[CrmColumn, ...], tables: Mapping[str, pa.Table], snapshots: pa.Table
) -> pa.Table:
    """Feature rows of some accounts' snapshots, in the snapshots' order.

    Args:
        plan: which event features.
        columns: which CRM columns.
        tables: the accounts' rows of every table that is read (others' rows do no harm).
        snapshots: account_id, contract_id, opportunity_id, as_of, lead_days, ends_at, and what spans
        accounts.
    """
    asked_of = columns_of(snapshots)
    as_of = asked_of["as_of"]
    assert isinstance(as_of, np.ndarray)
    before = int(as_of.max()) if len(as_of) else FOREVER
    ledger = Ledger({name: columns_of(table) for name, table in tables.items()}, known_ids(asked_of), before)
    rows = live_rows(plan, columns, ledger, asked_of)
    return pa.table({name: _arrow(values) for name, values in rows.items()})


def live_rows(plan: Plan, columns: tuple[CrmColumn, ...], ledger: Ledger, snapshots: Columns) -> Columns:
    """Feature rows of snapshots, put to a ledger kept ready: each feature as an array.

    A ledger of one account with 1,000 events answers the whole catalogue in a few milliseconds.
    """
    query = Asked(plan.kind, ledger, snapshots)
    rows: dict[str, Column] = {}
    if query.dated or not len(query.as_of):
        rows |= event_rows(query, plan)
    rows |= column_rows(query, columns)
    for derived in of_columns(plan.kind, rows):
        rows[derived.name] = derived.formula(*(rows[need] for need in derived.needs))
    return rows


def _arrow(values: Column) -> pa.Array:
    if not isinstance(values, Coded):
        return pa.array(values, pa.float64())
    levels = pa.array(values.levels.tolist(), pa.string())
    if not len(levels):
        return pa.nulls(len(values), pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(pa.array(values.codes, mask=values.codes < 0), levels)


class Peers:
    """What spans accounts for the subjects of one model.

    Args:
        plan: what to answer.
        tables: whole tables, every account's rows.
        subjects: account_id, owner_id, contract_id, opportunity_id of every subject that may be asked about.
    """

    def __init__(self, plan: Plan, tables: dict[str, Columns], subjects: Columns) -> None:
        self.plan, self.tables = plan, tables
        self.ledger = Ledger(tables, known_ids(self.industries(subjects)))

    def _industry(self, account_id: Column) -> dict[str, Column]:
        accounts = self.tables.get("accounts", {})
        if "industry" not in accounts:
            return {}
        return {"industry": look_up(account_id, accounts["account_id"], accounts["industry"])}

    def industries(self, subjects: Columns) -> Columns:
        """The subjects with their accounts' industry, where accounts have one: what `rows` asks by."""
        return {**subjects, **self._industry(subjects["account_id"])}

    def rows(self, snapshots: Columns) -> Columns:
        """(m,) columns of every feature that spans accounts, and of those that others are calculated from.

        Args:
            snapshots: account_id, owner_id, contract_id, opportunity_id, as_of, lead_days, and `industry`
            if it is known already; m rows.
        """
        as_of = snapshots["as_of"]
        assert isinstance(as_of, np.ndarray)
        midnight = np.where(as_of == MISSING, MISSING, as_of - as_of % DAY)
        with_industry = snapshots if "industry" in snapshots else self.industries(snapshots)
        put = Asked(self.plan.kind, self.ledger, {**with_industry, "as_of": midnight})
        columns: dict[str, Column] = {feature.name: answer(put, feature) for feature in self.plan.across}
        for derived in self.plan.across_derived:
            columns[derived.name] = derived.formula(*(columns[need] for need in derived.needs))
        return columns
