"""The steps of the nightly job: what each rests on, so that it is left out while that has not changed."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Column, func, select

from features.crm.crm import Crm, read_crm
from features.crm.load import current_folder, ingest
from features.errors import RenewalError
from features.progress import Say, silent
from features.scratch import writable
from features.settings import Settings
from monitoring.alerts import send_due
from monitoring.closing_the_loop import begin_tasks, escalate, escalation_due
from monitoring.experiment_steps import enrol_all
from monitoring.playbooks import playbooks_of
from monitoring.report import monitor
from monitoring.retrain import retrain
from monitoring.store import Store
from monitoring.store.tables import actions, alerts, outcomes, overrides, prediction_log, runs
from serving.scoring.batch import score
from serving.scoring.export import write
from serving.scoring.scored_rows import hide_held_out
from serving.write_back import writable_connections, write_back
from serving.write_back.score_messages import deliver_scores, score_hooks
from training.model_versions import code_version
from training.registry import listing, standing

LISTS = {"renewal": "renewals", "win": "pipeline"}
_PAGE = 1_000


class NotNow(Exception):  # noqa: N818 (nothing failed)
    """A step that has nothing to work on yet, with the reason."""


@dataclass(frozen=True)
class Night:
    """What one job works with.

    Attributes:
        settings: of this installation.
        store: its store.
        source: the CRM to ingest; None: what was ingested before.
        mapping: the source's mapping file; None: the source's own.
        lists: the folder the current lists are written to; None: nowhere.
        trials: of each search for a model.
        minutes: of each search.
        say: called with each line of progress.
    """

    settings: Settings
    store: Store
    source: str | None = None
    mapping: Path | None = None
    lists: Path | None = None
    trials: int | None = None
    minutes: float | None = None
    say: Say = silent

    def crm(self) -> Crm:
        """The CRM ingested last; `NotNow` where there is none."""
        folder = current_folder(self.settings)
        if folder is None:
            raise NotNow("nothing was ingested yet: name a source")
        return read_crm(folder)


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: as the status page shows it.
        rests_on: what its result depends on, as JSON values; equal means that there is nothing to do. None:
            that cannot be known, it is always run.
        work: does it; returns a few words about the result, empty where nothing was done after all.
    """

    name: str
    rests_on: Callable[[Night], Any]
    work: Callable[[Night], str]


