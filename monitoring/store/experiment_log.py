"""Experiments in the store: begun whole or not at all, who was drawn, and what came out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Engine, Table, select, update
from sqlalchemy.exc import IntegrityError

from features.errors import RenewalError
from monitoring.store.access import note
from monitoring.store.database import insert, now, put, writing
from monitoring.store.experiment_tables import experiment_accounts, experiment_subjects, experiments


@dataclass(frozen=True)
class ExperimentLog:
    """The part of the store that keeps experiments.

    Who was drawn stays drawn: a row is written once and never changed. The database itself holds that no two
    open experiments ask the same question.
    """

    engine: Engine

    def open(
        self,
        facts: Mapping[str, Any],
        accounts: Sequence[Mapping[str, Any]],
        subjects: Sequence[Mapping[str, Any]],
    ) -> None:
        """Write an experiment, its draw and its first subjects, all or nothing.

        Args:
            facts: the columns of `experiments`; `started_at` is set here.
            accounts: `account_id`, `cluster`, `stratum`, `arm`.
            subjects: `subject_id`, `account_id`, `joined_at`, `matures_at`.

        Raises:
            RenewalError: the id was used before, or one about this question is still open.
        """
        try:
            with writing(self.engine) as connection:
                connection.execute(insert(connection, experiments).values(**facts, started_at=now()))
                _take_in(connection, str(facts["experiment_id"]), accounts, subjects)
                details = {"accounts": len(accounts)}
                note(connection, facts["started_by"], "experiment started", facts["experiment_id"], details)
        except IntegrityError as error:
            raise RenewalError(
                expected=f"no other experiment called {facts['experiment_id']!r}, and none open about "
                f"{facts['question']}",
                found="one that is kept already",
                do="See `perennial experiment status`; end that one first, or give another name.",
            ) from error

    def enrol(
        self, experiment_id: str, accounts: Sequence[Mapping[str, Any]], subjects: Sequence[Mapping[str, Any]]
    ) -> None:
        """Add to an open experiment; who is in it already stays as drawn."""
        with writing(self.engine) as connection:
            here = select(experiments.c.experiment_id).where(
                experiments.c.experiment_id == experiment_id, experiments.c.ended_at.is_(None)
            )
            if connection.execute(here).first() is not None:
                _take_in(connection, experiment_id, accounts, subjects)

    def end(self, experiment_id: str, by: str, because: str, result: Mapping[str, Any]) -> bool:
        """Close an experiment with its result; False where it was closed before, and stays as it was."""
        values = {"ended_at": now(), "ended_by": by, "ended_because": because, "result": dict(result)}
        here = (experiments.c.experiment_id == experiment_id) & experiments.c.ended_at.is_(None)
        with writing(self.engine) as connection:
            ended = connection.execute(update(experiments).where(here).values(**values)).rowcount > 0
            if ended:
                note(connection, by, "experiment ended", experiment_id, {"because": because})
            return ended

    def read(self, *, is_open: bool | None = None) -> list[dict[str, Any]]:
        """All experiments, or those open or ended, the newest first."""
        query = select(experiments).order_by(experiments.c.started_at.desc(), experiments.c.experiment_id)
        if is_open is not None:
            ended = experiments.c.ended_at
            query = query.where(ended.is_(None) if is_open else ended.is_not(None))
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def accounts(self, experiment_id: str) -> pd.DataFrame:
        """account_id, cluster, stratum, arm, drawn_at of an experiment."""
        return self._of_one(experiment_accounts, experiment_id)

    def subjects(self, experiment_id: str) -> pd.DataFrame:
        """subject_id, account_id, joined_at, matures_at of an experiment."""
        return self._of_one(experiment_subjects, experiment_id)

    def arms(self, question: str | None = None, account_id: str | None = None) -> list[dict[str, Any]]:
        """Accounts of open experiments: account_id, arm, experiment_id, question, choice.

        Args:
            question: of the experiment about it only.
            account_id: of this account only.
        """
        columns = (
            experiment_accounts.c.account_id,
            experiment_accounts.c.arm,
            experiments.c.experiment_id,
            experiments.c.question,
            experiments.c.choice,
        )
        query = select(*columns).join(experiments).where(experiments.c.ended_at.is_(None))
        if question is not None:
            query = query.where(experiments.c.question == question)
        if account_id is not None:
            query = query.where(experiment_accounts.c.account_id == account_id)
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]

    def _of_one(self, table: Table, experiment_id: str) -> pd.DataFrame:
        query = select(table).where(table.c.experiment_id == experiment_id).order_by(*table.primary_key)
        with self.engine.connect() as connection:
            selected = connection.execute(query)
            frame = pd.DataFrame(selected.fetchall(), columns=list(selected.keys()))
        return frame.drop(columns="experiment_id")


def _take_in(
    connection: Connection,
    experiment_id: str,
    accounts: Sequence[Mapping[str, Any]],
    subjects: Sequence[Mapping[str, Any]],
) -> None:
    moment = now()
    for table, rows in ((experiment_accounts, accounts), (experiment_subjects, subjects)):
        drawn = {"drawn_at": moment} if table is experiment_accounts else {}
        put(
            connection,
            insert(connection, table).on_conflict_do_nothing(),
            [{**row, **drawn, "experiment_id": experiment_id} for row in rows],
        )
