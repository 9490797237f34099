"""A CRM in a database: `postgresql://…` or `duckdb:///path`, only read, a table at a time, streamed.

Only the columns the contract knows are asked for (further ones of the tables that carry them too), and with
`until` only the events before it. A mapping's SELECT is run by the database itself.
"""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd

from features.crm.columns_match import matched
from features.crm.contract import TABLES
from features.crm.values import literal, quoted
from features.errors import RenewalError
from features.progress import Say, silent
from features.sources.csv_file import copy_written
from features.sources.folder import drop_foreign
from features.sources.mapping import broken, checked_select, read_mapping
from features.sources.readers import BATCH_ROWS, Raw, connect, write_batches

_REFERRED_TO = {column.refers for table in TABLES.values() for column in table.columns if column.refers}
_COMPARABLE = ("date", "timestamp")


@dataclass(frozen=True)
class _Found:
    """A table of the database: its name as SQL, and its columns with their types."""

    name: str
    columns: dict[str, str]


SCHEMES = ("postgresql", "postgres", "duckdb")


def read(
    address: str,
    mapping: Path | None,
    until: pd.Timestamp | None,
    staging: Path,
    *,
    home: Path,
    say: Say = silent,
) -> Raw:
    """Lay down a database's tables as raw Parquet.

    Args:
        address: `postgresql://user:password@host/database` or `duckdb:///path`.
        mapping: table → SELECT in the database's own SQL; tables it does not name are read if they have a
            contract table's name and have its required columns.
        until: naive UTC; events from then on need not be read.
        staging: an empty folder for the raw files.
        home: not used: a database needs no connection file.
        say: not used.

    Raises:
        RenewalError: no way in, no table in it, or a broken SELECT.
    """
    scheme = address.partition("://")[0].partition("+")[0]
    lay_down = _read_duckdb if scheme == "duckdb" else _read_postgres
    raw = lay_down(address, read_mapping(mapping) if mapping else {}, until, staging)
    if not raw.tables:
        raise RenewalError(
            expected=f"tables or views named as the contract's ({', '.join(TABLES)})",
            found="none of them",
            do="Make views of those names, or give --mapping FILE with a SELECT for each table.",
        )
    return raw


def _select(table: str, relation: _Found, until: pd.Timestamp | None) -> str:
    """The SELECT for a table that has a contract table's name."""
    contract = TABLES[table]
    named = matched(contract, relation.columns).values()
    columns = [name for name in relation.columns if contract.carries or name in named]
    query = f"SELECT {', '.join(map(quoted, columns)) or '*'} FROM {relation.name}"
    where = _before(table, relation, until) if until is not None else None
    return f"{query} WHERE {where}" if where else query


def _before(table: str, relation: _Found, until: pd.Timestamp) -> str | None:
    """What surely was not known before `until` stays out; the exact cut is made when the rows are cleaned."""
    names = ["recorded_at", "occurred_at"] if table == "activities" else [TABLES[table].time]
    spelled = matched(TABLES[table], relation.columns)
    present = [spelled[name] for name in names if name in spelled]
    if table in _REFERRED_TO or not present:
        return None
    if any(not relation.columns[name].lower().startswith(_COMPARABLE) for name in present):
        return None
    # A day's grace, whatever the session's time zone makes of a moment without one.
    limit = literal(f"{until + pd.Timedelta(days=1)}")
    moment = f"coalesce({', '.join(f'CAST({quoted(name)} AS timestamp)' for name in present)})"
    return f"{moment} < CAST({limit} AS timestamp) OR {moment} IS NULL"


def _read_duckdb(url: str, selects: dict[str, str], until: pd.Timestamp | None, staging: Path) -> Raw:
    raw = Raw()
    with _opened_duckdb(url) as connection:
        relations: dict[str, _Found] = {}
        rows = connection.execute(
            "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns"
            " WHERE table_catalog = current_database() ORDER BY table_schema = 'main', ordinal_position"
        ).fetchall()
        for schema, name, column, type in rows:
            place = f"{quoted(schema)}.{quoted(name)}"
            if name.lower() not in relations or relations[name.lower()].name != place:
                relations[name.lower()] = _Found(place, {})
            relations[name.lower()].columns[column] = type
        for table in TABLES:
            if table not in selects and table not in relations:
                continue
            select = checked_select(
                connection, table, selects.get(table) or _select(table, relations[table], until)
            )
            try:
                reader = connection.sql(select).to_arrow_reader(BATCH_ROWS)
                write_batches(reader.schema, reader, staging / f"{table}.parquet")
            except duckdb.Error as error:
                raise broken(table, error) from error
            _keep(raw, table, staging, selects)
    return raw


