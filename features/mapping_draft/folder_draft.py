"""A foreign folder's draft: its files laid down as text, judged, and written as `mapping.yaml`."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from features.crm.values import literal, quoted
from features.errors import RenewalError
from features.mapping_draft.draft import MappingDraft, draft_mapping, of_confidence
from features.mapping_draft.foreign_files import ForeignFile, look_at
from features.sources.file_parts import PARTS
from features.sources.folder import as_parquet, mapping_beside, stem, with_parts_joined
from features.sources.packed_files import data_files, opened_folder
from features.sources.readers import connect


@contextmanager
def looked_at(folder: Path) -> Iterator[tuple[duckdb.DuckDBPyConnection, list[ForeignFile]]]:
    """Every data file of a folder or single file with its columns judged, for as long as the block runs.

    Raises:
        RenewalError: neither a folder nor a data file, or no data file in it.
    """
    with (
        tempfile.TemporaryDirectory(prefix="perennial-map-") as work,
        connect(Path(work) / "spill") as connection,
    ):
        folder = opened_folder(folder, Path(work))
        files, paths = [], data_files(folder, Path(work), [])
        if not paths:
            names = ", ".join(sorted(path.name for path in folder.iterdir())[:12]) or "an empty folder"
            raise RenewalError(
                expected=f"CSV, Excel, JSON or Parquet files in {folder}",
                found=names,
                do="Export the CRM's objects there.",
            )
        for path in with_parts_joined(connection, paths, Path(work), []):
            parquet = as_parquet(connection, path, Path(work))
            files.append(look_at(path, str(stem(path)), parquet))
        yield connection, files


def map_folder(folder: Path, out: Path | None = None) -> dict[str, Any]:
    """Draft a mapping and write it.

    Args:
        folder: the foreign files, or a single one.
        out: the file to write; None: `mapping.yaml` in the folder, `NAME.mapping.yaml` beside a file.

    Raises:
        RenewalError: nothing in the folder can be mapped, or the file is there already.
    """
    target = out or mapping_beside(folder)
    if target.exists():
        raise RenewalError(
            expected=f"no file at {target} yet", found="one", do="Move it away, or name another with --to."
        )
    with looked_at(folder) as (connection, files):
        draft = draft_mapping(connection, files)
    if not {"contracts", "opportunities"} & set(draft.tables):
        named = ", ".join(file.path.name for file in files[:8])
        raise RenewalError(
            expected="a file of deals or of contracts, with an outcome or its dates",
            found=f"{named}: none of them looks like one",
            do=f"Write the SELECT of opportunities or contracts into {target.name} by hand.",
        )
    target.write_text(as_yaml(draft, folder.name), encoding="utf-8")
    return as_result(draft, target)


def by_name(file: ForeignFile) -> str:
    """The file in a mapping's SELECT: every value as text, so that ids stay as they are written."""
    if file.path.parent.name == PARTS:
        return quoted(file.path.stem)
    if file.path.name.lower().endswith(".parquet"):
        return literal(file.path.name)
    return f"read_csv({literal(file.path.name)}, all_varchar = true)"


def as_yaml(draft: MappingDraft, called: str) -> str:
    """The mapping file, with a note behind each line."""
    counts = of_confidence(draft)
    lines = [
        f"# Drafted by `perennial map` from {called}:"
        f" {counts['sure']} lines sure, {counts['likely']} likely, {counts['unsure']} unsure.",
        "# After each line is its evidence. Correct it, then run `perennial check`.",
    ]
    if draft.questions:
        lines += ["#", "# What only you can know:", *(f"# - {each}" for each in draft.questions)]
    if draft.unmapped_files:
        lines += ["#", f"# Not mapped: {', '.join(draft.unmapped_files)}"]
    for table, parts in draft.tables.items():
        unmapped = [
            f"{part.file_match.file.path.name}: {', '.join(part.unmapped)}" for part in parts if part.unmapped
        ]
        lines += ["", *(f"# Stays out of {each}" for each in unmapped), f"{table}: |"]
        lines += [f"  {line}" for line in draft.sql(table, by_name, notes=True).splitlines()]
    return "\n".join(lines) + "\n"


def as_result(draft: MappingDraft, target: Path) -> dict[str, Any]:
    """For JSON: each line, what is asked, what stays unmapped."""
    return {
        "mapping": str(target),
        "lines": [
            {
                "table": table,
                "column": line.column,
                "from": [f"{file}.{column}" for file, column in line.sources],
                "expression": line.expression,
                "confidence": line.confidence,
                "evidence": line.evidence,
            }
            for table, parts in draft.tables.items()
            for part in parts
            for line in part.lines
        ],
        "carried": {
            table: [column.name for part in parts for column in part.carried]
            for table, parts in draft.tables.items()
            if any(part.carried for part in parts)
        },
        "questions": draft.questions,
        "unmapped_columns": {
            part.file_match.file.path.name: part.unmapped
            for parts in draft.tables.values()
            for part in parts
            if part.unmapped
        },
        "unmapped_files": draft.unmapped_files,
    }