def digest(value: Any) -> str:
    """A short name for JSON values."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:24]


def _source(night: Night) -> Any:
    """Names, sizes and times of a folder's files; a database's content cannot be known without reading it."""
    if night.source is None:
        raise NotNow("no source is named: what was ingested stands")
    if "://" in night.source:
        return None
    folder = Path(night.source)
    if not folder.exists():
        raise RenewalError(expected=f"a folder of CRM data at {folder}", found="none", do="Check the path.")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()] or [folder]
    files += [] if night.mapping is None else [night.mapping]
    stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    today = datetime.now(UTC).date()  # rows dated to come become known as days pass
    return [stats, str(today), str(current_folder(night.settings) is None)]


def _ingest(night: Night) -> str:
    assert night.source is not None
    before = current_folder(night.settings)
    crm = ingest(night.source, night.settings, mapping=night.mapping, say=night.say)
    if before is not None and before.name == crm.fingerprint:
        return ""
    return f"{crm.fingerprint}, known until {crm.until:%Y-%m-%d}"


def _scoring(kind: str) -> Callable[[Night], Any]:
    def rests_on(night: Night) -> Any:
        crm, model = night.crm(), standing(kind, night.settings)
        if not crm.has(_TABLES[kind]):
            raise NotNow(f"the data have no {_TABLES[kind]}")
        if model is None:
            raise NotNow("there is no model yet")
        settings = [night.settings.holdout_share, night.settings.seed]
        return [crm.fingerprint, str(crm.until), model.version, model.alias, settings, code_version()]

    return rests_on


_TABLES = {"renewal": "contracts", "win": "opportunities"}


def _score(kind: str) -> Callable[[Night], str]:
    def work(night: Night) -> str:
        return f"{len(score(kind, night.crm(), night.settings, say=night.say)):,} rows"

    return work


def _watched(night: Night) -> Any:
    crm = night.crm()
    models = {kind: standing(kind, night.settings) for kind in LISTS}
    versions = [[kind, model.version] for kind, model in models.items() if model is not None]
    if not versions:
        raise NotNow("there is no model yet")
    log = [
        _stamp(night.store, column)
        for column in (
            prediction_log.c.prediction_id,
            outcomes.c.recorded_at,
            actions.c.action_id,
            overrides.c.override_id,
        )
    ]
    return [crm.fingerprint, str(crm.until), versions, log, code_version()]


def _monitor(night: Night) -> str:
    report = monitor(night.crm(), night.settings, say=night.say)
    return f"verdict {report['verdict']}, {len(report['alerts']['opened'])} new alerts"


def _enrolled(night: Night) -> Any:
    """Who joins goes by the data; what came of them also by what people did."""
    open_ones = [facts["experiment_id"] for facts in night.store.experiments.read(is_open=True)]
    if not open_ones:
        raise NotNow("no experiment is open")
    crm = night.crm()
    log = [_stamp(night.store, column) for column in (actions.c.action_id, outcomes.c.recorded_at)]
    return [crm.fingerprint, str(crm.until), open_ones, log, code_version()]


def _enrol(night: Night) -> str:
    joined = enrol_all(night.store, night.crm(), night.settings)
    return f"{joined:,} joined" if joined else "nobody new, all looked at"


def _loop(night: Night) -> Any:
    """Tasks rest on alerts, playbooks and experiments; escalation on what is overdue by now."""
    overdue = [[row["task_id"], row["escalations"]] for row in escalation_due(night.store, night.settings)]
    drawn = [
        [row["account_id"], row["choice"], row["arm"]] for row in night.store.experiments.arms("playbook")
    ]
    books = [asdict(book) for book in playbooks_of(night.settings)]
    return [_stamp(night.store, alerts.c.opened_at), books, sorted(drawn), overdue]


def _close_loop(night: Night) -> str:
    begun = begin_tasks(night.store, night.settings)
    escalated = escalate(night.store, night.settings)
    counts = ((len(begun), "begun"), (len(escalated), "escalated"))
    return ", ".join(f"{count:,} {what}" for count, what in counts if count)


def _send(night: Night) -> str:
    sent = send_due(night.store, night.settings, say=night.say)
    return f"{sent['sent']} sent, {sent['failed']} failed" if sent["sent"] or sent["failed"] else ""


def _due(night: Night) -> Any:
    crm = night.crm()
    versions = [[row["model"], row["version"], row["complete"]] for row in listing(night.settings)]
    stamps = [_stamp(night.store, outcomes.c.recorded_at), _stamp(night.store, alerts.c.opened_at)]
    return [crm.fingerprint, str(crm.until), versions, stamps, night.trials, night.minutes, code_version()]


def _retrain(night: Night) -> str:
    done = retrain(night.crm(), night.settings, trials=night.trials, minutes=night.minutes, say=night.say)[
        "models"
    ]
    return "; ".join(f"{row['kind']} {row['what']} ({row['why']})" for row in done)


def _listed(night: Night) -> Any:
    if night.lists is None:
        raise NotNow("no folder for lists is named")
    return [str(night.lists), _scored(night), _stamp(night.store, overrides.c.override_id)]


def _scored(night: Night) -> list[str]:
    """How many scoring runs there were, and when the last one ended."""
    newest = select(func.count(), func.max(runs.c.finished_at)).where(runs.c.what == "score")
    with night.store.engine.connect() as connection:
        return [str(value) for value in connection.execute(newest).one()]


def _write_lists(night: Night) -> str:
    assert night.lists is not None
    with writable(night.lists):
        night.lists.mkdir(parents=True, exist_ok=True)
    counts = []
    for kind, name in LISTS.items():
        rows: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = night.store.scores.page(kind, limit=_PAGE, cursor=cursor)
            rows += [hide_held_out(row) for row in page.rows]
            cursor = page.cursor
            if cursor is None:
                break
        write(night.lists / f"{name}.csv", {}, pd.DataFrame(rows))
        counts.append(f"{len(rows):,} in {name}.csv")
    return ", ".join(counts)


def _writable(night: Night) -> Any:
    """What is to be written rests on scores and how the connections are set up."""
    crm, chosen, hooks = night.crm(), writable_connections(night.settings), score_hooks(night.settings)
    if not chosen and not hooks:
        raise NotNow("no connection is set up to be written to, and no webhook for scores")
    return [
        crm.fingerprint,
        *_scored(night),
        [asdict(each) for each in chosen],
        [*hooks, night.settings.score_changes] if hooks else [],
        night.settings.holdout_share,
    ]


def _write_back(night: Night) -> str:
    words = []
    store, settings = night.store, night.settings
    results = [write_back(each, store, settings, say=night.say) for each in writable_connections(settings)]
    results += [deliver_scores(url, store, settings, say=night.say) for url in score_hooks(settings)]
    for result in results:
        changed = sum(each["changed"] for each in result["objects"])
        failed = sum(each["failed"] for each in result["objects"])
        words += [f"{changed:,} records in {result['connection']}"] if changed else []
        words += [f"{failed:,} refused by {result['connection']}"] if failed else []
    return ", ".join(words)


def _stamp(store: Store, column: Column[Any]) -> list[str]:
    """How many rows a table has, and the newest of them."""
    with store.engine.connect() as connection:
        return [str(value) for value in connection.execute(select(func.count(), func.max(column))).one()]


STEPS = (
    Step("ingest", _source, _ingest),
    Step("score renewal", _scoring("renewal"), _score("renewal")),
    Step("score win", _scoring("win"), _score("win")),
    Step("monitor", _watched, _monitor),
    Step("experiments", _enrolled, _enrol),
    Step("tasks", _loop, _close_loop),
    Step("retrain", _due, _retrain),
    Step("alerts", lambda night: None, _send),
    Step("lists", _listed, _write_lists),
    Step("write back", _writable, _write_back),
)
