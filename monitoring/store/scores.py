"""Scores in the store: the current one of each subject, listed and paged, and written with their log."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from math import inf
from typing import Any, NamedTuple, Unpack

import pandas as pd
import pyarrow as pa
from sqlalchemy import Connection, Engine, and_, case, func, or_, select, update

from features.errors import RenewalError
from monitoring.store.database import (
    EVERYBODY,
    in_turn,
    insert,
    insert_in,
    now,
    put,
    reading,
    records,
    within,
    writing,
)
from monitoring.store.list_filter import Wanted, conditions
from monitoring.store.predictions import (
    Shadow,
    as_of_key,
    log_feature_table,
    log_features,
    log_predictions,
    log_shadow,
)
from monitoring.store.tables import runs, scores

_UNRANKED = -1e300
"""Sorts subjects whose value is unknown behind every known one; never shown."""

_IDS_AT_ONCE = 5_000
_CURRENT = tuple(column.name for column in scores.columns)
_HIDDEN = scores.c.held_out.is_(True)
_ORDERS: dict[str, tuple[Any, bool, type]] = {
    "at_risk": (scores.c.rank_value, True, float),
    "expected": (scores.c.rank_value, True, float),
    "amount": (scores.c.amount, True, float),
    "probability": (case((_HIDDEN, None), else_=scores.c.probability), False, float),
    "end_date": (scores.c.end_date, False, datetime),
    "account": (func.lower(func.coalesce(scores.c.details["account_name"].as_string(), "")), False, str),
    "owner": (func.lower(func.coalesce(scores.c.details["owner_name"].as_string(), "")), False, str),
}
"""Order → its key, whether it falls by default, and the type of its values."""

_LAST = {True: {float: _UNRANKED, datetime: datetime.min}, False: {float: -_UNRANKED, datetime: datetime.max}}
"""What sorts a value that is missing behind the others: falling, rising."""


@dataclass(frozen=True)
class Page:
    """Some rows of a listing, with cursors to the rows after and before (None: there are none)."""

    rows: list[dict[str, Any]]
    cursor: str | None
    previous: str | None = None
    before: int = 0
    """How many rows come before these, where that was asked for."""


@dataclass(frozen=True)
class ScoreLog:
    """The part of the store that keeps scores, each written with its predictions."""

    engine: Engine

    def write(
        self,
        kind: str,
        rows: pd.DataFrame,
        features: pd.DataFrame | None = None,
        *,
        run_id: str,
        model_version: str,
        complete: bool = False,
        current: bool = True,
        shadow: Shadow | None = None,
    ) -> dict[str, int]:
        """Store one run's scores in one transaction; the same run again changes nothing.

        Args:
            kind: `renewal` or `win`.
            rows: the result rows of a scoring run (DESIGN §11), with `contract_id` or `opportunity_id` (or
                `subject_id`), `account_id`, `as_of`; optional `owner_id`, `region`, `lead_days`, `end_date`,
                `held_out`. Further columns are kept as `details`.
            features: the feature rows behind them, same order; logged as one Arrow IPC (zstd) blob.
            run_id: names the run.
            model_version: of the model that scored.
            complete: the rows are all open subjects there are; others are marked gone.
            current: False only logs, for a backfill. Without `complete`, a score never replaces one of a
                later `as_of`.
            shadow: what the former champion would have said; logged apart, never shown as a score.

        Returns:
            `scored`, `problems` (rows without a probability) and `gone`.
        """
        scored_at = now()
        rows = _named(kind, rows)
        ready = _prepared(kind, records(rows), run_id, str(model_version), scored_at)
        with writing(self.engine) as connection:
            in_turn(connection, [EVERYBODY])
            if shadow is not None:
                log_shadow(connection, kind, rows, shadow, run_id, scored_at)
            if features is not None:
                log_features(connection, kind, run_id, str(model_version), rows, features, scored_at)
            return _write(connection, kind, ready, run_id, scored_at, complete, current)

    def write_rows(
        self,
        kind: str,
        rows: list[dict[str, Any]],
        features: pa.Table,
        *,
        run_id: str,
        model_version: str,
        connection: Connection | None = None,
    ) -> dict[str, int]:
        """`write_scores` for a few rows that somebody waits for: plain values instead of frames.

        Args:
            kind: `renewal` or `win`.
            rows: as in `write_scores`, with `subject_id`.
            features: the feature rows behind them, same order.
            run_id: names the run.
            model_version: of the model that scored.
            connection: a transaction to be part of.
        """
        scored_at = now()
        ready = _prepared(kind, rows, run_id, str(model_version), scored_at)
        with within(self.engine, connection) as open_one:
            log_feature_table(open_one, kind, ready, features)
            return _write(open_one, kind, ready, run_id, scored_at, complete=False, current=True)

    def page(
        self,
        kind: str,
        *,
        order: str = "at_risk",
        falling: bool | None = None,
        limit: int = 100,
        cursor: str | None = None,
        ids: Sequence[str] | None = None,
        with_place: bool = False,
        connection: Connection | None = None,
        **wanted: Unpack[Wanted],
    ) -> Page:
        """The current scores of open subjects, paged by key: rows that come or go meanwhile repeat nothing.

        Args:
            kind: `renewal` or `win`.
            order: `at_risk`, `expected`, `amount` (by default largest first), `probability`, `end_date`,
                `account`, `owner` (least first). What is missing comes last either way.
            falling: the other way round than by default, or not.
            limit: rows a page.
            cursor: of the page before or after.
            ids: exactly these subjects, one page, whatever the order.
            with_place: count the rows before these too.
            connection: a transaction to read in, for `ids`.
            wanted: what the list is narrowed to (`list_filter`).

        Raises:
            RenewalError: an unknown order or a cursor that is not ours.
        """
        here = conditions(kind, wanted)
        if ids is not None:
            return Page(self._by_ids(here, ids, connection), None)
        if order not in _ORDERS:
            raise RenewalError(
                expected=f"order to be one of {', '.join(_ORDERS)}", found=repr(order), do="Choose one."
            )
        sort = _sort(order, falling)
        at = _read_cursor(cursor, sort) if cursor else None
        is_back = at is not None and at.is_back
        query = select(scores, sort.key.label("_key")).where(*here, *sort.beyond(at, is_back))
        with self.engine.connect() as connection:
            found_rows = connection.execute(query.order_by(*sort.by(is_back)).limit(limit + 1)).mappings()
            rows = [dict(row) for row in found_rows]
            more, rows = len(rows) > limit, rows[:limit]
            rows = rows[::-1] if is_back else rows
            before = 0
            if with_place and at is not None and rows:
                first = _At(rows[0]["_key"], rows[0]["subject_id"], is_back=True)
                counted = select(func.count()).select_from(scores).where(*here, *sort.beyond(first, True))
                before = connection.execute(counted).scalar_one()
        keys = [row.pop("_key") for row in rows]
        ends = [_At(keys[place], rows[place]["subject_id"], place == 0) for place in (0, -1)] if rows else []
        return Page(
            [_shown(row) for row in rows],
            _cursor(sort, ends[1]) if ends and (more or is_back) else None,
            _cursor(sort, ends[0]) if ends and at is not None and (more or not is_back) else None,
            before,
        )

    def _by_ids(
        self, wanted: list[Any], ids: Sequence[str], connection: Connection | None
    ) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        with reading(self.engine, connection) as open_one:
            for start in range(0, len(ids), _IDS_AT_ONCE):
                some = scores.c.subject_id.in_(list(ids[start : start + _IDS_AT_ONCE]))
                rows += map(dict, open_one.execute(select(scores).where(*wanted, some)).mappings())
        place = {subject: number for number, subject in enumerate(ids)}
        return sorted(map(_shown, rows), key=lambda row: place[row["subject_id"]])

    def totals(self, kind: str, *further: Any, **wanted: Unpack[Wanted]) -> dict[str, Any]:
        """Over the whole listing: `rows`, `amount`, `at_risk`, `expected`, and the same of each of `bands`.

        Customers held out count by their amount alone, under the band ''.

        Args:
            kind: `renewal` or `win`.
            further: labelled sums besides.
            wanted: what the list is narrowed to.
        """
        band = func.coalesce(case((_HIDDEN, None), else_=scores.c.band), "").label("band")
        bands = {row.pop("band"): row for row in self.summed(kind, (band,), *further, **wanted)}
        names = ("rows", *_SUMS, *(each.name for each in further))
        return {**{name: sum(row[name] for row in bands.values()) for name in names}, "bands": bands}

    def summed(
        self, kind: str, by: Sequence[Any], *further: Any, **wanted: Unpack[Wanted]
    ) -> list[dict[str, Any]]:
        """Rows and money of a listing by the columns `by` (none: all of it together).

        Args:
            kind: `renewal` or `win`.
            by: labelled columns of `scores`.
            further: labelled sums besides.
            wanted: what the list is narrowed to.

        Returns:
            A row a group: the columns, `rows`, `amount`, `at_risk`, `expected`, and `further`.
        """
        money = {name: scores.c[name] for name in _SUMS}
        sums = [
            func.coalesce(
                func.sum(column if name == "amount" else case((_HIDDEN, None), else_=column)), 0.0
            ).label(name)
            for name, column in money.items()
        ]
        query = select(*by, func.count().label("rows"), *sums, *further).where(*conditions(kind, wanted))
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query.group_by(*by)).mappings()]


_SUMS = ("amount", "at_risk", "expected")


def _named(kind: str, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with `subject_id`, which is there and differs."""
    frame = rows.copy()
    if "subject_id" not in frame:
        frame["subject_id"] = frame["contract_id" if kind == "renewal" else "opportunity_id"]
    if frame["subject_id"].isna().any() or frame["subject_id"].duplicated().any():
        raise ValueError("write_scores needs one row a subject, each with its id")
    return frame


