"""What is looked at after a kill and the run that follows it: lost, doubled, left over."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
from sqlalchemy import func, select

from benchmarks.killed_homes import UNTIL, Place, need
from features.crm.crm import read_crm
from features.crm.load import current_folder
from features.scratch import MARK
from monitoring.store import Store, open_store
from monitoring.store.tables import alerts, api_keys, events, outcomes, prediction_log
from training.registry import listing


def problems_after(name: str, place: Place) -> list[str]:
    """All that is wrong with a home after a command was killed and run again."""
    store = open_store(place.settings)
    problems = [*lost(name, place, store), *doubled(place, store), *left_over(place)]
    if name == "erase":
        problems += bytes_of(place, place.before["ids"])
    store.engine.dispose()
    return problems


def left_over(place: Place) -> list[str]:
    """Unfinished folders, drafts and locks that nobody owns."""
    return [f"left over: {path.relative_to(place.home)}" for path in place.home.rglob(f"{MARK}*")]


def doubled(place: Place, store: Store) -> list[str]:
    """What is there twice."""
    problems = []
    once = {
        "prediction": (prediction_log, ("kind", "subject_id", "as_of_key", "model_version")),
        "outcome": (outcomes, ("kind", "subject_id")),
        "event": (events, ("crm_table", "row_id")),
    }
    with store.engine.connect() as connection:
        for name, (table, names) in once.items():
            columns = [table.c[each] for each in names]
            query = select(*columns).group_by(*columns).having(func.count() > 1)
            problems += [f"doubled: {name} {tuple(row)}" for row in connection.execute(query)]
        open_now = select(alerts.c.dedupe_key).where(alerts.c.state != "closed")
        query = open_now.group_by(alerts.c.dedupe_key).having(func.count() > 1)
        problems += [f"doubled: alert {row[0]}" for row in connection.execute(query)]
    versions = listing(place.settings)
    fingerprints = Counter((row["model"], row["data_fingerprint"]) for row in versions if row["complete"])
    problems += [f"left over: version {row['version']}" for row in versions if not row["complete"]]
    most = place.before.get("versions", {})
    problems += [
        f"doubled: versions of {key}" for key, count in fingerprints.items() if count > most.get(key, 1)
    ]
    return problems


def lost(name: str, place: Place, store: Store) -> list[str]:
    """What the command should have made, and is not there."""
    wanted: dict[str, Callable[[], bool]] = {
        "ingest": lambda: read_crm(need(current_folder(place.settings))).until > pd.Timestamp(UNTIL),
        "score": lambda: len(store.scores.page("renewal", limit=10).rows) > 0,
        "train": lambda: len(listing(place.settings)) == 2,
        "retrain": lambda: len(listing(place.settings)) >= 1,
        "monitor": lambda: len(store.runs("monitor")) == 1,
        "outcomes": lambda: len(store.outcomes.read("renewal")) == place.before["outcomes"],
        "keys create": lambda: _count(store, api_keys) >= 3,
        "keys revoke": lambda: place.before["key"] in _revoked(store),
        "models promote": lambda: "champion" in str(listing(place.settings)[0]),
        "experiment start": lambda: len(store.experiments.read(is_open=True)) == 1,
        "run": lambda: store.runs("nightly")[0]["summary"]["status"] in ("done", "nothing to do"),
    }
    problems = [] if wanted.get(name, lambda: True)() else [f"lost: what {name} should have made"]
    if name != "erase" and not store.scores.page("renewal", limit=10).rows:
        problems.append("lost: the scores of before")
    return problems


def _revoked(store: Store) -> set[str]:
    return {key["prefix"] for key in store.access.keys() if key["revoked_at"]}  # noqa: SIM118


def _count(store: Store, table: Any) -> int:
    with store.engine.connect() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def bytes_of(place: Place, ids: list[str]) -> list[str]:
    """Files of a home, Parquet opened, that hold one of the ids."""
    problems = []
    for path in (path for path in place.home.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += pq.read_table(path).to_pandas().to_csv().encode()
        if any(one.encode() in content for one in ids):
            problems.append(f"left over: the customer in {path.relative_to(place.home)}")
    return problems
