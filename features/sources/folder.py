"""A CRM as a folder of CSV or Parquet files: one a table, or other names and shapes with a mapping."""

import difflib
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from features.crm.columns_match import matched
from features.crm.contract import TABLES
from features.crm.values import literal
from features.errors import RenewalError
from features.sources.csv_text import as_utf8, fault_of, opened
from features.sources.mapping import read_mapping, run_mapping
from features.sources.readers import Raw, connect

MAPPING = "mapping.yaml"
_ENDINGS = (".parquet", ".csv", ".tsv", ".csv.gz", ".tsv.gz")
_DELIMITERS = ",;\t|"


def stem(path: Path) -> str | None:
    """A data file's name without its ending, None for other files."""
    for ending in _ENDINGS:
        if path.name.lower().endswith(ending) and not path.name.startswith("."):
            return path.name[: -len(ending)]
    return None


def read_folder(
    folder: Path, mapping: Path | None, staging: Path, wanted: frozenset[str] = frozenset()
) -> Raw:
    """Lay down the folder's tables as raw Parquet.

    Args:
        folder: the CRM data.
        mapping: a mapping file; without one, `mapping.yaml` in the folder if it is there.
        staging: an empty folder for the raw files.
        wanted: only these tables, all if empty.

    Raises:
        RenewalError: no folder, no table in it, an empty or unreadable file, a wrong mapping.
    """
    if not folder.is_dir():
        actual = "a file" if folder.exists() else "no such folder"
        raise RenewalError(expected=f"a folder of CRM data at {folder}", found=actual, do="Check the path.")
    beside = folder / MAPPING
    selects = read_mapping(mapping or beside) if mapping or beside.is_file() else {}
    raw = Raw()
    files = _files(folder)
    if selects:
        run_mapping(selects, folder, [path for path in sorted(folder.iterdir()) if stem(path)], staging, raw)
    with connect(staging / "spill") as connection:
        for name, path in _tables(files, raw, mapped=bool(selects)).items():
            if name in selects or (wanted and name not in wanted):
                continue
            _read_file(connection, name, path, staging, raw)
            if selects:
                drop_foreign(name, path.name, raw)
    if not raw.tables:
        raise RenewalError(
            expected=f"CSV or Parquet files named as the contract's tables ({', '.join(TABLES)})",
            found=", ".join(sorted(path.name for path in folder.iterdir())[:12]) or "an empty folder",
            do=f"Rename the files, or say in {MAPPING} how each table is selected from them.",
        )
    return raw


def drop_foreign(name: str, called: str, raw: Raw) -> None:
    """Beside a mapping, a file that only happens to bear a contract table's name is not taken for it."""
    source_names = matched(TABLES[name], pq.read_schema(raw.tables[name]).names)
    missing = [column for column in TABLES[name].required if column not in source_names]
    if missing:
        raw.warnings.append(
            f"{called} lacks {', '.join(missing)} and is ignored: the mapping does not say how to read it"
        )
        del raw.tables[name]


def _files(folder: Path) -> dict[str, list[Path]]:
    """Data files by lower-case stem."""
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        name = stem(path)
        if name is not None:
            files.setdefault(name.lower(), []).append(path)
    return files


def _tables(files: dict[str, list[Path]], raw: Raw, mapped: bool) -> dict[str, Path]:
    tables = {}
    for name, paths in files.items():
        if name in TABLES:
            if len(paths) > 1:
                raise RenewalError(
                    expected=f"one file for {name}",
                    found=" and ".join(path.name for path in paths),
                    do="Remove all but one of them.",
                )
            tables[name] = paths[0]
        elif not mapped:
            near = difflib.get_close_matches(name, TABLES, n=1, cutoff=0.7)
            hint = f"; did you mean {near[0]}?" if near else ""
            raw.warnings.append(f"{paths[0].name} is no table of the contract and is ignored{hint}")
    return tables


def _read_file(connection: duckdb.DuckDBPyConnection, name: str, path: Path, staging: Path, raw: Raw) -> None:
    if path.name.lower().endswith(".parquet"):
        raw.tables[name] = _parquet(connection, name, path, staging)
        return
    if path.stat().st_size == 0:
        raise RenewalError(
            expected=f"{path.name} to have a header line",
            found="an empty file",
            do="Export it again or remove it.",
        )
    target = staging / f"{name}.parquet"
    called, path = path.name, as_utf8(path, staging)
    try:
        copy_csv(connection, path, target, "")
    except duckdb.Error as error:
        # Not strict: the lines that break the table's shape are put aside; the rest is read.
        encoding = (
            ", encoding = 'latin-1'"
            if "utf-8" in str(error).lower() or "unicode" in str(error).lower()
            else ""
        )
        if encoding:
            raw.warnings.append(f"{called} is not UTF-8 and was read as Latin-1")
        try:
            copy_csv(connection, path, target, f", store_rejects = true{encoding}")
        except duckdb.Error as again:
            raise RenewalError(
                expected=f"{called} to be a CSV file",
                found=fault_of(path, _delimiter(path), again),
                do="Correct the file, or export it again.",
            ) from again
        _note_rejects(connection, name, raw)
    raw.tables[name] = target


def _parquet(connection: duckdb.DuckDBPyConnection, name: str, path: Path, staging: Path) -> Path:
    """The file itself; a folder of parts (as Spark writes it) becomes one file."""
    parts = path / "**" / "*.parquet" if path.is_dir() else path
    try:
        if path.is_dir():
            target = staging / f"{name}.parquet"
            connection.execute(
                f"COPY (FROM read_parquet({literal(parts)})) TO {literal(target)} (FORMAT parquet)"
            )
            return target
        connection.execute(f"SELECT 1 FROM read_parquet({literal(path)}) LIMIT 0")
    except duckdb.Error as error:
        raise RenewalError(
            expected=f"{path.name} to be a Parquet file", found=_first_line(error), do="Export it again."
        ) from error
    return path


def copy_csv(connection: duckdb.DuckDBPyConnection, path: Path, target: Path, more: str) -> None:
    """Turn a CSV file into Parquet, every value as text.

    Args:
        connection: any DuckDB.
        path: the file, with a header line.
        target: the Parquet file.
        more: further options of `read_csv`, each after a comma.
    """
    form = f"delim = {literal(_delimiter(path))}, quote = '\"', escape = '\"', header = true, skip = 0"
    connection.execute(
        f"COPY (FROM read_csv({literal(path)}, all_varchar = true, {form}, null_padding = false{more}))"
        f" TO {literal(target)} (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE 40960)"
    )


def _delimiter(path: Path) -> str:
    """The delimiter that the header line has most of, quoted parts aside."""
    with opened(path) as file:
        header = file.readline(1_000_000).decode("utf-8", "replace")
    unquoted = "".join(part for i, part in enumerate(header.split('"')) if i % 2 == 0)
    return max(_DELIMITERS, key=unquoted.count)


def _note_rejects(connection: duckdb.DuckDBPyConnection, name: str, raw: Raw) -> None:
    rows = connection.execute(
        "SELECT line, error_message, csv_line FROM reject_errors ORDER BY line"
    ).fetchall()
    examples = [f"line {line}: {message} ({str(text)[:80]})" for line, message, text in rows[:3]]
    if rows:
        raw.rejected[name] = (len({line for line, _, _ in rows}), examples)
    connection.execute("DELETE FROM reject_errors")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]
