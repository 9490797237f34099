"""Answers kept ready: the current score of each subject as JSON, and feature rows to rescore it from."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from pydantic_core import to_json
from sqlalchemy import func, select

from monitoring.store import Store
from monitoring.store.tables import events, runs
from serving.scoring.scored_rows import hide_held_out, scored_rows
from serving.scoring.subject_details import ID_COLUMNS
from training.registry import Loaded

MOST_ROWS = 20_000
"""Some forty megabytes; what is asked for most stays."""
LATE_EVENTS = 5_000
"""How many events may be numbered and stored while one that got its number before is still being stored."""


class Ready(NamedTuple):
    """A row as it is answered, and whose it is."""

    account_id: str | None
    owner_id: str | None
    region: str | None
    body: bytes


class KeptScores:
    """Rows of the store's current scores, read once and kept until they are rewritten.

    This process says what it writes; what other services on the same store wrote is noticed by `look`.

    A score is a function of model and feature row, so an answer kept equals one calculated again. Where the
    model has changed since the list was made, a row is rescored from the features logged with it.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self._rows: dict[tuple[str, str], OrderedDict[str, Ready]] = {}
        self._features: dict[str, pd.DataFrame] = {}
        self._outdated: set[str] = set()
        self._stamp: Any = None
        self._events: set[int] = set()
        self._changes = 0
        self._turn = threading.Lock()

    def ready(self, kind: str, ids: Sequence[str], loaded: Loaded) -> dict[str, Ready]:
        """The rows of these subjects by id, scored by `loaded`; those not in the list are left out."""
        cached = self._rows.get((kind, str(loaded.version)), OrderedDict[str, Ready]())
        ready_rows = {one: row for one in ids if (row := cached.get(one)) is not None}
        if len(ready_rows) < len(ids):
            ready_rows |= self._read(
                kind, [one for one in dict.fromkeys(ids) if one not in ready_rows], loaded
            )
        return ready_rows

    def _read(self, kind: str, ids: list[str], loaded: Loaded) -> dict[str, Ready]:
        changes = self._changes
        rows = self.store.scores.page(kind, ids=ids).rows if ids else []
        stale = [row for row in rows if row["model_version"] != str(loaded.version)]
        if stale:
            fresh = {row[ID_COLUMNS[kind]]: row for row in self._scored_anew(kind, stale, loaded)}
            rows = [fresh.get(row[ID_COLUMNS[kind]], row) for row in rows]
        ready_by_id = {row[ID_COLUMNS[kind]]: ready(row) for row in rows}
        with self._turn:
            if changes == self._changes:  # else these may be from before what was written meanwhile
                mine = kind, str(loaded.version)
                for other in [key for key in self._rows if key[0] == kind and key != mine]:
                    del self._rows[other]  # of a model that serves no more
                cached = self._rows.setdefault(mine, OrderedDict())
                cached.update(ready_by_id)
                while len(cached) > MOST_ROWS:
                    cached.popitem(last=False)
        return ready_by_id

    def _scored_anew(self, kind: str, rows: list[dict[str, Any]], loaded: Loaded) -> list[dict[str, Any]]:
        if not self._outdated.isdisjoint(row["account_id"] for row in rows):
            with self._turn:  # what was logged of them is newer than what was read
                self._features.clear()
                self._outdated.clear()
        features = self._logged(kind)
        there = [row for row in rows if row["subject_id"] in features.index and not row.get("problem")]
        if not there:
            return []
        frame = features.loc[[row["subject_id"] for row in there]]
        return scored_rows(loaded, there, frame)

    def _logged(self, kind: str) -> pd.DataFrame:
        """The last logged feature row of each subject."""
        if kind not in self._features:
            logged = self.store.predictions.features(kind)
            newest = logged.sort_values("as_of", kind="stable").drop_duplicates("subject_id", keep="last")
            self._features[kind] = newest.set_index("subject_id")
        return self._features[kind]

    def forget_rows(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Forget subjects (`kind`, `subject_id`, `account_id`) whose scores have just been written."""
        with self._turn:
            self._changes += 1
            for row in rows:
                self._note_outdated([row["account_id"]])
                for (of, _), cached in self._rows.items():
                    if of == row["kind"]:
                        cached.pop(row["subject_id"], None)

    def look(self) -> None:
        """Notice what others wrote since the last look.

        A run that has written or erased: everything is forgotten. A live event: what is kept of its account.
        """
        newest = select(func.max(runs.c.finished_at), func.count())
        newest = newest.where(runs.c.what.in_(("score", "erase")), runs.c.run_id.not_like("live-%"))
        latest = select(func.coalesce(func.max(events.c.event_id), 0) - LATE_EVENTS).scalar_subquery()
        arrived = select(events.c.event_id, events.c.account_id).where(events.c.event_id > latest)
        with self.store.engine.connect() as connection:
            stamp = tuple(connection.execute(newest).one())
            account_by_event = {row.event_id: row.account_id for row in connection.execute(arrived)}
        if stamp != self._stamp:
            self.forget(stamp)
        else:
            self._forget_accounts({account_by_event[one] for one in account_by_event.keys() - self._events})
        self._events = set(account_by_event)

    def _forget_accounts(self, accounts: set[str]) -> None:
        if not accounts:
            return
        with self._turn:
            self._changes += 1
            self._note_outdated(accounts)
            for cached in self._rows.values():
                for one in [subject for subject, row in cached.items() if row.account_id in accounts]:
                    del cached[one]

    def _note_outdated(self, accounts: Iterable[str]) -> None:
        if self._features:
            self._outdated.update(accounts)

    def forget(self, stamp: Any = None) -> None:
        """Forget what is kept; the next question asks the store."""
        with self._turn:
            self._changes += 1
            self._stamp = stamp if stamp is not None else object()
            self._rows.clear()
            self._features.clear()
            self._outdated.clear()


def ready(row: dict[str, Any]) -> Ready:
    """A score row as it is answered: JSON, held-out customers without score."""
    shown = {name: value for name, value in hide_held_out(row).items() if name not in ("kind", "subject_id")}
    return Ready(
        row.get("account_id"), row.get("owner_id"), row.get("region"), to_json(shown, inf_nan_mode="null")
    )
