"""Scores in the store: the current one of each subject, listed and paged, and written with their log."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from math import inf
from typing import Any

import pandas as pd
import pyarrow as pa
from sqlalchemy import Connection, Engine, and_, case, func, or_, select, update

from features.errors import RenewalError
from features.moments import naive_utc
from monitoring.store.database import insert, insert_in, now, put, reading, records, within, writing
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
_ORDERS = {
    "at_risk": (scores.c.rank_value, True),
    "expected": (scores.c.rank_value, True),
    "amount": (func.coalesce(scores.c.amount, _UNRANKED), True),
    "probability": (func.coalesce(scores.c.probability, 2.0), False),
    "end_date": (func.coalesce(scores.c.end_date, datetime.max), False),
}


@dataclass(frozen=True)
class Page:
    """Some rows of a listing, and the cursor that continues it (None: that was all)."""

    rows: list[dict[str, Any]]
    cursor: str | None


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
        owner: str | None = None,
        region: str | None = None,
        before: Any = None,
        band: str | None = None,
        deal_kind: str | None = None,
        order: str = "at_risk",
        limit: int = 100,
        cursor: str | None = None,
        ids: Sequence[str] | None = None,
        connection: Connection | None = None,
    ) -> Page:
        """The current scores of open subjects, paged by key: rows that come or go meanwhile repeat nothing.

        Args:
            kind: `renewal` or `win`.
            owner: only this owner's.
            region: only this region's.
            before: only those that end before this moment.
            band: only this band.
            deal_kind: only deals of this kind (`new`, `renewal`, …).
            order: `at_risk`, `expected`, `amount` (largest first), `probability`, `end_date` (least first).
            limit: rows a page.
            cursor: of the page before.
            ids: exactly these subjects, one page, whatever the order.
            connection: a transaction to read in, for `ids`.

        Raises:
            RenewalError: an unknown order or a cursor that is not ours.
        """
        wanted = _open_scores(kind, owner, region, before, band, deal_kind)
        if ids is not None:
            return Page(self._by_ids(wanted, ids, connection), None)
        if order not in _ORDERS:
            raise RenewalError(
                expected=f"order to be one of {', '.join(_ORDERS)}", found=repr(order), do="Choose one."
            )
        key, descending = _ORDERS[order]
        if cursor:
            value, subject = _read_cursor(cursor, order)
            beyond = key < value if descending else key > value
            wanted = [*wanted, or_(beyond, and_(key == value, scores.c.subject_id > subject))]
        query = select(scores, key.label("_key")).where(*wanted).limit(limit + 1)
        query = query.order_by(key.desc() if descending else key.asc(), scores.c.subject_id)
        with self.engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(query).mappings()]
        keys = [row.pop("_key") for row in rows]
        more = len(rows) > limit
        return Page(
            [_shown(row) for row in rows[:limit]],
            _cursor(order, keys[limit - 1], rows[limit - 1]["subject_id"]) if more else None,
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

    def totals(
        self,
        kind: str,
        *,
        owner: str | None = None,
        region: str | None = None,
        before: Any = None,
        band: str | None = None,
        deal_kind: str | None = None,
    ) -> dict[str, Any]:
        """Over the whole listing: `rows`, the sums of `at_risk`, `expected` and `amount`, rows by `bands`."""
        wanted = _open_scores(kind, owner, region, before, band, deal_kind)
        sums = [func.sum(scores.c[name]).label(name) for name in ("at_risk", "expected", "amount")]
        with self.engine.connect() as connection:
            total = (
                connection.execute(select(func.count().label("rows"), *sums).where(*wanted)).mappings().one()
            )
            bands = select(scores.c.band, func.count()).where(*wanted).group_by(scores.c.band)
            counted = {band: number for band, number in connection.execute(bands) if band is not None}
        return {**total, "bands": counted}


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
        row["rank_value"] = _UNRANKED if value is None else value
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


def _open_scores(
    kind: str, owner: str | None, region: str | None, before: Any, band: str | None, deal_kind: str | None
) -> list[Any]:
    wanted = [scores.c.kind == kind, scores.c.gone_at.is_(None)]
    if owner is not None:
        wanted.append(scores.c.owner_id == owner)
    if region is not None:
        wanted.append(scores.c.region == region)
    if before is not None:
        wanted.append(scores.c.end_date < naive_utc(before).to_pydatetime())
    if band is not None:
        wanted.append(scores.c.band == band)
    if deal_kind is not None:
        wanted.append(scores.c.details["deal_kind"].as_string() == deal_kind)
    return wanted


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A current score as callers see it: further columns back in place, the store's own left out."""
    row = {**row, **(row.pop("details") or {})}
    return {name: value for name, value in row.items() if name not in ("rank_value", "as_of_key", "gone_at")}


def _cursor(order: str, value: Any, subject_id: str) -> str:
    text = json.dumps([order, value.isoformat() if isinstance(value, datetime) else value, subject_id])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_cursor(cursor: str, order: str) -> tuple[Any, str]:
    try:
        made_for, value, subject_id = json.loads(base64.urlsafe_b64decode(cursor.encode()))
        if made_for != order or not isinstance(subject_id, str):
            raise ValueError(made_for)
        key = datetime.fromisoformat(value) if order == "end_date" else float(value)
        if isinstance(value, str) != (order == "end_date") or key in (inf, -inf) or key != key:
            raise ValueError(value)
        return key, subject_id
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise RenewalError(
            expected=f"the cursor of a page in order {order}",
            found=repr(cursor),
            do="Start again without a cursor.",
        ) from error
