"""The catalogue answered the slow, obvious way: for each snapshot and feature, look at every row of the
table."""

import math
from datetime import timedelta

import numpy as np

from features.arrays import OUTCOME_DAYS
from features.catalog import Plan, of_columns
from features.catalog.declare import ACROSS, EVER, RUNUP, SCOPE_COLUMN, TERM, Derived, Feature, Test
from features.columns import BEGINS, KEYS, CrmColumn, parse_moment
from features.crm.contract import SUBJECTS, TABLES, Kind

DAY = 86_400_000_000
Row = dict
Rows = dict[str, list[Row]]


def plain_rows(tables: dict) -> Rows:
    """Arrow tables as rows; moments as whole microseconds, NaN as None."""
    return {name: [_plain(row) for row in table.to_pylist()] for name, table in tables.items()}


def _plain(row: Row) -> Row:
    return {name: _value(value) for name, value in row.items()}


def _value(value):
    if hasattr(value, "isoformat"):
        return int(np.datetime64(value, "us").astype(np.int64))
    if isinstance(value, bool):
        return int(value)
    return None if isinstance(value, float) and math.isnan(value) else value


def _find(rows: list[Row], key: str, wanted) -> Row | None:
    return next((row for row in rows if wanted is not None and row[key] == wanted), None)


def _gap(late, early, unit):
    return None if late is None or early is None else (late - early) // unit


def _milli(value):
    return None if value is None else round(value * 1000)


def _step(rows: Rows, row: Row, column: str, unit: int):
    """How far a stage history column lies above its value before, in the same deal."""
    if row[column] is None:
        return None
    line = [
        r
        for r in rows["stage_history"]
        if r["opportunity_id"] == row["opportunity_id"] and r[column] is not None
    ]
    line.sort(key=lambda r: (r["changed_at"], r["stage"], r[column]))
    before = line[: _place(line, row)]
    if column == "stage":
        return int(not before or before[-1]["stage"] != row["stage"])
    return (row[column] - before[-1][column]) // unit if before else None


def _place(line: list[Row], row: Row) -> int:
    return next(place for place, other in enumerate(line) if other is row)


def column(rows: Rows, table: str, row: Row, name: str):
    """A stored or calculated column of one row."""
    if name in row:
        return row[name]
    match table, name:
        case "activities", "seniority":
            person = _find(rows["contacts"], "contact_id", row["contact_id"]) or {}
            return person.get("seniority") if person.get("account_id") == row["account_id"] else None
        case "quotes", "discount_pct":
            full, net = row["list_amount"], row["net_amount"]
            return None if full is None or net is None or full <= 0 else 100.0 * (full - net) / full
        case "quotes", "industry":
            return (_find(rows["accounts"], "account_id", row["account_id"]) or {}).get("industry")
        case "stage_history", "slip_days":
            return _step(rows, row, "expected_close_date", DAY)
        case "stage_history", "amount_step":
            return _step(rows, row, "amount", 1)
        case "stage_history", "is_new_stage":
            return _step(rows, row, "stage", 1)
        case "contracts", "outcome_at":
            end = row["end_date"]
            late = None if end is None else end + OUTCOME_DAYS * DAY
            return None if row["renewed"] is None else row.get("decided_at") or late
        case "opportunities", "seconds_to_close":
            return _gap(row["closed_at"], row["created_at"], 1_000_000)
        case "cases", "seconds_open":
            return _gap(row["closed_at"], row["opened_at"], 1_000_000)
        case "cases", "opened_second":
            return row["opened_at"] // 1_000_000
        case "cases", "csat_milli":
            return _milli(row["csat"])
        case "surveys", "score_milli":
            return _milli(row["score"])
        case "surveys", "seconds_to_answer":
            return _gap(row["answered_at"], row["asked_at"], 1_000_000)
        case "leads", "seconds_to_qualify":
            return _gap(row["qualified_at"], row["created_at"], 1_000_000)
        case "invoices", "days_late":
            return _gap(row["paid_at"], row["due_at"], DAY)
        case "invoices", "overdue_at":
            return None if row["due_at"] is None else max(row["due_at"] + DAY, row["issued_at"])
        case "invoices", "settled_overdue_at":
            overdue = column(rows, table, row, "overdue_at")
            return None if row["paid_at"] is None or overdue is None else max(row["paid_at"], overdue)
    raise KeyError(f"{table}.{name}")


def passes(value, test: Test) -> bool:
    """Whether a value meets a test."""
    if value is None:
        return False
    if test.words is not None:
        return " ".join(value.lower().replace("_", " ").replace("-", " ").split()) in test.words
    if test.flag is not None:
        return value == int(test.flag)
    return (test.least is None or value >= test.least) and (test.most is None or value <= test.most)


def _order(table: str, row: Row):
    key = TABLES[table].key
    names = [key] if key in row else sorted(row)
    return tuple((row[name] is not None, row[name] if row[name] is not None else 0) for name in names)


def _since(rows: Rows, kind: str, snapshot: Row, window) -> int | None:
    """The first moment of a window, None if it is not known."""
    if window == EVER:
        return -(2**62)
    if isinstance(window, int):
        return snapshot["as_of"] - int(timedelta(days=window) / timedelta(microseconds=1))
    if window == RUNUP:
        return None if snapshot["ends_at"] is None else snapshot["ends_at"] - 180 * DAY
    assert window == TERM
    table = SUBJECTS[kind]
    subject = _find(rows[table], KEYS[table], snapshot[KEYS[table]])
    return subject[BEGINS[table]] if subject else None


