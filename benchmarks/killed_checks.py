"""What is looked at after a kill and the run that follows it: lost, doubled, left over."""

import json
from collections import Counter
from typing import Any

import pyarrow.parquet as pq
from sqlalchemy import func, select

from benchmarks.killed_commands import killed
from benchmarks.killed_homes import Place
from features.scratch import MARK
from monitoring.store import Store, open_store
from monitoring.store.tables import alerts, events, outcomes, prediction_log
from training.registry import listing


def facts_of(name: str, place: Place) -> Any:
    """What a home says of a command: see `Killed.facts`; as JSON gives it back."""
    store = open_store(place.settings)
    facts = killed(place)[name].facts(place, store)
    store.engine.dispose()
    return json.loads(json.dumps(facts, default=str))


def problems_after(name: str, place: Place, wanted: Any = None) -> list[str]:
    """All that is wrong with a home after a command was killed and run again.

    Args:
        name: of the command.
        place: the home.
        wanted: its facts after a run unharmed; None: not compared.
    """
    store = open_store(place.settings)
    problems = [*doubled(place, store), *left_over(place)]
    if name == "erase":
        problems += bytes_of(place, place.before["ids"])
    elif not store.scores.page("renewal", limit=10).rows:
        problems.append("lost: the scores of before")
    store.engine.dispose()
    if wanted is not None and (after := facts_of(name, place)) != wanted:
        problems.append(f"lost: what {name} should have made: {_difference(wanted, after)}")
    return problems


def _difference(wanted: Any, after: Any) -> str:
    """The first places where two facts differ, in short."""
    if isinstance(wanted, list) and isinstance(after, list) and len(wanted) == len(after):
        pairs = [(one, other) for one, other in zip(wanted, after, strict=True) if one != other]
        return "; ".join(
            f"{str(one)[:200]} was wanted, {str(other)[:200]} is there" for one, other in pairs[:2]
        )
    return f"{str(wanted)[:300]} was wanted, {str(after)[:300]} is there"


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
