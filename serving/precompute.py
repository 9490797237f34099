"""Answers that take long: worked out once for each ingested CRM, in a process of their own, and kept as JSON.

A request never waits for them, and the process that answers spends none of its time on them. They are worked
out ahead, as soon as the service finds a new CRM or model; one that somebody asks for goes first. Quick ones
do not wait for slow ones: of each, one at a time is worked out, however many workers serve.
"""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from features.crm.crm import Crm
from features.crm.load import changing, current_folder, opened
from features.errors import RenewalError
from features.scratch import replacing, turn
from features.settings import Settings
from serving.scoring.export import write
from serving.scoring.similar_contracts import Past

log = logging.getLogger("perennial.serving")
FOLDER = "worked-out"
MOST_LISTED = 10_000
RETRY_SECONDS = 600.0
NICENESS = 10
"""By how much their processes give way to the one that answers."""
SLOW = ("icp", "effects", "kpis")
"""Those that take minutes on large data."""

_ENDED = "experiments-ended"

COMES = "This is being worked out for the present data; ask again in a minute."
_FORM = 5
"""Counted up when the kept form changes."""


class Prepared(NamedTuple):
    """A long answer: its `value`, or else `why` there is none; `comes`: it is on its way."""

    value: Any
    why: str = ""
    comes: bool = False


class Work(NamedTuple):
    """An answer that a process is working out."""

    name: str
    path: Path
    process: subprocess.Popen[bytes]


def similar_of(version: str | None) -> str:
    """The name of the decided contracts as a renewal model sees them."""
    return f"similar@{version}"


def churn_drivers_of(versions: Mapping[str, str | None]) -> str:
    """The name of what is lost and why: the models give the reasons."""
    return f"churn-drivers@{versions['renewal'] or 0}.{versions['win'] or 0}"


def usual(versions: Mapping[str, str | None]) -> list[str]:
    """The names of all answers that pages show with these models, the quickest first."""
    similar = [similar_of(versions["renewal"])] if versions["renewal"] else []
    return ["retention", "right", "journey", "voice", "calls", churn_drivers_of(versions), *similar, *SLOW]


