"""Opens the store's database: SQLite in WAL mode or PostgreSQL, migrated to the newest schema."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic_core import to_json
from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError, OperationalError
from sqlalchemy.pool import NullPool

from features.errors import RenewalError
from features.moments import utc_now
from features.scratch import writable
from monitoring.store.tables import FIRST, HEAD, POSTGRES_SCHEMA

BUSY_MILLISECONDS = 30_000
_MIGRATION_LOCK = 7_306_110_517  # any fixed number: openers of one PostgreSQL database queue on it
_TURNS = 730_611  # likewise, for `in_turn`
EVERYBODY = "every account"
"""What `in_turn` is given by who writes about accounts that are not known beforehand; others share it."""


def now() -> datetime:
    """This moment, naive UTC: for bookkeeping only, never an `as_of`."""
    return utc_now().to_pydatetime()


def connect(url: str) -> Engine:
    """An engine on `url`, its schema at the newest migration; concurrent openers wait for each other.

    Raises:
        RenewalError: the URL is not one of SQLite or PostgreSQL, the database cannot be reached, or it was
            written by a newer Perennial or before the first release.
    """
    engine = _engine(url)
    try:
        if _version(engine) != HEAD:
            migrate(engine)
    except OperationalError as error:
        raise RenewalError(
            expected="a database that can be reached and written",
            found=f"{engine.url.render_as_string(hide_password=True)}: {str(error.orig).splitlines()[0]}",
            do="Check PERENNIAL_DATABASE_URL, or PERENNIAL_HOME and its permissions.",
        ) from error
    except DatabaseError as error:
        if engine.dialect.name == "sqlite" and "not a database" in str(error.orig):
            raise RenewalError(
                expected="an SQLite database",
                found=f"{engine.url.database}: {error.orig}",
                do="Move that file away, or set PERENNIAL_HOME.",
            ) from error
        raise
    return engine


def migrate(engine: Engine, to: str = HEAD) -> None:
    """Bring the schema to a migration, up or down, in one transaction, one opener at a time.

    Args:
        engine: of the database.
        to: the migration; an older one takes away what later ones added, and what is in it; `base` all.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with writing(engine) as connection:
        schema = _lock_for_migration(connection)
        version = _read_version(connection)
        if version is not None and not FIRST <= version <= HEAD:
            raise RenewalError(
                expected=f"a store of schema {FIRST} to {HEAD}",
                found=f"schema {version}",
                do="Upgrade Perennial to the version that wrote it."
                if version > HEAD
                else f"Open it once with a Perennial whose schema is {FIRST}.",
            )
        config.attributes.update(connection=connection, schema=schema)
        (command.downgrade if to == "base" or to < (version or "") else command.upgrade)(config, to)


def writing(engine: Engine) -> AbstractContextManager[Connection]:
    """A transaction that takes SQLite's write lock at once: a reader that turns writer later could fail."""
    return engine.execution_options(sqlite_begin="BEGIN IMMEDIATE").begin()


def in_turn(connection: Connection, names: Sequence[str], *, shared: bool = False) -> None:
    """Let other transactions that give one of these names wait until this one ends.

    On PostgreSQL two transactions do not see each other's rows: of two events of one customer, each would be
    scored without the other. SQLite has one writer at a time anyway.

    Args:
        connection: the transaction.
        names: what it writes about, such as account ids; asked for in one order, so that no two wait for
            each other.
        shared: with those who share it too; whoever does not waits.
    """
    if connection.dialect.name == "postgresql" and names:
        lock = f"pg_advisory_xact_lock{'_shared' if shared else ''}"
        hashes = (
            "SELECT DISTINCT hashtext(name) AS hash FROM unnest(CAST(:names AS text[])) AS name ORDER BY 1"
        )
        query = text(f"SELECT {lock}(:turns, hash) FROM ({hashes}) AS hashes")
        connection.execute(query, {"turns": _TURNS, "names": list(names)})


@contextmanager
def kept_open(engine: Engine) -> Iterator[None]:
    """Hold an idle connection meanwhile.

    Whoever closes SQLite's last connection moves its log of writes into the database, and waits for the disk:
    for a service that would be after every event.
    """
    with engine.connect() as connection:
        _read_version(connection)
        connection.rollback()
        yield


