"""Results as files: the name's ending says the format; a reader finds the old file or the new, never half."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from features.errors import RenewalError
from features.scratch import replacing, sweep, writable
from serving.scoring.answer_page import answer_page
from serving.scoring.answer_tables import AnswerTable, answer_tables, flat
from serving.scoring.workbook import write_workbook


def as_json(value: Any) -> str:
    """`value` as one JSON object; moments in ISO 8601, missing numbers as null."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def write(
    path: Path,
    result: dict[str, Any],
    rows: pd.DataFrame | None = None,
    *,
    title: str = "Perennial",
    currency: str | None = None,
) -> None:
    """Write a result to `path` in the format its ending names.

    Args:
        path: ends in .csv, .parquet, .xlsx, .json or .html.
        result: `.json` holds it whole, `.xlsx` and `.html` a table for each list, the others its main one.
        rows: what stands in all formats but `.json` in the result's place, one line a row.
        title: what the answer is, for people.
        currency: of all money, as ISO 4217; None: not known.

    Raises:
        RenewalError: the ending is none of these, or the folder is not there.
    """
    check(path)
    tables = (
        [AnswerTable("list", flat(rows))] if rows is not None else answer_tables(without_its_page(result))
    )
    answer = Answer(result, tables, title, currency)
    sweep(path.parent)
    with replacing(path) as part, writable(path.parent):
        WRITERS[path.suffix.lower()](part, answer)


@dataclass(frozen=True)
class Answer:
    """What all writers take: the result, its tables (the main one first), a title, the currency."""

    result: dict[str, Any]
    tables: list[AnswerTable]
    title: str
    currency: str | None


def page_of(result: Mapping[str, Any]) -> str | None:
    """The page a result brings along, as personas do; None where `html` is a path or missing."""
    html = result.get("html")
    return html if isinstance(html, str) and html.lstrip().startswith("<") else None


def without_its_page(result: dict[str, Any]) -> dict[str, Any]:
    """A result as tables take it: less the page it brings along."""
    if page_of(result) is None:
        return result
    return {name: value for name, value in result.items() if name != "html"}


def check(path: Path | None) -> None:
    """Make sure before the work that its result can be written; None is fine.

    Raises:
        RenewalError: as `write` does.
    """
    if path is None:
        return
    if path.suffix.lower() not in WRITERS:
        raise RenewalError(
            expected=f"--out to end in one of {', '.join(WRITERS)}",
            found=repr(path.name),
            do="Give the file one of these endings.",
        )
    if not path.parent.is_dir():
        raise RenewalError(
            expected=f"the folder of --out, {path.parent}, to exist",
            found="no such folder",
            do="Create it first.",
        )
    if path.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise RenewalError(
            expected=f"--out to be a file that can be written, {path}",
            found="a folder" if path.is_dir() else f"no permission to write in {path.parent}",
            do="Choose another place.",
        )


_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def _safe_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Text that a spreadsheet would run as a formula gets a leading apostrophe (OWASP: CSV injection)."""
    safe = frame.copy()
    for column in safe.select_dtypes(include=["object", "str", "string", "category"]).columns:
        text = safe[column].astype("object")
        risky = text.map(lambda value: isinstance(value, str) and value.startswith(_FORMULA_STARTS))
        safe[column] = text.where(~risky, "'" + text.astype(str))
    return safe


def _to_csv(path: Path, answer: Answer) -> None:
    _safe_text(answer.tables[0].frame).to_csv(path, index=False)


def _to_parquet(path: Path, answer: Answer) -> None:
    _one_type_each(answer.tables[0].frame).to_parquet(path, index=False)


def _one_type_each(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of mixed values as text: a Parquet column has one type."""
    typed = frame.copy()
    for name in typed.select_dtypes(include="object").columns:
        present = typed[name].dropna()
        if len({type(value) for value in present}) > 1:
            typed[name] = typed[name].map(lambda value: value if value is None else str(value))
    return typed


def _to_xlsx(path: Path, answer: Answer) -> None:
    tables = [AnswerTable(table.name, _safe_text(table.frame)) for table in answer.tables]
    write_workbook(path, tables, answer.currency)


def _to_json(path: Path, answer: Answer) -> None:
    path.write_text(as_json(answer.result) + "\n", encoding="utf-8")


def _to_html(path: Path, answer: Answer) -> None:
    """The result's own page where it brings one, else its tables."""
    page = page_of(answer.result) or answer_page(answer.title, answer.tables, answer.currency)
    path.write_text(page, encoding="utf-8")


WRITERS: dict[str, Callable[[Path, Answer], None]] = {
    ".csv": _to_csv,
    ".parquet": _to_parquet,
    ".xlsx": _to_xlsx,
    ".json": _to_json,
    ".html": _to_html,
}


def _plain(value: Any) -> Any:
    """Numbers, text, lists and objects as JSON knows them."""
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(part) for part in value]
    if isinstance(value, pd.DataFrame):
        return [_plain(row) for row in value.to_dict("records")]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if value is None or value is pd.NaT or value is pd.NA or value != value:
        return None
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool) else str(value)
