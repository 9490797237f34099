"""Experiments: begin one, see its state, end it.

The draw is kept in the store, the rest follows from the CRM. Whoever looks may look as often as they like:
intervals and the verdict hold at every look together.
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from features.crm.crm import Crm
from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from monitoring.experiment_draw import contamination_of, drawn_for, refuse_mixing
from monitoring.experiment_plan import Plan, facts_of
from monitoring.store import Store
from training.effects.enrolment import PLAYBOOK, Question, joining, results
from training.effects.learned import Finding
from training.effects.verdict import verdict

NOBODY = pd.DataFrame(columns=["account_id", "cluster", "stratum", "arm"])


def start(
    store: Store, crm: Crm, settings: Settings, plan: Plan, *, by: str = "perennial", say: Say = silent
) -> dict[str, Any]:
    """Draw and begin; all of it is written in one transaction.

    Returns:
        As `status`.

    Raises:
        RenewalError: nobody can join, the draw would put a group of companies into both arms, one about this
            question is open already, or the plan does not fit the data.
    """
    facts = facts_of(crm, settings, plan, by, say)
    question = Question(facts["question"], facts["choice"])
    subjects = joining(crm, question, crm.until, first=True)
    drawn = drawn_for(crm, settings, facts, NOBODY, subjects["account_id"])
    arms = {row["account_id"]: row["arm"] for row in drawn}
    if question.kind == "renewal" and len(set(arms.values())) < 2:
        raise RenewalError(
            expected="accounts for both arms",
            found=f"{len(arms)} accounts whose outcome is still open and who can be drawn",
            do="Load newer data, or draw in smaller clusters.",
        )
    if not plan.may_mix:
        refuse_mixing(crm, arms)
    results(crm, question, subjects.assign(joined_at=crm.until), set(), arms)  # raises if it cannot be
    store.experiments.open(facts, drawn, _rows(subjects, crm))
    return status(store, crm, settings, facts["experiment_id"])


def status(store: Store, crm: Crm, settings: Settings, name: str | None = None) -> dict[str, Any]:
    """The state of an experiment; accounts that can join by now are enrolled first.

    Args:
        store: where it is kept.
        crm: as it stands.
        settings: the hold-out of scores.
        name: which; default: the only open one, else the newest.

    Returns:
        The experiment's facts, `contamination` and the result of `training.effects.verdict.verdict`. It is
        kept as a run, so that pages show it.
    """
    facts = find(store, name)
    if facts["ended_at"] is not None:
        return report_of(facts, facts["result"] or {})
    question = Question(facts["question"], facts["choice"])
    accounts, joined = store.experiments.accounts(facts["experiment_id"]), _joined(store, facts)
    started = pd.Timestamp(facts["as_of"])
    if crm.until > started:
        new = joining(crm, question, started, first=False, already=set(joined["subject_id"]))
        drawn = drawn_for(crm, settings, facts, accounts, new["account_id"])
        store.experiments.enrol(facts["experiment_id"], drawn, _rows(new, crm))
        accounts, joined = (
            store.experiments.accounts(facts["experiment_id"]),
            _joined(store, facts),
        )
    arms = dict(zip(accounts["account_id"], accounts["arm"], strict=True))
    rows = results(crm, question, joined, _acted(store, facts), arms).merge(accounts, on="account_id")
    result = {
        "as_of": str(crm.until),
        "kind": question.kind,
        **verdict(rows, facts, crm.until),
        "contamination": contamination_of(crm, settings, facts, accounts),
    }
    store.record_run(f"experiment-{facts['experiment_id']}", "experiment", question.kind, result)
    return report_of(facts, result)


def enrol_all(store: Store, crm: Crm, settings: Settings) -> int:
    """Enrol who can join by now in every open experiment and judge each; returns how many joined."""
    joined = 0
    for facts in store.experiments.read(is_open=True):
        before = len(store.experiments.subjects(facts["experiment_id"]))
        status(store, crm, settings, facts["experiment_id"])
        joined += len(store.experiments.subjects(facts["experiment_id"])) - before
    return joined


def end(
    store: Store, crm: Crm, settings: Settings, name: str | None = None, *, by: str, because: str = ""
) -> dict[str, Any]:
    """Close an experiment with what it found; from then on all get the advice, and effects know of it."""
    name = status(store, crm, settings, name)["experiment"]
    result = _last_result(store, name)
    store.experiments.end(name, by, because, result)
    facts = find(store, name)
    return report_of(facts, facts["result"])


def find(store: Store, name: str | None) -> dict[str, Any]:
    """An experiment by its name; without one the only open one, else the newest.

    Raises:
        RenewalError: there is none of that name, or several are open and none is named.
    """
    every = store.experiments.read()
    if name is not None:
        matching = [one for one in every if one["experiment_id"] == name]
    else:
        matching = [one for one in every if one["ended_at"] is None] or every[:1]
    if len(matching) != 1:
        names = ", ".join(one["experiment_id"] for one in every) or "none was started"
        raise RenewalError(
            expected="the name of one experiment",
            found=repr(name) if name is not None else f"{len(matching)} open ones" if matching else "none",
            do=f"Choose one of: {names}." if every else "Start one with `perennial experiment start`.",
        )
    return matching[0]


def report_of(facts: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """An experiment as commands, programs and pages get it."""
    shown = (
        "question", "choice", "cluster", "strata", "share", "seed", "gap", "level", "power", "followed",
        "needed", "started_by", "ended_by", "ended_because",
    )  # fmt: skip
    moments = {name: None if facts[name] is None else str(facts[name]) for name in ("started_at", "ended_at")}
    question = Question(facts["question"], facts["choice"])
    return {
        "experiment": facts["experiment_id"],
        "state": "open" if facts["ended_at"] is None else "ended",
        "advice": question.words,
        **{name: facts[name] for name in shown},
        **moments,
        "begun_as_of": str(facts["as_of"]),
        **result,
    }


def every(store: Store) -> list[dict[str, Any]]:
    """All experiments as of the last look at each; what pages and programs list."""
    latest = {run["run_id"]: run["summary"] for run in store.runs("experiment", limit=1_000)}
    return [
        report_of(one, one["result"] or latest.get(f"experiment-{one['experiment_id']}", {}))
        for one in store.experiments.read()
    ]


def findings(store: Store, question: str) -> list[Finding]:
    """What ended experiments found about a question, for the estimates of effects."""
    ended = [one for one in store.experiments.read(is_open=False) if one["question"] == question]
    return [matching for one in ended if (matching := Finding.of(one)) is not None]


def _last_result(store: Store, name: str) -> dict[str, Any]:
    """What the newest look at an experiment found."""
    runs = store.runs("experiment", limit=1_000)
    return next((run["summary"] for run in runs if run["run_id"] == f"experiment-{name}"), {})


def _joined(store: Store, facts: Mapping[str, Any]) -> pd.DataFrame:
    matching = store.experiments.subjects(facts["experiment_id"])
    moments = {
        name: pd.to_datetime(matching[name]).astype("datetime64[us]") for name in ("joined_at", "matures_at")
    }
    return matching.assign(**moments)


def _rows(subjects: pd.DataFrame, crm: Crm) -> list[dict[str, Any]]:
    joined = crm.until.to_pydatetime()
    return [
        {"subject_id": s, "account_id": str(a), "joined_at": joined, "matures_at": m.to_pydatetime()}
        for s, a, m in zip(
            subjects["subject_id"], subjects["account_id"], subjects["matures_at"], strict=True
        )
    ]


def _acted(store: Store, facts: Mapping[str, Any]) -> set[str]:
    """Accounts for which the playbook that is tried was followed since the start."""
    if facts["question"] != PLAYBOOK:
        return set()
    taken = pd.concat([store.judgements.actions(kind) for kind in ("renewal", "win")], ignore_index=True)
    followed = [
        (details or {}).get("playbook") == facts["choice"] and at >= facts["started_at"]
        for details, at in zip(taken["details"], taken["taken_at"], strict=True)
    ]
    return set(taken.loc[followed, "account_id"].dropna())
