"""Exports of Salesforce, HubSpot, Dynamics, Pipedrive and Zoho, recognised by headers, read unmapped."""

from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from features.crm.columns_match import matched
from features.crm.contract import TABLES
from features.crm.values import literal
from features.mapping_draft.draft import MappingDraft, draft_mapping
from features.mapping_draft.foreign_files import ForeignFile, look_at
from features.mapping_draft.match import system_of
from features.sources.readers import Raw

_LISTED = 8


def is_known_export(parquet: Path, stem: str) -> bool:
    """Whether a file is an object of a well-known system, and does not have the contract's own names."""
    names = [name for name in pq.read_schema(parquet).names if not name.startswith("__")]
    table = TABLES.get(stem.lower())
    if table is not None:
        columns = matched(table, names)
        if table.key in columns if table.key else set(table.required) <= set(columns):
            return False
    return system_of(names, stem) is not None


def read_known(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[tuple[Path, str, Path]],
    taken: Sequence[str],
    staging: Path,
    raw: Raw,
) -> list[str]:
    """Lay the exports down as tables of the contract; returns the stems of the files that were read.

    Args:
        connection: any DuckDB.
        files: (path, stem, its text as Parquet) of each export.
        taken: tables that the folder already has under their own names.
        staging: for the tables' files.
        raw: gets the tables, and what is to be said of them.
    """
    looked = [look_at(*file) for file in files]
    draft = draft_mapping(connection, looked)
    read: list[str] = []
    for table, parts in draft.tables.items():
        if table in taken:
            continue
        target = staging / f"{table}.known.parquet"
        select = draft.sql(table, lambda file: file.relation)
        connection.execute(f"COPY ({select}) TO {literal(target)} (FORMAT parquet)")
        raw.tables[table] = target
        for part in parts:
            read.append(part.file_match.file.stem)
            _tell(table, part.file_match.file, part.file_match.system, part.unmapped, raw)
    _tell_unsure(draft, raw)
    return read


def _tell(table: str, file: ForeignFile, system: str | None, unmapped: list[str], raw: Raw) -> None:
    left = ""
    if unmapped:
        more = f" and {len(unmapped) - _LISTED} more" if len(unmapped) > _LISTED else ""
        left = f"; not used: {', '.join(unmapped[:_LISTED])}{more}"
    by = f"{system}, by its headers," if system else "another system's, by its headers and values,"
    raw.warnings.append(f"{file.path.name} is {by} and was read as {table} (see `perennial map`){left}")


def _tell_unsure(draft: MappingDraft, raw: Raw) -> None:
    raw.warnings += [
        f"{question}; `perennial map` drafts a mapping to correct" for question in draft.questions
    ]
