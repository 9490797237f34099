"""Every command that writes, how it is killed, and what a home must say after it was killed and run again.

`killed` and `READS` together name every command there is; tests/perennial/test_killed_commands.py holds them
to it, so that a new command is either killed here or declared to write nothing.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import Table, select, update

from benchmarks.killed_homes import Place, need
from features.crm.crm import read_crm
from features.crm.load import current_folder
from features.identity.links import read_links
from monitoring.store import Store
from monitoring.store import tables as t
from monitoring.store.database import now
from monitoring.store.experiment_tables import experiment_accounts, experiments
from monitoring.store.survey_tables import survey_requests
from monitoring.store.task_tables import tasks
from training.registry import listing

Facts = Callable[[Place, Store], Any]

READS = (
    "alerts list", "check", "churn-drivers", "effects calls", "effects discount", "effects experiment",
    "effects timing", "effects value", "experiment list", "features list", "features touchpoints", "icp list",
    "icp personas", "icp profiles", "icp reach", "identity list", "journey", "judged", "keys list", "kpis",
    "models compare", "models list", "models show", "parity", "population join", "tasks judge", "tasks list",
    "voice kpis", "voice requests",
)  # fmt: skip
"""Commands that write nothing but the file that --out names, as a score's."""

READERS = {
    "churn-drivers": ("renewal",),
    "models compare": ("renewal", "1", "2"),
    "models show": ("renewal",),
    "parity": ("renewal", "--trials", "1"),
}
"""What follows the names of those that need more."""


@dataclass(frozen=True)
class Killed:
    """One command to kill.

    Args:
        words: what follows `perennial`.
        facts: what a home says of it; after a kill and another run the same as after a run unharmed.
        first: commands that bring a copy to where it begins.
        between: done after the kill and before the command is run again.
        again: statuses that the other run may end with; 2 where it says that it was done already.
    """

    words: tuple[str, ...]
    facts: Facts
    first: tuple[tuple[str, ...], ...] = ()
    between: Callable[[Place, Store], None] | None = None
    again: tuple[int, ...] = (0,)


def killed(place: Place) -> dict[str, Killed]:
    """Command → how it is killed; `service` is killed by `benchmarks.reliability` in its own way."""
    return {**_of_data(place), **_of_models(place), **_of_people(place), **_of_systems(place)}


def _of_data(place: Place) -> dict[str, Killed]:
    source, home, beside = str(place.source), place.home, place.source.parent
    review, bills = str(beside / "decisions.csv"), f"billing={beside / 'billing.csv'}"
    pair = tuple(place.before["pair"])
    return {
        "erase": Killed(("erase", place.before["account"]), _customers),
        "outcomes": Killed(("outcomes", str(beside / "outcomes.csv")), _rows(t.outcomes, "subject_id")),
        "ingest": Killed(("ingest", source), _crm),
        "simulate": Killed(
            ("simulate", str(home / "simulated"), "--accounts", "40", "--seed", "7"), _files("simulated")
        ),
        "map": Killed(
            ("map", str(beside / "foreign"), "--to", str(home / "mapping.yaml")), _files("mapping.yaml")
        ),
        "identity match": Killed(("identity", "match", "--records", bills), _links),
        "identity decide": Killed(("identity", "decide", review), _links),
        "identity undo": Killed(
            ("identity", "undo", *pair), _links, first=(("identity", "decide", review),), again=(0, 2)
        ),
        "population census": Killed(
            ("population", "census", "--year", "2022", "--out", str(home / "population.csv")),
            _files("census", "population.csv"),
        ),
    }


def _of_models(place: Place) -> dict[str, Killed]:
    listed = str(place.home / "list.csv")
    start = ("experiment", "start", "timing", "--advice", "61-90", "--name", "tried", "--seed", "1")
    promote = ("models", "promote", "renewal", "2", "--reason", "tried here")
    return {
        "train": Killed(("train", "renewal", "--trials", "1", "--bar", "industry"), _versions),
        "retrain": Killed(("retrain", "--trials", "1"), _versions, first=(("ingest", str(place.source)),)),
        "score": Killed(("score", "renewal", "--out", listed), _scores_and_list),
        "monitor": Killed(("monitor",), lambda place, store: len(store.runs("monitor"))),
        "run": Killed(
            ("run", str(place.source), "--trials", "1", "--lists", str(place.home / "lists")), _night
        ),
        "demo": Killed(("demo", "--accounts", "200"), _demonstrated),
        "effects plan": Killed(("effects", "plan"), lambda place, store: _names(place.home / "effects")),
        "models promote": Killed(promote, _versions),
        "models rollback": Killed(
            ("models", "rollback", "renewal"), _one_champion, first=(promote,), again=(0, 2)
        ),
        "experiment start": Killed(start, _with_audit(_experiments), again=(0, 2)),
        "experiment status": Killed(("experiment", "status"), _experiments, first=(start,)),
        "experiment end": Killed(
            ("experiment", "end"), _with_audit(_experiments), first=(start,), again=(0, 2)
        ),
    }


def _of_people(place: Place) -> dict[str, Killed]:
    alert, task = place.before["alert"], place.before["task"]
    done = ("tasks", "done", task, "--by", "Ann", "--result", "called")
    state_of_tasks = _rows(tasks, "alert_id", "step", "state", "owner", "result")
    state_of_alerts = _rows(t.alerts, "dedupe_key", "state", "owner", "closed_by", "closed_because")
    close = ("alerts", "close", alert, "--by", "Ann", "--because", "mended")
    return {
        "keys create": Killed(("keys", "create", "sales"), _one_key_more),
        "keys revoke": Killed(("keys", "revoke", place.before["key"]), _revoked),
        "tasks begin": Killed(("tasks", "begin"), state_of_tasks),
        "tasks start": Killed(("tasks", "start", task, "--by", "Ann"), state_of_tasks),
        "tasks done": Killed(done, state_of_tasks),
        "alerts ack": Killed(("alerts", "ack", alert, "--by", "Ann"), _with_audit(state_of_alerts)),
        "alerts close": Killed(close, _with_audit(state_of_alerts)),
        "voice send": Killed(("voice", "send"), _sent, between=_pass_leases),
    }