def _opened_duckdb(url: str) -> duckdb.DuckDBPyConnection:
    named = url.partition("://")[2].removeprefix("/")
    path = next((path for path in (Path("/") / named, Path(named)) if path.is_file()), None)
    if path is None:
        raise RenewalError(
            expected=f"a DuckDB file at {named}", found="no such file", do="Check the path after duckdb:///."
        )
    try:
        connection = duckdb.connect(str(path), read_only=True)
    except duckdb.Error as error:
        message = " ".join(str(error).split())[:200]
        raise RenewalError(
            expected=f"{path.name} to be a DuckDB file", found=message, do="Check it."
        ) from error
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _read_postgres(url: str, selects: dict[str, str], until: pd.Timestamp | None, staging: Path) -> Raw:
    """All tables in one read-only transaction, so that they are of the same moment."""
    try:
        import psycopg
    except ImportError as error:
        raise RenewalError(
            expected="the extra `postgres`", found="no psycopg", do="Run `pip install perennial[postgres]`."
        ) from error
    raw = Raw()
    plain = "postgresql://" + url.partition("://")[2]
    try:
        connection = psycopg.connect(plain, connect_timeout=20, application_name="perennial")
    except psycopg.Error as error:
        message = " ".join(str(error).split())[:200]
        raise RenewalError(
            expected="to reach the PostgreSQL database",
            found=message,
            do="Check its address, user and password.",
        ) from error
    with connection, connect(staging / "spill") as local:
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SET LOCAL TimeZone = 'UTC'")
        connection.execute("SET LOCAL DateStyle = 'ISO'")
        found_tables = _postgres_tables(connection)
        for table in TABLES:
            if table not in selects and table not in found_tables:
                continue
            select = selects.get(table) or _select(table, found_tables[table], until)
            _copy_out(connection, local, table, select, staging)
            _keep(raw, table, staging, selects)
    return raw


def _postgres_tables(connection) -> dict[str, _Found]:  # type: ignore[no-untyped-def]
    """Tables and views on the search path, the first of a name."""
    rows = connection.execute(
        "SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns"
        " WHERE table_schema = ANY (current_schemas(false))"
        " ORDER BY array_position(current_schemas(false), table_schema::name) DESC, ordinal_position"
    ).fetchall()
    relations: dict[str, _Found] = {}
    for schema, name, column, type in rows:
        place = f"{quoted(schema)}.{quoted(name)}"
        if name.lower() not in relations or relations[name.lower()].name != place:
            relations[name.lower()] = _Found(place, {})
        relations[name.lower()].columns[column] = type
    return relations


def _copy_out(  # type: ignore[no-untyped-def]
    connection, local: duckdb.DuckDBPyConnection, table: str, select: str, staging: Path
) -> None:
    """Stream a SELECT's rows through COPY into a file: as fast as they come, in little memory."""
    import psycopg

    passed = staging / f"{table}.csv"
    try:
        # Prepared alone it is known to be one statement, so it cannot leave the parentheses below.
        prepared = connection.pgconn.prepare(b"", select.encode())
        if prepared.error_message:
            raise psycopg.ProgrammingError(prepared.error_message.decode(errors="replace"))
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY (\n{select}\n) TO STDOUT (FORMAT csv, HEADER true)") as rows,
            passed.open("wb") as file,
        ):
            for block in rows:
                file.write(block)
    except psycopg.Error as error:
        raise broken(table, error) from error
    copy_written(local, passed, staging / f"{table}.parquet")
    passed.unlink()


def _keep(raw: Raw, table: str, staging: Path, selects: dict[str, str]) -> None:
    raw.tables[table] = staging / f"{table}.parquet"
    if selects and table not in selects:
        drop_foreign(table, table, raw)
