"""The loop closed: train again when it is time to, and promote what is no worse on the newest outcomes."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pandas as pd

from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from features.tables import SUBJECTS
from monitoring.store import open_store
from training.registry import champion, show
from training.train import train

if TYPE_CHECKING:
    from features.crm import Crm

EVERY_DAYS = 30
"""Retrain when the data are so much newer than what the served model was trained on."""

ENOUGH_OUTCOMES = 100
"""… or when so many contracts or deals were decided since."""

_TELLING_RULES = ("drift", "performance")


def retrain(
    crm: "Crm",
    settings: Settings,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """Train a challenger for each kind that is due; it leads only if every gate passes.

    One of the gates compares it with the champion, on outcomes new to both. A second call on
    the same data does nothing, and a call while another runs leaves at once.

    Args:
        crm: the newest data.
        settings: where models and store are.
        trials: of each search.
        minutes: of each search.
        say: told of each step.

    Returns:
        `models`: one row a kind with `kind`, `what` (`promoted`, `challenger`, `kept`, `not trained`), `why`,
        and `version` where one was registered.
    """
    kinds = [kind for kind, table in SUBJECTS.items() if crm.has(table)]
    with _alone(settings) as mine:
        if not mine:
            busy = "another retraining is running"
            return {"models": [{"kind": kind, "what": "kept", "why": busy} for kind in kinds]}
        return {"models": [_of_kind(kind, crm, settings, trials, minutes, say) for kind in kinds]}


def _of_kind(
    kind: str, crm: "Crm", settings: Settings, trials: int | None, minutes: float | None, say: Say
) -> dict[str, Any]:
    due, why = _is_due(kind, crm, settings)
    say(f"{kind}: {why}")
    if not due:
        return {"kind": kind, "what": "kept", "why": why}
    try:
        result = train(
            kind, crm, settings, trials=trials, minutes=minutes, rival=champion(kind, settings), say=say
        )
    except RenewalError as error:
        return {"kind": kind, "what": "not trained", "why": str(error)}
    failed = [f"{name}: {gate['why']}" for name, gate in result["gates"].items() if gate["passed"] is False]
    leads = result["alias"] == "champion"
    told = why if leads else f"{why}; not promoted, as it failed {'; '.join(failed)}"
    open_store(settings).record_run(
        f"train-{kind}-{result['version']}", "train", kind, {"alias": result["alias"], "why": told}
    )
    return {
        "kind": kind,
        "what": "promoted" if leads else "challenger",
        "why": told,
        "version": result["version"],
    }


def _is_due(kind: str, crm: "Crm", settings: Settings) -> tuple[bool, str]:
    """Whether it is time to train, and why or why not."""
    served = champion(kind, settings)
    if served is None:
        return True, "there is no model yet"
    told = show(kind, settings, served.version)["result"]
    if served.model.about.get("data_fingerprint") == crm.fingerprint:
        return False, f"version {served.version} was trained on these very data"
    trained_until = pd.Timestamp(told["until"])
    days = (crm.until - trained_until).days
    if days >= EVERY_DAYS:
        return True, f"the data are {days} days newer than what version {served.version} was trained on"
    alerts = [alert for alert in open_store(settings).alerts() if _calls_for_training(alert, kind)]
    if alerts:
        return True, f"an alert stands: {alerts[0]['title']}"
    new = _decided_since(kind, crm, trained_until)
    if new >= ENOUGH_OUTCOMES:
        return True, f"{new} outcomes are new since version {served.version}"
    return False, f"{days} days and {new} outcomes since version {served.version}: too little that is new"


def _calls_for_training(alert: dict[str, Any], kind: str) -> bool:
    return alert["kind"] == kind and alert["state"] != "closed" and alert["rule"].startswith(_TELLING_RULES)


def _decided_since(kind: str, crm: "Crm", moment: pd.Timestamp) -> int:
    table, decided = {"renewal": ("contracts", "decided_at"), "win": ("opportunities", "closed_at")}[kind]
    return int((crm.frame(table, [decided])[decided] >= moment).sum()) if crm.has(table, decided) else 0


@contextmanager
def _alone(settings: Settings) -> Iterator[bool]:
    """Whether no other retraining of this home runs; the lock goes with the process, however it ends."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "retrain.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