def answer(rows: Rows, kind: str, snapshot: Row, feature: Feature):
    """One feature of one snapshot."""
    since = _since(rows, kind, snapshot, feature.window)
    if since is None:
        return math.nan
    table, as_of = feature.events.table, snapshot["as_of"]
    scope = SCOPE_COLUMN.get(feature.scope)
    seen = []
    for row in rows[table]:
        at = column(rows, table, row, feature.events.at)
        recorded = row.get("recorded_at") if feature.events.at == "occurred_at" else None
        value = column(rows, table, row, feature.value) if feature.value else None
        mine = scope is None or (
            snapshot[scope] is not None and column(rows, table, row, scope) == snapshot[scope]
        )
        visible = at is not None and since <= at < as_of and (recorded is None or recorded < as_of)
        wanted = all(passes(column(rows, table, row, test.column), test) for test in feature.events.where)
        if mine and visible and wanted and (not feature.value or value is not None):
            seen.append((at, _order(table, row), value))
    seen.sort(key=lambda event: event[:2])
    return _aggregate(feature, as_of, seen)


def _aggregate(feature: Feature, as_of: int, seen: list):
    values = [value for _, _, value in seen]
    days = [(as_of - at) / DAY for at, _, _ in seen]
    match feature.take:
        case "count":
            return float(len(seen))
        case "distinct":
            return float(len(set(values)))
        case "sum":
            return float(sum(values)) / feature.divide
        case "mean":
            return float(sum(values)) / len(values) / feature.divide if values else math.nan
        case "last":
            return _number(values[-1], feature) if values else None
        case "previous":
            return _number(values[-2], feature) if len(values) > 1 else None
        case "first":
            return _number(values[0], feature) if values else None
        case "days_until":
            return (values[-1] - as_of) / DAY if values else math.nan
        case "days_since":
            return days[-1] if days else math.nan
        case "days_since_first":
            return days[0] if days else math.nan
        case "gap_days":
            span = seen[-1][0] - seen[0][0] if seen else 0
            return span / DAY / (len(seen) - 1) if len(seen) > 1 else math.nan
    raise AssertionError(feature.take)


def _number(value, feature: Feature):
    return value if isinstance(value, str) else value / feature.divide


def crm_column(rows: Rows, snapshot: Row, feature: CrmColumn):
    """One CRM column as it stood for one snapshot."""
    table, as_of = feature.table, snapshot["as_of"]
    if table == "leads":
        mine = [
            r
            for r in rows["leads"]
            if snapshot["opportunity_id"] and r["opportunity_id"] == snapshot["opportunity_id"]
        ]
        seen = sorted((r["created_at"], r["lead_id"]) for r in mine if r["created_at"] < as_of)
        row = _find(rows["leads"], "lead_id", seen[-1][1]) if seen else None
    else:
        row = _find(rows[table], KEYS[table], snapshot[KEYS[table]])
    value = row[feature.column] if row and feature.today_counts else None
    if feature.history and table != "leads":
        begin = (row or {}).get(BEGINS[table])
        cell = [
            (_known_at(r["changed_at"], begin), r["changed_at"], r["value"])
            for r in rows["history"]
            if r["table"] == table and r["column"] == feature.column and r["id"] == snapshot[KEYS[table]]
        ]
        if cell:
            past = [entry for entry in cell if entry[0] < as_of]
            return _read(feature.kind, max(past)[2], as_of) if past else _missing(feature.kind)
    if value is None:
        return _missing(feature.kind)
    if feature.kind in (Kind.TIME, Kind.DATE):
        return (as_of - value) / DAY if value < as_of else math.nan
    return value / 100 if feature.kind == Kind.MONEY else value if isinstance(value, str) else float(value)


def _known_at(changed: int, begin: int | None) -> int:
    """What a row was made with is known to all who see the row: those who look from its beginning on."""
    return begin - 1 if changed == begin else changed


def _missing(kind: Kind):
    return None if kind == Kind.CATEGORY else math.nan


def _read(kind: Kind, text: str, as_of: int):
    if kind == Kind.CATEGORY:
        return text
    if kind in (Kind.TIME, Kind.DATE):
        return (as_of - parse_moment(text)) / DAY if parse_moment(text) < as_of else math.nan
    if kind == Kind.FLAG:
        return float(text == "true")
    return round(float(text) * 100) / 100 if kind == Kind.MONEY else float(text)


def oracle_row(plan: Plan, columns: tuple[CrmColumn, ...], rows: Rows, snapshot: Row) -> dict:
    """Every feature of one snapshot."""
    found = {"as_of_seconds": snapshot["as_of"] / 1_000_000}
    midnight = {**snapshot, "as_of": snapshot["as_of"] // DAY * DAY}
    home = _find(rows.get("accounts", []), "account_id", snapshot["account_id"])
    midnight["industry"] = (home or {}).get("industry")
    if plan.kind == "win":
        found["days_open"] = snapshot["lead_days"]
    else:
        found["days_to_end"] = snapshot["lead_days"]
    for feature in (*plan.across, *plan.features):
        asked = midnight if feature.scope in ACROSS else snapshot
        found[feature.name] = answer(rows, plan.kind, asked, feature)
    for derived in (*plan.across_derived, *plan.derived):
        found[derived.name] = _derived(derived, found)
    for feature in columns:
        found[feature.name] = crm_column(rows, snapshot, feature)
    for derived in of_columns(plan.kind, found):
        found[derived.name] = _derived(derived, found)
    return found


def _derived(derived: Derived, found: dict) -> float:
    values = [np.nan if found[need] is None else found[need] for need in derived.needs]
    return float(derived.formula(*(np.array([value], dtype=float) for value in values))[0])
