"""The nightly job: one at a time, each step noted as it is done, so that a killed one is gone on with."""

import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from sqlalchemy import text

from features.errors import RenewalError
from features.logs import span
from features.scratch import sweep_home, turn
from features.settings import Settings
from monitoring.store import Store
from serving.nightly.job_log import JOB, LOCK, STEP, last_jobs
from serving.nightly.steps import STEPS, Night, NotNow, Step, digest

log = logging.getLogger("perennial.nightly")
MOST_ROUNDS = 4
"""A new model is scored with, what it scored is monitored, and an alert may ask for another; no further."""

_LOOK_SECONDS = 0.3
_QUEUE = 7_306_110_519  # any fixed number that no other lock on the database uses


def run_night(night: Night) -> dict[str, Any]:
    """Go through all steps until none has anything to do.

    A step is left out while what it rests on is as it was when it was last done. One that fails is noted and
    reported; those that do not need it go on.

    Returns:
        `status` (`done`, `nothing to do`, `failed`, or `busy`: another job runs), `resumed` (a job that was
        cut short is gone on with), and `steps`: `step`, `what` (`done`, `unchanged`, `not now`, `failed`),
        `why`, `seconds`.
    """
    with alone(night.settings, night.store) as mine:
        if not mine:
            return {"status": "busy", "resumed": False, "steps": []}
        sweep_home(night.settings.home)
        return _Job(night).run()


@contextmanager
def alone(settings: Settings, store: Store) -> Iterator[bool]:
    """Whether no other job runs in this home, nor, on PostgreSQL, on this database."""
    with _lock(settings) as mine:
        if not mine or store.engine.dialect.name != "postgresql":
            yield mine
            return
        with store.engine.connect() as connection:  # the lock goes with the connection, however it ends
            got = bool(connection.execute(text("SELECT pg_try_advisory_lock(:n)"), {"n": _QUEUE}).scalar())
            connection.commit()  # the lock is the session's; no transaction stays open meanwhile
            try:
                yield got
            finally:
                if got:
                    connection.execute(text("SELECT pg_advisory_unlock(:n)"), {"n": _QUEUE})
                    connection.commit()


@contextmanager
def _lock(settings: Settings) -> Iterator[bool]:
    """The home's lock; asked for twice, as the status page holds it for the moment it looks."""
    with ExitStack() as held:
        mine = held.enter_context(turn(settings.home / LOCK, wait=False))
        if not mine:
            time.sleep(_LOOK_SECONDS)
            mine = held.enter_context(turn(settings.home / LOCK, wait=False))
        yield mine


class _Job:
    """One job: what it has found so far, noted in the store after each step."""

    def __init__(self, night: Night) -> None:
        self.night, self.store = night, night.store
        newest = next(iter(last_jobs(self.store, 1)), None)
        cut_short = newest is not None and newest["summary"]["status"] == "under way"
        self.run_id = newest["run_id"] if cut_short and newest else f"{JOB}-{uuid.uuid4().hex[:12]}"
        self.resumed = cut_short
        self.steps: dict[str, dict[str, Any]] = {}

    def run(self) -> dict[str, Any]:
        self._note("under way")
        for _ in range(MOST_ROUNDS):
            if not [step for step in STEPS if self._tried(step)]:
                break
        whats = {step["what"] for step in self.steps.values()}
        status = "failed" if "failed" in whats else "done" if "done" in whats else "nothing to do"
        log.info("nightly job ended", extra={"job": self.run_id, "status": status})
        return self._note(status)

    def _tried(self, step: Step) -> bool:
        """Run a step unless nothing has changed for it; whether anything was done."""
        before = self.steps.get(step.name)
        began = time.monotonic()
        try:
            inputs = step.rests_on(self.night)
            done_before = before is not None and (inputs is None or before["what"] == "failed")
            if done_before or (inputs is not None and digest(inputs) == self._inputs_of(step)):
                return self._found(step, "unchanged", "", began)
            self.night.say(step.name)
            with span(f"nightly {step.name}", job=self.run_id):
                why = step.work(self.night)
        except NotNow as nothing:
            return self._found(step, "not now", str(nothing), began)
        except RenewalError as error:
            return self._found(step, "failed", str(error), began)
        noted = {"inputs": digest(inputs), "job": self.run_id}
        self.store.record_run(f"{STEP}-{step.name}", STEP, None, noted)
        return self._found(step, "done" if why else "unchanged", why, began)

    def _inputs_of(self, step: Step) -> str | None:
        rows = [row for row in self.store.runs(STEP) if row["run_id"] == f"{STEP}-{step.name}"]
        return rows[0]["summary"]["inputs"] if rows else None

    def _found(self, step: Step, what: str, why: str, began: float) -> bool:
        """Note what became of a step; a later round does not hide what was done or failed in one before."""
        outcome = {"step": step.name, "what": what, "why": why, "seconds": round(time.monotonic() - began, 3)}
        before = self.steps.get(step.name, {}).get("what")
        if what in ("done", "failed") or before not in ("done", "failed"):
            self.steps[step.name] = outcome
            level = logging.ERROR if what == "failed" else logging.INFO
            log.log(level, "step %s: %s", step.name, what, extra={"job": self.run_id, **outcome})
            self._note("under way")
        return what == "done"

    def _note(self, status: str) -> dict[str, Any]:
        summary = {"status": status, "resumed": self.resumed, "steps": list(self.steps.values())}
        self.store.record_run(self.run_id, JOB, None, summary)
        return summary
