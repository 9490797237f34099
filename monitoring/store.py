"""The store: scores, prediction log, outcomes, alerts, keys and arrivals, in SQLite or PostgreSQL.

Everything readers see is written in one transaction, and everything can be written again without doubling, so
that a step killed at any moment can simply be run again.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import pyarrow.compute as pc
from sqlalchemy import Connection, delete, select, update

from features.settings import Settings
from monitoring.alert_log import AlertLog
from monitoring.database import connect, insert, now, writing
from monitoring.outcome_log import OutcomeLog
from monitoring.people_log import PeopleLog
from monitoring.prediction_log import packed, unpacked
from monitoring.schema import (
    actions,
    alerts,
    audit,
    events,
    feature_batches,
    outcomes,
    overrides,
    prediction_log,
    runs,
    scores,
    shadow_log,
)
from monitoring.score_log import ScoreLog

_OF_ACCOUNTS = (scores, prediction_log, shadow_log, outcomes, alerts, overrides, actions, events)


@dataclass(frozen=True)
class Store(ScoreLog, OutcomeLog, AlertLog, PeopleLog):
    """All of the store on one engine; safe to share between threads, and opened anew in each process."""

    def record_run(self, run_id: str, what: str, kind: str | None, summary: dict[str, Any]) -> None:
        """Keep what a run found; the same `run_id` again replaces it."""
        row = {"run_id": run_id, "what": what, "kind": kind, "finished_at": now(), "summary": summary}
        with writing(self.engine) as connection:
            statement = insert(connection, runs).on_conflict_do_update(index_elements=["run_id"], set_=row)
            connection.execute(statement, row)

    def runs(self, what: str, kind: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """Runs of a sort (`score`, `monitor`, `train`, …), newest first."""
        query = select(runs).where(runs.c.what == what).order_by(runs.c.finished_at.desc()).limit(limit)
        if kind is not None:
            query = query.where(runs.c.kind == kind)
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def erase(self, account_id: str) -> dict[str, int]:
        """Remove everything about an account; the audit keeps that it was done, with the id's hash only.

        Returns:
            Rows removed by table.
        """
        counts = {}
        with writing(self.engine) as connection:
            subjects = _subjects(connection, account_id)
            orphans = delete(outcomes).where(
                outcomes.c.subject_id.in_(subjects), outcomes.c.account_id.is_(None)
            )
            late = connection.execute(orphans).rowcount
            for table in _OF_ACCOUNTS:
                gone = connection.execute(delete(table).where(table.c.account_id == account_id))
                counts[table.name] = gone.rowcount
            counts["outcomes"] += late
            counts["feature_batches"] = _erase_features(connection, account_id)
            digest = hashlib.sha256(account_id.encode()).hexdigest()
            note = {
                "at": now(),
                "actor": "perennial",
                "action": "account erased",
                "subject": f"sha256:{digest}",
            }
            connection.execute(insert(connection, audit).values(**note, details=counts))
        return counts


def open_store(settings: Settings) -> Store:
    """The store of these settings, migrated to the newest schema.

    Raises:
        RenewalError: the database cannot be opened.
    """
    return Store(connect(settings.store_url))


def _subjects(connection: Connection, account_id: str) -> list[str]:
    query = select(prediction_log.c.subject_id).where(prediction_log.c.account_id == account_id).distinct()
    return list(connection.execute(query).scalars())


def _erase_features(connection: Connection, account_id: str) -> int:
    """Take an account's rows out of the logged feature blobs."""
    batch = feature_batches.c
    removed = 0
    for row in connection.execute(select(batch.kind, batch.run_id, batch.arrow_zstd)).fetchall():
        table = unpacked(row.arrow_zstd)
        others = table.filter(pc.fill_null(pc.not_equal(table["account_id"], account_id), True))
        if others.num_rows == table.num_rows:
            continue
        removed += table.num_rows - others.num_rows
        here = (batch.kind == row.kind) & (batch.run_id == row.run_id)
        changed = {"arrow_zstd": packed(others), "rows": others.num_rows}
        connection.execute(update(feature_batches).where(here).values(**changed))
    return removed