def _prepared(
    kind: str, rows: list[dict[str, Any]], run_id: str, version: str, scored_at: datetime
) -> list[dict[str, Any]]:
    """The rows as they go into the tables: every column there, further ones under `details`."""
    fixed = {"kind": kind, "run_id": run_id, "model_version": version, "scored_at": scored_at}
    further = [name for name in (rows[0] if rows else ()) if name not in _CURRENT]
    blank = dict.fromkeys(_CURRENT)
    ready = []
    for given in rows:
        row = {**blank, **given, **fixed}
        details = {name: row.pop(name) for name in further}
        row["details"] = details or None
        row["as_of_key"] = as_of_key(row["as_of"])
        value = row["at_risk"] if kind == "renewal" else row["expected"]
        row["rank_value"] = _UNRANKED if value is None or row["held_out"] else value
        ready.append(row)
    return ready


def _write(
    connection: Connection,
    kind: str,
    ready: list[dict[str, Any]],
    run_id: str,
    scored_at: datetime,
    complete: bool,
    current: bool,
) -> dict[str, int]:
    log_predictions(connection, ready, current)
    if current:
        put(connection, _upsert_scores(connection.dialect.name, complete), ready)
    gone = _mark_gone(connection, kind, run_id, scored_at) if current and complete else 0
    problems = sum(row["probability"] is None for row in ready)
    summary = {"scored": len(ready) - problems, "problems": problems, "gone": gone}
    _finish(connection, run_id, kind, scored_at, summary)
    return summary