def _of_systems(place: Place) -> dict[str, Killed]:
    if "addresses" not in place.before:
        place.before["addresses"] = dict.fromkeys(("pulled", "written", "webhook"), "http://127.0.0.1:9")
    at = place.before["addresses"]

    def connect(name: str, *more: str) -> tuple[str, ...]:
        return ("connect", name, "--system", "salesforce", "--url", at[name], "--client-id", "app", *more)

    writable = connect("written", "--write-back")
    standing = _standing(at["written"])
    pull = ("ingest", "salesforce://pulled", "--until", "2024-06-01")
    return {
        "connect": Killed(connect("pulled"), _files("connections")),
        "ingest a system": Killed(pull, _crm, first=(connect("pulled"),)),
        "write-back": Killed(("write-back",), standing, first=(writable,)),
        "write-back --undo": Killed(("write-back", "--undo"), standing, first=(writable, ("write-back",))),
    }


def _rows(table: Table, *columns: str) -> Facts:
    """The rows of a table, some columns of them."""

    def facts(place: Place, store: Store) -> Any:
        with store.engine.connect() as connection:
            rows = connection.execute(select(*(table.c[each] for each in columns)))
            return sorted([str(value) for value in row] for row in rows)

    return facts


def _with_audit(facts: Facts) -> Facts:
    """Facts, and what the audit says was done, however often."""
    audited = _rows(t.audit, "action", "subject")

    def both(place: Place, store: Store) -> Any:
        return [facts(place, store), sorted({tuple(row) for row in audited(place, store)})]

    return both


def _files(*names: str) -> Facts:
    """Files of a home, or all below its folders, by their content."""

    def facts(place: Place, store: Store) -> Any:
        below = [path for name in names for path in [place.home / name, *(place.home / name).rglob("*")]]
        read = {str(path.relative_to(place.home)): path.read_bytes() for path in below if path.is_file()}
        return {name: hashlib.sha256(content).hexdigest() for name, content in read.items()}

    return facts


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def _crm(place: Place, store: Store) -> Any:
    return read_crm(need(current_folder(place.settings))).fingerprint


def _customers(place: Place, store: Store) -> Any:
    return len(read_crm(need(current_folder(place.settings))).frame("accounts", ["account_id"]))


def _links(place: Place, store: Store) -> Any:
    rows = read_links(place.home)
    return sorted(rows[["left", "right", "decision", "by"]].astype(str).agg("|".join, axis=1))


def _versions(place: Place, store: Store) -> Any:
    rows = listing(place.settings)
    return [[row["model"], row["version"], row["complete"], row["alias"]] for row in rows]


def _one_champion(place: Place, store: Store) -> Any:
    return sum(row["alias"] == "champion" for row in listing(place.settings))


def _scores(place: Place, store: Store) -> Any:
    rows = store.scores.page("renewal", limit=1_000).rows
    return sorted([row["contract_id"], f"{row['probability']:.6f}"] for row in rows)


def _scores_and_list(place: Place, store: Store) -> Any:
    return [_scores(place, store), len(pd.read_csv(place.home / "list.csv"))]


def _night(place: Place, store: Store) -> Any:
    lists = {path.name: len(path.read_text().splitlines()) for path in (place.home / "lists").glob("*.csv")}
    status = store.runs("nightly")[0]["summary"]["status"]
    return [status in ("done", "nothing to do"), lists, _crm(place, store), _scores(place, store)]


def _demonstrated(place: Place, store: Store) -> Any:
    home = place.home / "demo"
    settings = place.settings.model_copy(update={"home": home, "database_url": None})
    models = [[row["model"], row["version"], row["complete"]] for row in listing(settings)]
    return [models, read_crm(need(current_folder(settings))).fingerprint]


def _experiments(place: Place, store: Store) -> Any:
    about = _rows(experiments, "experiment_id", "question", "choice")(place, store)
    arms = _rows(experiment_accounts, "account_id", "arm")(place, store)
    return [about, arms, [row["ended_at"] is not None for row in store.experiments.read()]]


def _one_key_more(place: Place, store: Store) -> Any:
    """A key whose secret nobody saw is there beside the one of the other run."""
    return len(_rows(t.api_keys, "prefix")(place, store)) > place.before["keys"]


def _revoked(place: Place, store: Store) -> Any:
    return [row["prefix"] for row in store.access.keys() if row["revoked_at"]]  # noqa: SIM118


def _pass_leases(place: Place, store: Store) -> None:
    """Let so much time pass that what a killed sender had claimed is sent by another."""
    with store.engine.begin() as connection:
        earlier = now() - timedelta(hours=1)
        connection.execute(update(survey_requests).values(claimed_at=earlier))


def _sent(place: Place, store: Store) -> Any:
    """Every request is sent; the one that a killed sender was at may come twice, after its lease."""
    return _rows(survey_requests, "request_id", "state")(place, store)


def _standing(address: str) -> Facts:
    """The contracts of the organisation that is written to."""

    def facts(place: Place, store: Store) -> Any:
        from benchmarks.killed_systems import ask

        return ask(f"{address}/standing")

    return facts
