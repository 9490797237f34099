"""`mapping.yaml`: contract table → a SELECT over a folder's files, run with access to nothing else."""

import re
from collections.abc import Mapping
from pathlib import Path

import duckdb
import yaml

from features.crm.contract import TABLES
from features.crm.reading.column_form import add_macros
from features.crm.values import literal, quoted
from features.errors import RenewalError
from features.sources.file_views import csv_view
from features.sources.readers import BATCH_ROWS, Raw, connect, write_batches

_CALL = re.compile(
    r"\b(?:read_\w+|parquet_scan|sniff_csv|glob)\s*\(\s*(?:\[[^\]]*\]|'(?:[^']|'')*')", re.IGNORECASE
)
_DRAFTED = re.compile(r"\bread_csv\s*\(\s*'((?:[^']|'')*)'\s*,\s*all_varchar\s*=\s*true\s*\)", re.IGNORECASE)
"""A file as `perennial map` names it: every value as text, where the table stands in it as it was found."""
_STRING = re.compile(r"'((?:[^']|'')*)'")


def read_mapping(path: Path) -> dict[str, str]:
    """The SELECT of each table.

    Raises:
        RenewalError: no such file, not YAML of that form, or a table that is not in the contract.
    """
    try:
        mapping = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise RenewalError(
            expected=f"a mapping at {path}", found="no such file", do="Check --mapping."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        message = " ".join(str(error).split())[:200]
        raise RenewalError(expected=f"{path.name} to be YAML", found=message, do="Correct it.") from error
    if not isinstance(mapping, dict) or not all(isinstance(select, str) for select in mapping.values()):
        raise RenewalError(
            expected=f"{path.name} to map table names to SELECT statements",
            found=type(mapping).__name__ if not isinstance(mapping, dict) else "an entry that is no text",
            do="Write lines such as `accounts: SELECT id AS account_id FROM 'companies.csv'`.",
        )
    unknown = sorted(set(map(str, mapping)) - set(TABLES))
    if unknown:
        raise RenewalError(
            expected=f"{path.name} to name tables ({', '.join(TABLES)})",
            found=", ".join(unknown),
            do="Correct the name, or remove the entry.",
        )
    return {str(name): select.strip().rstrip(";") for name, select in mapping.items()}


def checked_select(connection: duckdb.DuckDBPyConnection, table: str, select: str) -> str:
    """The statement, if it is one SELECT.

    Raises:
        RenewalError: it is something else, several, or no SQL.
    """
    try:
        statements = connection.extract_statements(select)
    except duckdb.Error as error:
        raise broken(table, error) from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        kinds = ", ".join(str(statement.type).rpartition(".")[2] for statement in statements) or "nothing"
        raise RenewalError(
            expected=f"one SELECT for {table}", found=kinds, do="A mapping only reads: write a single SELECT."
        )
    return select


def broken(table: str, error: Exception) -> RenewalError:
    """What to say of a SELECT that does not run."""
    message = " ".join(str(error).split())[:300]
    return RenewalError(
        expected=f"the SELECT for {table} to run", found=message, do=f"Correct {table} in the mapping."
    )


def run_mapping(
    selects: dict[str, str],
    folder: Path,
    files: list[Path],
    staging: Path,
    raw: Raw,
    queries: Mapping[str, str] | None = None,
) -> None:
    """Run each SELECT and lay its answer down as raw Parquet, in the order the SELECT gives.

    A file can be named as `'file.csv'`, as `read_csv('file.csv', ...)` or by its stem.

    Args:
        selects: table → SELECT.
        folder: the one that may be read.
        files: those in it that SELECTs may name.
        staging: an empty folder for the raw files.
        raw: gets the tables.
        queries: further names that SELECTs may use → SQL of their rows.

    Raises:
        RenewalError: a SELECT is broken or reaches for anything but the folder.
    """
    folder = folder.resolve()
    with connect(staging / "spill") as connection:
        add_macros(connection)
        read = f"[{literal(f'{folder}/')}, {literal(f'{staging.resolve()}/')}]"
        connection.execute(f"SET allowed_directories = {read}")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        sql_text = " ".join(selects.values()).lower()
        texts: dict[str, Path] = {}
        for path in files:
            if path.name.split(".")[0].lower() in sql_text:
                texts[path.name] = _add_views(connection, path.resolve(), folder, sql_text, staging, raw)
        for name, query in (queries or {}).items():
            _add_view(connection, name, query)
            _add_view(connection, f"{name}.parquet", query)
        for table, select in selects.items():
            statement = _absolute(checked_select(connection, table, select), folder, texts, staging.resolve())
            try:
                reader = connection.sql(statement).to_arrow_reader(BATCH_ROWS)
                write_batches(reader.schema, reader, staging / f"{table}.parquet")
            except (duckdb.Error, OSError) as error:
                raise broken(table, error) from error
            raw.tables[table] = staging / f"{table}.parquet"


def _add_views(
    connection: duckdb.DuckDBPyConnection, path: Path, folder: Path, sql_text: str, staging: Path, raw: Raw
) -> Path:
    """Let a mapping name the file; returns the file that a call in the mapping is to read."""
    name = path.name.split(".")[0]
    if not path.is_relative_to(folder) and not path.is_relative_to(staging.resolve()):
        raise RenewalError(
            expected=f"{path.name} to lie in {folder.name}",
            found="a link out of it",
            do="Copy the file there.",
        )
    text = path
    if path.name.lower().endswith(".parquet"):
        parts = f"{path}/**/*.parquet" if path.is_dir() else str(path)
        select = f"FROM read_parquet({literal(parts)})"
    else:
        try:
            view = csv_view(path, _laid_down(staging.resolve(), path.name), staging.resolve())
        except RenewalError:
            if any(path.name.lower() in call.lower() for call in _CALL.findall(sql_text)):
                return path  # the mapping reads it in its own way
            raise
        raw.warnings += view.notes
        select, text = view.select, view.text
    for called in (path.name, name):
        try:
            _add_view(connection, called, select)
        except duckdb.Error as error:
            raise RenewalError(
                expected=f"{path.name} to be a data file",
                found=str(error).splitlines()[0],
                do="Export it again.",
            ) from error
    return text


def _add_view(connection: duckdb.DuckDBPyConnection, name: str, query: str) -> None:
    connection.execute(f"CREATE VIEW IF NOT EXISTS {quoted(name)} AS {query}")


def _absolute(select: str, folder: Path, texts: dict[str, Path], staging: Path) -> str:
    """File names inside `read_csv(...)` and its like, made absolute: DuckDB would look where we run.

    A file that is not UTF-8 is read as such from its copy, which `texts` names; a call as `perennial map`
    drafts it reads the rows as they were laid down in `staging`, from below titles and above totals.
    """

    def placed(name: re.Match[str]) -> str:
        if name.group(1).startswith("/"):
            return name.group(0)
        return literal(texts.get(name.group(1), folder / name.group(1)))

    def within(call: re.Match[str]) -> str:
        return _STRING.sub(placed, call.group(0))

    def drafted(call: re.Match[str]) -> str:
        rows = _laid_down(staging, call.group(1))
        return f"read_parquet({literal(rows)})" if rows.is_file() else call.group(0)

    return _CALL.sub(within, _DRAFTED.sub(drafted, select))


def _laid_down(staging: Path, name: str) -> Path:
    """Where a CSV file's rows go as Parquet, all text."""
    return staging / f"file_{name}.parquet"
