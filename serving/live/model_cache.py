"""The models the service holds in memory, and how one takes another's place without a lost request."""

import logging
import threading
from pathlib import Path

from sqlalchemy import make_url

from features.settings import Settings
from serving.api.problems import ProblemError
from serving.middleware import Metrics
from training.registry import Loaded, champion, standing

log = logging.getLogger("perennial.serving")
KINDS = ("renewal", "win")


class HeldModels:
    """The champion (or else challenger) of each kind.

    A request takes the model once, with `need`, and keeps it to its end; a swap replaces the reference only,
    so nobody meets half a model and nobody waits.
    """

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings, self.metrics = settings, metrics
        self._held: dict[str, Loaded] = {}
        self._written: object = None
        self._turn = threading.Lock()

    def refresh(self) -> None:
        """Look where the aliases stand, and load what is new; an error leaves the old in place."""
        with self._turn:
            written = _written(self.settings)
            if written is None or written != self._written:
                for kind in KINDS:
                    self._refresh(kind)
                self._written = written

    def _refresh(self, kind: str) -> None:
        stands = standing(kind, self.settings)
        held = self._held.get(kind)
        same = (
            held is not None
            and stands is not None
            and (held.version, held.alias) == (stands.version, stands.alias)
        )
        if stands is None or same:
            return
        loaded = champion(kind, self.settings)
        if loaded is None:
            return
        if loaded.model.trees is not None:
            loaded.model.trees.warm()
        self._held[kind] = loaded
        if held is not None:
            self.metrics.swaps.labels(kind).inc()
        log.info("%s model %s (%s) serves", kind, loaded.version, loaded.alias)

    def get(self, kind: str) -> Loaded | None:
        """The model of a kind; None: none was trained."""
        return self._held.get(kind)

    def need(self, kind: str) -> Loaded:
        """The model of a kind.

        Raises:
            ProblemError: 409 where none was trained yet.
        """
        held = self._held.get(kind)
        if held is None:
            raise ProblemError(409, f"There is no {kind} model yet. Run `perennial train {kind}`.")
        return held

    def versions(self) -> dict[str, str | None]:
        """The version held of each kind."""
        return {kind: self._held[kind].version if kind in self._held else None for kind in KINDS}


def _written(settings: Settings) -> object:
    """Equal as long as nobody has written to the registry's file; None: it is no file, so ask it each time.

    Asking MLflow takes tens of milliseconds, every two seconds, in which requests wait.
    """
    path = make_url(settings.mlflow_url).database
    if not settings.mlflow_url.startswith("sqlite:") or not path:
        return None
    files = (Path(path), Path(f"{path}-wal"))
    return [
        (status.st_mtime_ns, status.st_size) for file in files if file.is_file() and (status := file.stat())
    ]
