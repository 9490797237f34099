"""People in the store: API keys, overrides of scores, actions taken, and the audit of who did what."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Engine, Table, delete, func, select, update

from features.errors import RenewalError
from monitoring.store.database import insert, now, writing
from monitoring.store.tables import actions, api_keys, audit, ended_sessions, overrides

ROLES = ("sales", "marketing", "mlops", "admin")
_SECRET_BYTES = 32


@dataclass(frozen=True)
class Key:
    """Who a verified API key belongs to; owner, region and manager (a team) narrow what it may see."""

    prefix: str
    role: str
    label: str | None
    owner_id: str | None
    region: str | None
    manager_id: str | None = None


@dataclass(frozen=True)
class AccessLog:
    """The part of the store that knows who may come in: keys, and sessions that were ended."""

    engine: Engine

    def create_key(
        self,
        role: str,
        *,
        label: str | None = None,
        owner_id: str | None = None,
        region: str | None = None,
        manager_id: str | None = None,
    ) -> tuple[str, Key]:
        """A new key: its plaintext, returned this once (only the SHA-256 is kept), and what it stands for.

        Raises:
            RenewalError: an unknown role.
        """
        if role not in ROLES:
            raise RenewalError(
                expected=f"a role of {', '.join(ROLES)}", found=repr(role), do="Choose one of them."
            )
        prefix = f"prn_{secrets.token_hex(4)}"
        plaintext = f"{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}"
        key = Key(prefix, role, label, owner_id, region, manager_id)
        with writing(self.engine) as connection:
            connection.execute(
                api_keys.insert().values(**vars(key), sha256=_sha256(plaintext), created_at=now())
            )
            note(connection, "keys", "key created", prefix, {"role": role})
        return plaintext, key

    def verify_key(self, plaintext: str) -> Key | None:
        """The key behind a bearer token; None: unknown or revoked."""
        digest = _sha256(plaintext)
        query = select(api_keys).where(api_keys.c.sha256 == digest, api_keys.c.revoked_at.is_(None))
        with self.engine.connect() as connection:
            row = connection.execute(query).mappings().first()
        if row is None or not hmac.compare_digest(row["sha256"], digest):
            return None
        return Key(**{name: row[name] for name in Key.__dataclass_fields__})

    def revoke_key(self, prefix: str) -> None:
        """Make a key worthless from now on; again changes nothing.

        Raises:
            RenewalError: no key has that prefix.
        """
        with writing(self.engine) as connection:
            here = api_keys.c.prefix == prefix
            if connection.execute(select(api_keys.c.prefix).where(here)).first() is None:
                raise RenewalError(
                    expected="the prefix of a key", found=repr(prefix), do="See `perennial keys list`."
                )
            revoked = update(api_keys).where(here, api_keys.c.revoked_at.is_(None)).values(revoked_at=now())
            if connection.execute(revoked).rowcount:
                note(connection, "keys", "key revoked", prefix, None)

    def keys(self) -> list[dict[str, Any]]:
        """All keys ever made, without their hashes."""
        shown = [column for column in api_keys.columns if column.name != "sha256"]
        with self.engine.connect() as connection:
            query = select(*shown).order_by(api_keys.c.created_at, api_keys.c.prefix)
            return [dict(row) for row in connection.execute(query).mappings()]

    def has_keys(self) -> bool:
        """Whether a key was ever created, revoked ones included: with none, the service stays on loopback."""
        with self.engine.connect() as connection:
            return bool(connection.execute(select(func.count()).select_from(api_keys)).scalar_one())

    def end_session(self, session: str, until: datetime) -> None:
        """Remember that a session (by its hash) is over, until it would have run out by itself."""
        with writing(self.engine) as connection:
            connection.execute(delete(ended_sessions).where(ended_sessions.c.until < now()))
            row = {"session_sha256": session, "until": until}
            connection.execute(insert(connection, ended_sessions).on_conflict_do_nothing(), row)

    def ended_sessions(self) -> frozenset[str]:
        """Hashes of the sessions that were ended before their time."""
        with self.engine.connect() as connection:
            query = select(ended_sessions.c.session_sha256).where(ended_sessions.c.until >= now())
            return frozenset(connection.execute(query).scalars())


@dataclass(frozen=True)
class JudgementLog:
    """The part of the store that keeps what people think of a score, and what they did."""

    engine: Engine

    def override(
        self,
        kind: str,
        subject_id: str,
        *,
        account_id: str | None,
        probability: float | None,
        reason: str | None,
        made_by: str | None,
    ) -> None:
        """A person's own judgement beside the score; the score itself stays."""
        if probability is not None and not 0 <= probability <= 1:
            raise RenewalError(expected="a probability from 0 to 1", found=str(probability), do="Correct it.")
        self._add(
            overrides,
            kind=kind,
            subject_id=subject_id,
            account_id=account_id,
            probability=probability,
            reason=reason,
            made_by=made_by,
            made_at=now(),
        )

    def overrides(self, kind: str) -> pd.DataFrame:
        """All overrides, oldest first."""
        return self._listed(overrides, kind)

    def record_action(
        self,
        kind: str,
        subject_id: str,
        action: str,
        *,
        account_id: str | None = None,
        taken_by: str | None = None,
        details: dict[str, Any] | None = None,
    ) -> None:
        """What somebody did about a subject; scores change what people do, so it has to be known."""
        self._add(
            actions,
            kind=kind,
            subject_id=subject_id,
            account_id=account_id,
            action=action,
            taken_by=taken_by,
            taken_at=now(),
            details=details,
        )

    def actions(self, kind: str) -> pd.DataFrame:
        """All actions taken, oldest first."""
        return self._listed(actions, kind)

    def _add(self, table: Table, **values: Any) -> None:
        with writing(self.engine) as connection:
            connection.execute(insert(connection, table).values(**values))

    def _listed(self, table: Table, kind: str) -> pd.DataFrame:
        query = select(table).where(table.c.kind == kind).order_by(*table.primary_key)
        with self.engine.connect() as connection:
            result = connection.execute(query)
            return pd.DataFrame(result.fetchall(), columns=list(result.keys()))


@dataclass(frozen=True)
class AuditLog:
    """The part of the store that keeps who did what."""

    engine: Engine

    def record(
        self, actor: str, action: str, subject: str | None = None, details: dict[str, Any] | None = None
    ) -> None:
        """Note who did what."""
        with writing(self.engine) as connection:
            note(connection, actor, action, subject, details)

    def read(self, limit: int = 1_000) -> list[dict[str, Any]]:
        """The newest audit entries, newest first."""
        with self.engine.connect() as connection:
            query = select(audit).order_by(audit.c.audit_id.desc()).limit(limit)
            return [dict(row) for row in connection.execute(query).mappings()]


def note(
    connection: Connection, actor: str, action: str, subject: str | None, details: dict[str, Any] | None
) -> None:
    """Note who did what in the transaction that does it: neither is there without the other."""
    values = {"at": now(), "actor": actor, "action": action, "subject": subject, "details": details}
    connection.execute(audit.insert().values(**values))


def _sha256(plaintext: str) -> str:
    return hashlib.sha256(plaintext.encode()).hexdigest()