@cache
def _upsert_scores(dialect: str, complete: bool) -> Any:
    """Replaces a subject's score; the one of an earlier `as_of` is remembered as the previous one."""
    statement = insert_in(dialect, scores)
    fresh, old = statement.excluded, scores.c
    unchanged = ("kind", "subject_id", "previous_probability", "previous_as_of")
    changed: dict[str, Any] = {name: fresh[name] for name in _CURRENT if name not in unchanged}
    repeated = old.as_of_key == fresh.as_of_key
    changed["previous_probability"] = case((repeated, old.previous_probability), else_=old.probability)
    changed["previous_as_of"] = case((repeated, old.previous_as_of), else_=old.as_of)
    where = None if complete else old.as_of_key <= fresh.as_of_key
    return statement.on_conflict_do_update(index_elements=["kind", "subject_id"], set_=changed, where=where)


def _mark_gone(connection: Connection, kind: str, run_id: str, scored_at: datetime) -> int:
    left = and_(scores.c.kind == kind, scores.c.run_id != run_id, scores.c.gone_at.is_(None))
    return connection.execute(update(scores).where(left).values(gone_at=scored_at)).rowcount


def _finish(
    connection: Connection, run_id: str, kind: str, scored_at: datetime, summary: dict[str, int]
) -> None:
    row = {"run_id": run_id, "what": "score", "kind": kind, "finished_at": scored_at, "summary": summary}
    statement = insert(connection, runs)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["run_id"], set_={"finished_at": scored_at, "summary": summary}
        ),
        row,
    )


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A current score as callers see it: further columns back in place, the store's own left out."""
    row = {**row, **(row.pop("details") or {})}
    return {name: value for name, value in row.items() if name not in ("rank_value", "as_of_key", "gone_at")}


