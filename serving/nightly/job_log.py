"""What the nightly jobs have noted, and whether one runs: for those who only look."""

from typing import Any

from features.scratch import turn
from features.settings import Settings
from monitoring.store import Store

JOB, STEP = "nightly", "nightly step"
"""What a job and a step are called among the store's runs."""

LOCK = "run.lock"
"""The file of the home that a job holds."""


def last_jobs(store: Store, most: int = 30) -> list[dict[str, Any]]:
    """The jobs run last, newest first: `run_id`, `finished_at` (of what was noted last), `summary`."""
    return store.runs(JOB, limit=most)


def is_running(settings: Settings) -> bool:
    """Whether a job runs in this home right now."""
    with turn(settings.home / LOCK, wait=False) as mine:
        return not mine
