"""The loop closed: train again when it is time to, and promote what is no worse on the newest outcomes."""

from typing import TYPE_CHECKING, Any

import pandas as pd

from features.columns import KEYS
from features.crm.contract import SUBJECTS
from features.errors import RenewalError
from features.moments import naive_utc
from features.progress import Say, silent
from features.scratch import turn
from features.settings import Settings
from features.snapshots import snapshots_for
from monitoring.alerts import champion_alert, model_alert, send_due
from monitoring.store import open_store
from training.model_versions import model_name
from training.registry import champion, listing, show
from training.train import TRIALS, TrainOptions, train

if TYPE_CHECKING:
    from features.crm.crm import Crm

EVERY_DAYS = 30
"""Retrain when the data are so much newer than what the served model was trained on."""

ENOUGH_OUTCOMES = 100
"""… or when so many contracts or deals were decided since."""

_TELLING_RULES = ("monitor: drift", "monitor: performance", "monitor: data quality")
"""Alerts that newer data may mend."""


def retrain(
    crm: "Crm",
    settings: Settings,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """Train a challenger for each kind that is due; it leads only if every gate passes.

    One of the gates compares it with the champion, on outcomes new to both; a mitigation that the champion
    was trained with is kept. A second call on the same data does nothing, and a call while another runs
    leaves at once.

    Args:
        crm: the newest data.
        settings: where models and store are.
        trials: of each search.
        minutes: of each search.
        say: called with each line of progress.

    Returns:
        `models`: one row a kind with `kind`, `what` (`promoted`, `challenger`, `kept`, `not trained`), `why`,
        and `version` where one was registered.
    """
    kinds = [kind for kind, table in SUBJECTS.items() if crm.has(table)]
    with turn(settings.home / "retrain.lock", wait=False) as mine:
        if not mine:
            busy = "another retraining is running"
            return {"models": [{"kind": kind, "what": "kept", "why": busy} for kind in kinds]}
        done = [_of_kind(kind, crm, settings, trials, minutes, say) for kind in kinds]
    send_due(open_store(settings), settings, say=say)
    return {"models": done}


def train_by_hand(
    kind: str, crm: "Crm", settings: Settings, options: TrainOptions, *, say: Say = silent
) -> dict[str, Any]:
    """`training.train.train`, and an alert where another model leads now or a gate failed.

    Args:
        kind, crm, settings, options, say: as there.

    Returns:
        What it returns; raises what it raises.
    """
    result = train(kind, crm, settings, options, say=say)
    _tell(kind, settings, "trained by hand")
    send_due(open_store(settings), settings, say=say)
    return result


def _of_kind(
    kind: str, crm: "Crm", settings: Settings, trials: int | None, minutes: float | None, say: Say
) -> dict[str, Any]:
    due, why = _is_due(kind, crm, settings)
    say(f"{kind}: {why}")
    if not due:
        _tell(kind, settings, why)
        return {"kind": kind, "what": "kept", "why": why}
    leader = champion(kind, settings)
    mitigate = None if leader is None else leader.model.about.get("mitigation")
    try:
        options = TrainOptions(trials=trials or TRIALS, minutes=minutes, mitigate=mitigate)
        train(kind, crm, settings, options, say=say)
    except RenewalError as error:
        return {"kind": kind, "what": "not trained", "why": str(error)}
    return _tell(kind, settings, why)


def _tell(kind: str, settings: Settings, why: str) -> dict[str, Any]:
    """What became of the version trained last; noted and alerted once, even if it was killed before."""
    newest = _newest(kind, settings)
    if newest is None:
        return {"kind": kind, "what": "kept", "why": why}
    store, version, leads = open_store(settings), newest["version"], newest["alias"] == "champion"
    failed = [
        f"{gate}: {explanation['why']}"
        for gate, explanation in newest["gates"].items()
        if explanation["passed"] is False
    ]
    explanation = why if leads else f"{why}; not promoted, as it failed {'; '.join(failed)}"
    run = f"train-{kind}-{version}"
    if run not in {row["run_id"] for row in store.runs("train", kind)}:
        if leads:
            champion_alert(store, settings, kind, version)
        elif failed:
            model_alert(store, settings, kind, version, rule="gate failed", reasons=failed)
        store.record_run(run, "train", kind, {"alias": newest["alias"], "why": explanation})
    return {
        "kind": kind,
        "what": "promoted" if leads else "challenger",
        "why": explanation,
        "version": version,
    }


def _is_due(kind: str, crm: "Crm", settings: Settings) -> tuple[bool, str]:
    """Whether it is time to train, and why or why not.

    Asked of the newest version, champion or not: a challenger that failed its gates is not trained again
    every night until there is a new reason.
    """
    newest = _newest(kind, settings)
    if newest is None:
        return True, "there is no model yet"
    version = newest["version"]
    if newest["data_fingerprint"] == crm.fingerprint:
        return False, f"version {version} was trained on these very data"
    result = show(kind, settings, version)["result"]
    trained_until = pd.Timestamp(result["until"])
    days = (crm.until - trained_until).days
    if days >= EVERY_DAYS:
        return True, f"the data are {days} days newer than what version {version} was trained on"
    alert = _telling_alert(kind, pd.Timestamp(newest["trained_at"]), settings)
    if alert is not None:
        return True, f"an alert is open since version {version} was trained: {alert['title']}"
    new = _decided_since(kind, crm, trained_until, result)
    if new >= ENOUGH_OUTCOMES:
        return True, f"{new} outcomes are new since version {version}"
    return False, f"{days} days and {new} outcomes since version {version}: too little that is new"


def _newest(kind: str, settings: Settings) -> dict[str, Any] | None:
    """The version trained last, whatever became of it; a killed training's leftover is none."""
    of_kind = [row for row in listing(settings) if row["model"] == model_name(kind)]
    return next((row for row in of_kind if row["complete"]), None)


def _telling_alert(kind: str, since: pd.Timestamp, settings: Settings) -> dict[str, Any] | None:
    """A standing alert that newer data may mend, opened or grown after the last training."""
    moment = naive_utc(since)
    for alert in open_store(settings).alerts.read(state="standing", kind=kind):
        if alert["rule"].startswith(_TELLING_RULES) and alert["opened_at"] > moment:
            return alert
    return None


def _decided_since(kind: str, crm: "Crm", moment: pd.Timestamp, result: dict[str, Any]) -> int:
    """Contracts or deals whose outcome has become fit to train on since; undated: more than there were."""
    table = SUBJECTS[kind]
    if not crm.dated(kind):
        count = snapshots_for(crm, kind, crm.frame(table, [KEYS[table]]))["label"].notna().sum()
        return max(0, int(count) - int(result.get("rows", 0)))
    if kind == "win":
        closed = crm.frame(table, ["closed_at"])["closed_at"] if crm.has(table, "closed_at") else None
        return 0 if closed is None else int((closed >= moment).sum())
    now = snapshots_for(crm, kind, crm.frame(table, [KEYS[table]]))
    fresh = (now["matured_at"] > moment) & (now["matured_at"] <= crm.until)
    return int((fresh & now["label"].notna()).sum())
