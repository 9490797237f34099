"""Removing a customer from the store: every table, blobs, names of runs, and SQLite's own leftovers."""

import contextlib
import hashlib
import re
import uuid
from typing import Any
from urllib.parse import unquote_plus

import pyarrow.compute as pc
from sqlalchemy import Connection, Engine, delete, select, text, update

from monitoring.store.database import EVERYBODY, in_turn, insert, now, writing
from monitoring.store.experiment_tables import experiment_accounts, experiment_subjects
from monitoring.store.predictions import packed, unpacked
from monitoring.store.survey_tables import survey_requests
from monitoring.store.tables import (
    actions,
    alerts,
    audit,
    events,
    feature_batches,
    outcomes,
    overrides,
    prediction_log,
    runs,
    scores,
    shadow_log,
)
from monitoring.store.task_tables import tasks
from monitoring.store.work_tables import saved_views, work_status

OF_ACCOUNTS = (
    scores, prediction_log, shadow_log, outcomes, alerts, overrides, actions, events, experiment_accounts,
    experiment_subjects, survey_requests, tasks, work_status,
)  # fmt: skip
"""Tables whose rows are about accounts; a test holds that no other table has their ids."""

ERASED = "erase"
"""What such a run is called: services that keep answers in memory let go of them when they see one."""


def erase_account(engine: Engine, account_id: str) -> dict[str, int]:
    """Remove everything about an account; the audit keeps that it was done, with the id's hash only.

    Args:
        engine: of the store.
        account_id: the customer.

    Returns:
        Rows removed by table.
    """
    with writing(engine) as connection:
        in_turn(connection, [EVERYBODY])  # an event that is being taken in is stored first, then removed
        if connection.dialect.name == "sqlite":
            connection.execute(text("PRAGMA secure_delete = ON"))  # freed pages are overwritten
        subjects = _subjects(connection, account_id)
        names = _names(connection, account_id)
        counts = {table.name: _rows(connection, table, account_id, subjects) for table in OF_ACCOUNTS}
        counts["feature_batches"] = _blobs(connection, account_id)
        counts["runs"] = _runs(connection, account_id)
        ids = [account_id, *subjects]
        counts["saved_views"] = _views(connection, [*ids, *names])
        counts["audit"] = _unname(connection, ids) + _unname_details(connection, [*ids, *names])
        moment = now()
        if any(counts.values()):
            entry = {"run_id": f"{ERASED}-{uuid.uuid4().hex}", "what": ERASED, "finished_at": moment}
            connection.execute(insert(connection, runs).values(**entry, summary=counts))
        note = {"at": moment, "actor": "perennial", "action": "account erased", "subject": hashed(account_id)}
        connection.execute(insert(connection, audit).values(**note, details=counts))
    if engine.dialect.name == "sqlite":
        with contextlib.closing(engine.raw_connection()) as raw:  # outside any transaction
            raw.cursor().execute("VACUUM")  # pages freed before, by what replaced older scores, hold them too
            raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")  # and so does the log of writes
    return counts


def hashed(one: str) -> str:
    """The hash that stands for an erased id: only who has the id can recognise it."""
    return f"sha256:{hashlib.sha256(one.encode()).hexdigest()}"


def _subjects(connection: Connection, account_id: str) -> list[str]:
    """The contracts and deals of an account."""
    subject_ids: set[str] = set()
    for table in (scores, prediction_log):
        query = select(table.c.subject_id).where(table.c.account_id == account_id).distinct()
        subject_ids |= set(connection.execute(query).scalars())
    return sorted(subject_ids)


def _rows(connection: Connection, table: Any, account_id: str, subjects: list[str]) -> int:
    gone = connection.execute(delete(table).where(table.c.account_id == account_id)).rowcount
    if "subject_id" in table.c:
        orphans = delete(table).where(table.c.subject_id.in_(subjects), table.c.account_id.is_(None))
        gone += connection.execute(orphans).rowcount
    return gone


def _blobs(connection: Connection, account_id: str) -> int:
    """Take an account's rows out of the logged feature rows; a blob without any other goes as a whole."""
    batch = feature_batches.c
    removed = 0
    for row in connection.execute(select(batch.kind, batch.run_id, batch.arrow_zstd)).fetchall():
        table = unpacked(row.arrow_zstd)
        others = table.filter(pc.fill_null(pc.not_equal(table["account_id"], account_id), True))
        if others.num_rows == table.num_rows:
            continue
        removed += table.num_rows - others.num_rows
        here = (batch.kind == row.kind) & (batch.run_id == row.run_id)
        if others.num_rows:
            changed = {"arrow_zstd": packed(others), "rows": others.num_rows}
            connection.execute(update(feature_batches).where(here).values(**changed))
        else:
            connection.execute(delete(feature_batches).where(here))
    return removed


def _runs(connection: Connection, account_id: str) -> int:
    """Live runs are named after their account."""
    named = [f"live-{kind}-{account_id}" for kind in ("renewal", "win")]
    return connection.execute(delete(runs).where(runs.c.run_id.in_(named))).rowcount


def _names(connection: Connection, account_id: str) -> list[str]:
    """What the account is called on lists."""
    name = scores.c.details["account_name"].as_string()
    query = select(name).where(scores.c.account_id == account_id, name.is_not(None)).distinct()
    return [one for one in connection.execute(query).scalars() if one.strip()]


def _naming(words: list[str]) -> re.Pattern[str]:
    """What finds these words in a text, each whole: `C1` is not in `C10`."""
    return re.compile("|".join(rf"(?<!\w){re.escape(word)}(?!\w)" for word in words), re.IGNORECASE)


def _views(connection: Connection, words: list[str]) -> int:
    """Saved lists that were filtered by one of these ids or names, or have it in their name."""
    stored = connection.execute(select(saved_views.c.view_id, saved_views.c.name, saved_views.c.query))
    pattern = _naming(words)
    naming = [one.view_id for one in stored if pattern.search(f"{one.name} {unquote_plus(one.query)}")]
    return connection.execute(delete(saved_views).where(saved_views.c.view_id.in_(naming))).rowcount


def _unname(connection: Connection, ids: list[str]) -> int:
    """What people did stays in the audit; from now on a hash stands for the id it was done to."""
    changed = 0
    for one in ids:
        named = update(audit).where(audit.c.subject == one).values(subject=hashed(one))
        changed += connection.execute(named).rowcount
    return changed


def _unname_details(connection: Connection, words: list[str]) -> int:
    """The same of what the audit notes besides: whom work was done on, what a list was filtered by."""
    pattern, changed = _naming(words), 0
    for one in connection.execute(select(audit.c.audit_id, audit.c.details)).all():
        unnamed = _without(one.details, pattern)
        if unnamed != one.details:
            where = update(audit).where(audit.c.audit_id == one.audit_id)
            changed += connection.execute(where.values(details=unnamed)).rowcount
    return changed


def _without(value: Any, pattern: re.Pattern[str]) -> Any:
    """JSON whose texts that name the customer are hashed."""
    if isinstance(value, dict):
        return {name: _without(part, pattern) for name, part in value.items()}
    if isinstance(value, list):
        return [_without(part, pattern) for part in value]
    return hashed(value) if isinstance(value, str) and pattern.search(value) else value