def within(engine: Engine, connection: Connection | None) -> AbstractContextManager[Connection]:
    """The transaction that is given, to be ended by who began it, or one of its own to write in."""
    return writing(engine) if connection is None else nullcontext(connection)


def reading(engine: Engine, connection: Connection | None) -> AbstractContextManager[Connection]:
    """The transaction that is given, or a connection of its own to read from."""
    return engine.connect() if connection is None else nullcontext(connection)


def put(connection: Connection, statement: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Execute `statement` once for each row; without rows nothing happens."""
    if rows:
        connection.execute(statement, list(rows))


def insert(connection: Connection, table: Table) -> Any:
    """This dialect's INSERT, which knows ON CONFLICT."""
    return insert_in(connection.dialect.name, table)


def insert_in(dialect: str, table: Table) -> Any:
    """`insert` by the dialect's name, for statements kept: making a wide one takes longer than running it."""
    return (sqlite if dialect == "sqlite" else postgresql).insert(table)


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as plain Python values, missing ones as None."""
    names = list(frame.columns)
    columns = [_plain(frame[name]) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _plain(column: pd.Series) -> list[Any]:
    missing = column.isna().to_numpy()
    if isinstance(column.dtype, np.dtype) and column.dtype.kind == "M":
        values = list(column.dt.to_pydatetime())
    else:
        values = column.astype(object).tolist()
    return [None if gone else _scalar(value) for value, gone in zip(values, missing, strict=True)]


def _scalar(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value.item() if isinstance(value, np.generic) else value


def _dump(value: Any) -> str:
    """JSON without NaN, which PostgreSQL refuses and SQL readers cannot parse."""
    try:
        return to_json(value, inf_nan_mode="null", fallback=_jsonable).decode()
    except ValueError:  # half a surrogate pair, which JSON may spell and UTF-8 may not
        return json.dumps(value, default=_jsonable)


def _jsonable(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if value is pd.NA or value is pd.NaT:
        return None
    raise TypeError(f"{type(value).__name__} is not JSON")


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise ArgumentError(f"dialect {parsed.get_backend_name()}")
        if parsed.get_backend_name() == "postgresql":
            engine = create_engine(parsed, json_serializer=_dump, pool_pre_ping=True)
            return engine.execution_options(schema_translate_map={None: POSTGRES_SCHEMA})
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise RenewalError(
            expected="a database URL like sqlite:////path/file.db or postgresql://user@host/name",
            found=f"one that cannot be used ({error})",
            do="Set PERENNIAL_DATABASE_URL, with `pip install perennial[postgres]` for PostgreSQL.",
        ) from error
    if parsed.database and parsed.database != ":memory:":
        folder = Path(parsed.database).parent
        with writable(folder):
            folder.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, json_serializer=_dump, **_sqlite_pool(parsed.database))
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _sqlite_pool(database: str | None) -> dict[str, Any]:
    """Files: a connection for each use, so threads and forks share none; in memory there is only one."""
    return {"poolclass": NullPool} if database and database != ":memory:" else {}


def _prepare_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says so, DDL included
    run = connection.execute
    run(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    run("PRAGMA foreign_keys = ON")
    if run("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
        run("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


def _version(engine: Engine) -> str | None:
    with engine.connect() as connection:
        return _read_version(connection)


def _read_version(connection: Connection) -> str | None:
    """The migration the database is at; None: a new one."""
    schema = POSTGRES_SCHEMA if connection.dialect.name == "postgresql" else None
    if not connection.dialect.has_table(connection, "alembic_version", schema=schema):
        return None
    where = f"{schema}.alembic_version" if schema else "alembic_version"
    return connection.execute(text(f"SELECT version_num FROM {where}")).scalar()


def _lock_for_migration(connection: Connection) -> str | None:
    if connection.dialect.name != "postgresql":
        return None  # BEGIN IMMEDIATE has taken SQLite's lock
    connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _MIGRATION_LOCK})
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {POSTGRES_SCHEMA}"))
    # What changes a table says its bare name: Alembic's own statements know no translation of schemas.
    connection.execute(text(f"SET LOCAL search_path TO {POSTGRES_SCHEMA}"))
    return POSTGRES_SCHEMA
