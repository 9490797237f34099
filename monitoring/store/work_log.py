"""A team's work on a list, in the store: where it is with each subject, and views saved for later."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, delete, or_, select

from features.errors import RenewalError
from monitoring.store.database import insert, now, put, writing
from monitoring.store.list_filter import STATUSES
from monitoring.store.work_tables import saved_views, work_status


@dataclass(frozen=True)
class WorkLog:
    """The part of the store that keeps statuses and saved views."""

    engine: Engine

    def set_status(self, kind: str, subjects: Mapping[str, str | None], status: str, by: str) -> None:
        """Note where the team is with these subjects (id → account); the newest note counts.

        Raises:
            RenewalError: no such status.
        """
        if status not in STATUSES:
            raise RenewalError(
                expected=f"a status of {', '.join(STATUSES)}", found=repr(status), do="Choose one of them."
            )
        noted = {"status": status, "set_by": by, "set_at": now()}
        rows = [
            {"kind": kind, "subject_id": subject, "account_id": account, **noted}
            for subject, account in subjects.items()
        ]
        with writing(self.engine) as connection:
            statement = insert(connection, work_status)
            fresh = {name: statement.excluded[name] for name in ("account_id", *noted)}
            newest = statement.on_conflict_do_update(index_elements=["kind", "subject_id"], set_=fresh)
            put(connection, newest, rows)

    def statuses(self, kind: str, subjects: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Subject → `status`, `set_by`, `set_at`, for those that have one."""
        here = work_status.c
        query = select(work_status).where(here.kind == kind, here.subject_id.in_(list(subjects)))
        with self.engine.connect() as connection:
            return {row["subject_id"]: dict(row) for row in connection.execute(query).mappings()}

    def save_view(self, page: str, name: str, query: str, key_id: str, is_shared: bool) -> str:
        """Keep a list as it is filtered and ordered; one of the same name and owner is replaced."""
        row = {
            "view_id": uuid.uuid4().hex,
            "page": page,
            "name": name,
            "query": query,
            "key_id": key_id,
            "is_shared": is_shared,
            "made_at": now(),
        }
        with writing(self.engine) as connection:
            changed = {column: row[column] for column in ("query", "is_shared", "made_at")}
            statement = insert(connection, saved_views).on_conflict_do_update(
                index_elements=["page", "key_id", "name"], set_=changed
            )
            return str(connection.execute(statement.returning(saved_views.c.view_id), row).scalar_one())

    def views(self, page: str, key_id: str) -> list[dict[str, Any]]:
        """The views of a page that are this key's, or shared, by name."""
        view = saved_views.c
        query = select(saved_views).where(view.page == page, or_(view.key_id == key_id, view.is_shared))
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(view.name, view.view_id)).mappings()
            return [{**row, "is_mine": row["key_id"] == key_id} for row in rows]

    def drop_view(self, view_id: str, key_id: str) -> bool:
        """Remove a view of one's own; whether there was one."""
        view = saved_views.c
        with writing(self.engine) as connection:
            here = delete(saved_views).where(view.view_id == view_id, view.key_id == key_id)
            return bool(connection.execute(here).rowcount)
