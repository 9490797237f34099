"""A CRM as a folder of CSV or Parquet files: one a table, or other names and shapes with a mapping."""

import difflib
import re
from collections.abc import Collection, Iterable
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from features.crm.columns_match import matched
from features.crm.contract import TABLES
from features.crm.values import literal
from features.errors import RenewalError
from features.sources.csv_file import csv_to_parquet
from features.sources.csv_layout import layout_of
from features.sources.csv_text import as_utf8
from features.sources.file_parts import joined_parts
from features.sources.known_exports import is_known_export, read_known
from features.sources.mapping import read_mapping, run_mapping
from features.sources.packed_files import data_files, ending_of, opened_folder
from features.sources.readers import Raw, connect
from features.sources.zip_parts import parts_of

MAPPING = "mapping.yaml"
_STAMP = re.compile(
    r"^(?:export|extract|all|crm)[ _-]+|(?:[ _.-]+(?:\(\d+\)|\d[\d_.T:-]*|export|copy|final))+$",
    re.IGNORECASE,
)
"""What people and systems put before or behind a table's name: `Contracts 2024-05-01 (1)`."""


def stem(path: Path) -> str | None:
    """A data file's name without its ending, None for other files."""
    ending = ending_of(path)
    return path.name[: -len(ending)] if ending else None


def mapping_beside(place: Path) -> Path:
    """Where the mapping of a folder, or of a single file, lies; of an export in parts, beside the first."""
    return place / MAPPING if place.is_dir() else parts_of(place)[0].with_suffix(f".{MAPPING}")


def read_folder(
    folder: Path, mapping: Path | None, staging: Path, wanted: frozenset[str] = frozenset()
) -> Raw:
    """Lay down the folder's tables as raw Parquet.

    Args:
        folder: the CRM data, or a single file of them (a table, a workbook, a ZIP file).
        mapping: a mapping file; without one, `mapping.yaml` in the folder (of a single file,
            `NAME.mapping.yaml` beside it) if it is there.
        staging: an empty folder for the raw files.
        wanted: only these tables, all if empty.

    Raises:
        RenewalError: no folder, no table in it, an empty or unreadable file, a wrong mapping.
    """
    called, beside = folder, mapping_beside(folder)
    folder = opened_folder(folder, staging)
    selects = read_mapping(mapping or beside) if mapping or beside.is_file() else {}
    raw = Raw()
    paths = data_files(folder, staging, raw.warnings)
    with connect(staging / "spill") as connection:
        paths = with_parts_joined(connection, paths, staging, raw.warnings, " ".join(selects.values()))
        files = _files(paths)
        if selects:
            run_mapping(selects, folder, paths, staging, raw)
        exported = set() if selects or wanted else _read_exports(connection, files, staging, raw)
        for name, path in _tables(files, raw, bool(selects), exported).items():
            if name in selects or (wanted and name not in wanted):
                continue
            _read_file(connection, name, path, staging, raw)
            if selects:
                drop_foreign(name, path.name, raw)
    if not raw.tables:
        raise RenewalError(
            expected=f"CSV, Excel, JSON or Parquet files named as the tables ({', '.join(TABLES)})",
            found=", ".join(sorted(path.name for path in folder.iterdir())[:12]) or "an empty folder",
            do=f"Run `perennial map {called}`, which drafts {beside.name}, or rename the files.",
        )
    return raw


def with_parts_joined(
    connection: duckdb.DuckDBPyConnection, paths: list[Path], staging: Path, notes: list[str], sql: str = ""
) -> list[Path]:
    """Data files with the parts of one table as one file, but for parts that a mapping's SQL names itself."""
    joined = joined_parts(connection, paths, staging, notes, sql)
    parts = [part for each in joined for part in each.parts]
    whole = [path for path in paths if path not in parts] + [each.path for each in joined]
    return sorted(whole, key=lambda path: path.name)


def drop_foreign(name: str, called: str, raw: Raw) -> None:
    """Beside a mapping, a file that only happens to have a contract table's name is not taken for it."""
    source_names = matched(TABLES[name], pq.read_schema(raw.tables[name]).names)
    missing = [column for column in TABLES[name].required if column not in source_names]
    if missing:
        raw.warnings.append(
            f"{called} lacks {', '.join(missing)} and is ignored: the mapping does not say how to read it"
        )
        del raw.tables[name]


