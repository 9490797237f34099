"""Alerts on their way out while the service runs: sent by a thread of their own, so that no request waits."""

import logging
import threading

from sqlalchemy.exc import SQLAlchemyError

from features.settings import Settings
from monitoring.alerts import send_due
from monitoring.closing_the_loop import begin_tasks, escalate
from monitoring.store import Store
from monitoring.survey_rules import rules_of
from serving.live.asking import send_requests

log = logging.getLogger("perennial.serving")
POLL_SECONDS = 30.0
CLOSE_SECONDS = 5.0


class Deliveries:
    """Sends what waits in the store's ledger: at once when woken, later what others left or what failed.

    An alert and its pending sends are written before a request is answered, so a killed service loses none:
    the next one, or `perennial monitor`, goes on. Processes share the ledger, each send is claimed by one.

    Args:
        store: holds the ledger.
        settings: where alerts go; nowhere: no thread is started.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self.store, self.settings = store, settings
        self._due, self._ends = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        if settings.alert_urls.strip() or rules_of(settings).send:
            self._thread = threading.Thread(target=self._run, name="deliveries", daemon=True)
            self._thread.start()

    def wake(self) -> None:
        """Something may be due now."""
        self._due.set()

    def _run(self) -> None:
        while not self._ends.is_set():
            try:
                send_due(self.store, self.settings, say=log.warning, stop=self._ends.is_set)
                begin_tasks(self.store, self.settings)
                escalate(self.store, self.settings)
                send_requests(self.store, self.settings, say=log.warning, stop=self._ends.is_set)
            except SQLAlchemyError as error:  # the store is away for a while: the ledger keeps what is due
                log.error("alerts could not be sent", exc_info=error)
            self._due.wait(POLL_SECONDS)
            self._due.clear()

    def close(self) -> None:
        """Let the alert that is being sent arrive and be marked; what else is due stays in the ledger."""
        self._ends.set()
        self._due.set()
        if self._thread is not None:
            self._thread.join(CLOSE_SECONDS)