class _At(NamedTuple):
    """A place in a listing: a row's key and id, and whether the rows before it are wanted."""

    key: Any
    subject_id: str
    is_back: bool


class _Sort(NamedTuple):
    """An order as a query uses it."""

    name: str
    key: Any
    falls: bool
    of: type

    def by(self, is_back: bool) -> tuple[Any, Any]:
        """What to order by, from the end backwards where `is_back`."""
        falls = self.falls != is_back
        subject = scores.c.subject_id
        return self.key.desc() if falls else self.key.asc(), subject.desc() if is_back else subject.asc()

    def beyond(self, at: _At | None, is_back: bool) -> list[Any]:
        """The condition that rows come after a place, or before it."""
        if at is None:
            return []
        further = self.key < at.key if self.falls != is_back else self.key > at.key
        subject = scores.c.subject_id
        same = subject < at.subject_id if is_back else subject > at.subject_id
        return [or_(further, and_(self.key == at.key, same))]


def _sort(order: str, falling: bool | None) -> _Sort:
    key, usually, of = _ORDERS[order]
    falls = usually if falling is None else falling
    if order in ("at_risk", "expected") and not falls:
        key = case((scores.c.rank_value == _UNRANKED, -_UNRANKED), else_=scores.c.rank_value)
    elif of is not str and order not in ("at_risk", "expected"):
        key = func.coalesce(key, _LAST[falls][of])
    return _Sort(f"{order} {'falling' if falls else 'rising'}", key, falls, of)


def _cursor(sort: _Sort, at: _At) -> str:
    value = at.key.isoformat() if isinstance(at.key, datetime) else at.key
    text = json.dumps([sort.name, value, at.subject_id, at.is_back])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_cursor(cursor: str, sort: _Sort) -> _At:
    try:
        made_for, value, subject_id, is_back = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        if made_for != sort.name or not isinstance(subject_id, str) or not isinstance(is_back, bool):
            raise ValueError(made_for)
        if isinstance(value, str) != (sort.of is not float):
            raise ValueError(value)
        key = datetime.fromisoformat(value) if sort.of is datetime else sort.of(value)
        if sort.of is float and (key in (inf, -inf) or key != key):
            raise ValueError(value)
        return _At(key, subject_id, is_back)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise RenewalError(
            expected=f"the cursor of a page in order {sort.name}",
            found=repr(cursor),
            do="Start again without a cursor.",
        ) from error