def _files(paths: Iterable[Path]) -> dict[str, list[Path]]:
    """Data files by lower-case stem; a table's one file may have a date or number after the table's name."""
    files: dict[str, list[Path]] = {}
    for path in paths:
        files.setdefault(str(stem(path)).lower(), []).append(path)
    for name in list(files):
        plain = _STAMP.sub("", name).strip(" _-.")
        others = [each for each in files if _STAMP.sub("", each).strip(" _-.") == plain]
        if plain in TABLES and plain != name and len(others) == 1:
            files[plain] = files.pop(name)
    return files


def _read_exports(
    connection: duckdb.DuckDBPyConnection, files: dict[str, list[Path]], staging: Path, raw: Raw
) -> set[str]:
    """Read the exports of well-known systems; returns the stems of their files."""
    exports, taken = [], []
    for name, paths in files.items():
        path = paths[0]
        if len(paths) > 1 or not path.is_file() or not path.stat().st_size:
            continue
        parquet = header_of(path, staging)
        if parquet is not None and is_known_export(parquet, name):
            exports.append((path, name, as_parquet(connection, path, staging)))
        elif name in TABLES:
            taken.append(name)
    return set(read_known(connection, exports, taken, staging, raw)) if exports else set()


def _tables(
    files: dict[str, list[Path]], raw: Raw, mapped: bool, exported: Collection[str]
) -> dict[str, Path]:
    tables = {}
    for name, paths in files.items():
        if name in exported:
            continue
        if name in TABLES:
            if len(paths) > 1:
                raise RenewalError(
                    expected=f"one file for {name}",
                    found=" and ".join(path.name for path in paths),
                    do="Remove all but one of them.",
                )
            _require_file(paths[0])
            tables[name] = paths[0]
        elif not mapped:
            near = difflib.get_close_matches(name, TABLES, n=1, cutoff=0.7)
            hint = f"; did you mean {near[0]}?" if near else ""
            raw.warnings.append(f"{paths[0].name} is named like no table and is ignored{hint}")
    return tables


def _require_file(path: Path) -> None:
    """A table is a file, or a folder of Parquet files.

    Raises:
        RenewalError: it is neither.
    """
    if path.is_file() or (path.is_dir() and path.name.lower().endswith(".parquet")):
        return
    what = "a folder" if path.is_dir() else "a link to nothing" if path.is_symlink() else "no plain file"
    raise RenewalError(
        expected=f"{path.name} to be a file", found=what, do="Export it again, or remove or rename it."
    )


def _read_file(connection: duckdb.DuckDBPyConnection, name: str, path: Path, staging: Path, raw: Raw) -> None:
    if path.name.lower().endswith(".parquet"):
        raw.tables[name] = _parquet(connection, name, path, staging)
        return
    target = staging / f"{name}.parquet"
    read = csv_to_parquet(connection, path, target, staging, TABLES.get(name), twice=name not in TABLES)
    raw.warnings += read.notes
    if read.rejected:
        raw.rejected[name] = (read.rejected, read.examples)
    raw.tables[name] = target


def header_of(path: Path, staging: Path) -> Path | None:
    """A data file's header as an empty Parquet file; None where it cannot be read."""
    target = staging / f"header_{stem(path)}.parquet"
    try:
        if path.name.lower().endswith(".parquet"):
            pq.read_schema(path)
            return path
        layout = layout_of(as_utf8(path, staging, []), None, called=path.name, twice=True)
    except (RenewalError, pa.ArrowInvalid):
        return None
    pq.write_table(pa.table({name: pa.array([], pa.string()) for name in layout.names}), target)
    return target


def as_parquet(connection: duckdb.DuckDBPyConnection, path: Path, staging: Path) -> Path:
    """Any data file as Parquet under its own name, every value of a CSV file as text.

    Raises:
        RenewalError: it cannot be read.
    """
    name = f"foreign_{stem(path)}"
    if path.name.lower().endswith(".parquet"):
        return _parquet(connection, name, path, staging)
    laid = Raw()
    _read_file(connection, name, path, staging, laid)
    return laid.tables[name]


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


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300]
