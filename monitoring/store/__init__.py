"""The store: scores, prediction log, outcomes, alerts, keys and arrivals, in SQLite or PostgreSQL.

Everything readers see is written in one transaction, and everything can be written again without doubling, so
that a step killed at any moment can simply be run again.
"""

from typing import Any

from sqlalchemy import Engine, select

from features.settings import Settings
from monitoring.store.access import AccessLog, AuditLog, JudgementLog
from monitoring.store.alert_log import AlertLog
from monitoring.store.database import connect, insert, now, writing
from monitoring.store.erase_from_store import erase_account
from monitoring.store.experiment_log import ExperimentLog
from monitoring.store.outcomes import EventLog, OutcomeLog
from monitoring.store.predictions import PredictionLog
from monitoring.store.scores import ScoreLog
from monitoring.store.survey_log import SurveyLog
from monitoring.store.tables import runs
from monitoring.store.task_log import TaskLog
from monitoring.store.work_log import WorkLog


class Store:
    """All of the store on one engine; safe to share between threads, and opened anew in each process."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.scores = ScoreLog(engine)
        self.predictions = PredictionLog(engine)
        self.outcomes = OutcomeLog(engine)
        self.events = EventLog(engine)
        self.alerts = AlertLog(engine)
        self.access = AccessLog(engine)
        self.judgements = JudgementLog(engine)
        self.audit = AuditLog(engine)
        self.experiments = ExperimentLog(engine)
        self.surveys = SurveyLog(engine)
        self.tasks = TaskLog(engine)
        self.work = WorkLog(engine)

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
        return erase_account(self.engine, account_id)


def open_store(settings: Settings) -> Store:
    """The store of these settings, migrated to the newest schema.

    Raises:
        RenewalError: the database cannot be opened.
    """
    return Store(connect(settings.store_url))