class WorkedOut:
    """Long answers about the CRM that was ingested last."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._is_closed = False
        self._wanted: list[str] = []
        self._running: dict[bool, Work] = {}
        self._failed_at: dict[Path, float] = {}
        self._read: dict[str, tuple[Path, dict[str, Any]]] = {}
        self._turn = threading.Lock()

    def ask(self, name: str) -> Prepared:
        """The answer kept for the present CRM, or why there is none yet.

        Args:
            name: of `WORK`; `name@version` where it is about one version of a model.
        """
        path = _path(name, self.settings)
        if path is None:
            return Prepared(None, "No CRM data were ingested yet. Run `perennial ingest SOURCE`.")
        with self._turn:
            stored = self._kept(name, path)
            if stored is None:
                self._wanted = [name, *(other for other in self._wanted if other != name)]
                self._go_on()
                stored = self._kept(name, path)
        if stored is not None:
            return Prepared(None, stored["problem"]) if "problem" in stored else Prepared(stored["value"])
        if self._has_failed(path):
            return Prepared(None, "This could not be worked out; the log of the service says why.")
        return Prepared(None, COMES, True)

    def look(self, ahead: Iterable[str] = ()) -> None:
        """Take in what is done, and go on with what is wanted; `ahead` is begun after what is asked for.

        What is kept of it is read, so that who asks first need not wait for that either.
        """
        with self._turn:
            for name in ahead:
                path = _path(name, self.settings)
                if path is None or self._kept(name, path) is not None:
                    continue
                if name not in self._wanted and not self._has_failed(path):
                    self._wanted.append(name)
            self._go_on()

    def read_ahead(self, names: Iterable[str]) -> None:
        """Read what is kept of these, so that no request waits for it: the largest takes a second."""
        with self._turn:
            for name in names:
                path = _path(name, self.settings)
                if path is not None:
                    self._kept(name, path)

    def _kept(self, name: str, path: Path) -> dict[str, Any] | None:
        cached = self._read.get(name)
        if cached is None or cached[0] != path:
            if not path.is_file():
                return None
            content = json.loads(path.read_text())
            read = READ.get(name.partition("@")[0])
            if read is not None and "value" in content:
                content["value"] = read(content["value"])
            self._read[name] = cached = path, content
        return cached[1]

    def _go_on(self) -> None:
        """Note what has ended, and start the next of each lane that is free."""
        for is_slow, work in list(self._running.items()):
            if work.process.poll() is not None:
                del self._running[is_slow]
                self._end(work)
        begun = {work.name for work in self._running.values()}
        for name in list(self._wanted):
            path, is_slow = _path(name, self.settings), name in SLOW
            if path is None or path.is_file() or self._has_failed(path):
                self._wanted.remove(name)
            elif is_slow not in self._running and name not in begun and not self._is_closed:
                self._running[is_slow] = Work(name, path, _start(name, self.settings))

    def _end(self, work: Work) -> None:
        """Read what was worked out, so that who asks for it first need not wait; or note that it failed."""
        if work.path.is_file():
            self._kept(work.name, work.path)
        else:
            self._failed_at[work.path] = time.monotonic()
            log.error("working out %s failed with exit code %s", work.name, work.process.returncode)

    def _has_failed(self, path: Path) -> bool:
        return time.monotonic() - self._failed_at.get(path, -RETRY_SECONDS) < RETRY_SECONDS

    def close(self) -> None:
        """End what is still being worked out; it is begun again when the service starts."""
        with self._turn:
            self._is_closed = True  # a look that is still under way begins nothing any more
            for work in self._running.values():
                work.process.terminate()
                work.process.wait()


def forget(settings: Settings) -> int:
    """Remove every kept answer (they name customers), and say how many there were."""
    files = list((settings.home / FOLDER).glob("*.json"))
    for path in files:
        path.unlink(missing_ok=True)
    return len(files)


def _path(name: str, settings: Settings) -> Path | None:
    folder = current_folder(settings)
    if folder is None:
        return None
    counted = "m" if settings.email_is_contact else ""
    after = f"-{_experiments_ended(settings)}{counted}" if name == "effects" else ""
    return settings.home / FOLDER / f"{name}-{_FORM}-{settings.seed}-{folder.name}{after}.json"


def note_experiments(settings: Settings, ended: int) -> None:
    """Recompute effects once an experiment has ended, so that the estimates include its result."""
    with replacing(settings.home / FOLDER / _ENDED) as draft:
        draft.write_text(str(ended))


def _experiments_ended(settings: Settings) -> str:
    path = settings.home / FOLDER / _ENDED
    return path.read_text() if path.is_file() else "0"


def _start(name: str, settings: Settings) -> subprocess.Popen[bytes]:
    """The work in a process of its own; settings go through its input, where no other user reads them."""
    root = str(Path(__file__).parents[1])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "serving.precompute", name]
    begun = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment)
    _give_way(begun.pid)
    assert begun.stdin is not None
    begun.stdin.write(settings.model_dump_json().encode())
    begun.stdin.close()
    return begun


def _give_way(process: int) -> None:
    """Let a process run on what others leave, from its first import on: those alone take seconds."""
    most = os.getpriority(os.PRIO_PROCESS, 0) + NICENESS
    os.setpriority(os.PRIO_PROCESS, process, min(most, 19))


def work_out(name: str, settings: Settings) -> None:
    """Work one answer out and keep it, atomically; older ones of the same name are removed."""
    folder = settings.home / FOLDER
    with turn(folder / ("lock-slow" if name in SLOW else "lock")):
        path = _path(name, settings)
        if path is None or path.is_file():
            return
        with opened(settings) as crm:
            content: dict[str, Any]
            try:
                content = {"value": WORK[name.partition("@")[0]](crm, settings)}
            except RenewalError as error:
                content = {"problem": str(error)}
        with changing(settings):  # an ingest or an erasure may have come meanwhile
            now = _path(name, settings)
            if now == path:
                write(path, content, pd.DataFrame())
        for other in folder.glob(f"{name.partition('@')[0]}[@-]*.json"):
            if other != now:
                other.unlink(missing_ok=True)


def answered(name: str, settings: Settings) -> Prepared:
    """The answer for the present CRM; worked out here, which may take minutes, where it is not kept yet."""
    work_out(name, settings)
    path = _path(name, settings)
    if path is None or not path.is_file():
        return Prepared(None, "No CRM data were ingested yet. Run `perennial ingest SOURCE`.")
    content = json.loads(path.read_text())
    return Prepared(None, content["problem"]) if "problem" in content else Prepared(content["value"])


def _effects(crm: Crm, settings: Settings) -> dict[str, Any]:
    from monitoring.experiment_steps import findings
    from monitoring.store import open_store
    from serving.studies import ESTIMATED, effects_worked_out

    store = open_store(settings)
    return effects_worked_out(crm, settings, findings={name: findings(store, name) for name in ESTIMATED})


def _icp(crm: Crm, settings: Settings) -> dict[str, Any]:
    from monitoring.market_reach import reach_of
    from training.icp import personas, profiles, targets
    from training.icp.study import study

    icp_study = study(crm, settings)
    return {
        "personas": personas(crm, settings, prepared=icp_study)["personas"],
        "profiles": profiles(crm, settings, prepared=icp_study),
        "fit": icp_study.fit.as_dict(),
        "list": targets(crm, settings, limit=MOST_LISTED, prepared=icp_study),
        "reach": reach_of(crm, icp_study),
    }


def _journey(crm: Crm, settings: Settings) -> dict[str, Any]:
    """With `from_segments`: the attributes of the table `segments`, which not every role may see."""
    from monitoring.journey import journey

    hidden = set(crm.frame("segments", ["attribute"])["attribute"]) if crm.has("segments") else set()
    return {**journey(crm), "from_segments": sorted(hidden)}


def _calls(crm: Crm, settings: Settings) -> dict[str, Any]:
    from serving.studies import calls_to_win

    return calls_to_win(crm, settings)


def _churn_drivers(crm: Crm, settings: Settings) -> dict[str, Any]:
    from serving.studies import lost_and_why

    return lost_and_why(crm, settings)


def _similar(crm: Crm, settings: Settings) -> dict[str, Any]:
    from serving.scoring.similar_contracts import past_contracts

    return past_contracts(crm, settings)


def _retention(crm: Crm, settings: Settings) -> dict[str, Any]:
    from monitoring.store import open_store
    from serving.scoring.retention import history, said_before

    return {**history(crm), "before": said_before(crm, open_store(settings))}


def _right(crm: Crm, settings: Settings) -> dict[str, Any]:
    from monitoring.forecasters import who_was_right

    return who_was_right(crm, settings)


def _voice(crm: Crm, settings: Settings) -> dict[str, Any]:
    from monitoring.voice_kpis import voice

    return voice(crm)


def _kpis(crm: Crm, settings: Settings) -> dict[str, Any]:
    from monitoring.customer_view import customer_view

    return customer_view(crm, settings)


WORK: dict[str, Callable[[Crm, Settings], dict[str, Any]]] = {
    "effects": _effects,
    "icp": _icp,
    "journey": _journey,
    "calls": _calls,
    "churn-drivers": _churn_drivers,
    "similar": _similar,
    "retention": _retention,
    "right": _right,
    "voice": _voice,
    "kpis": _kpis,
}

READ: dict[str, Callable[[dict[str, Any]], Any]] = {"similar": Past.read}
"""How a stored answer is held in memory, where not as plain JSON."""


if __name__ == "__main__":
    work_out(sys.argv[1], Settings.model_validate_json(sys.stdin.read()))
