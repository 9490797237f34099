"""Results as files: the name's ending says the format; a reader finds the old file or the new, never half."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from features.errors import RenewalError
from features.scratch import replacing, sweep, writable


def as_json(value: Any) -> str:
    """`value` as one JSON object; moments in ISO 8601, missing numbers as null."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False)


def write(path: Path, result: dict[str, Any], rows: pd.DataFrame | None = None) -> None:
    """Write a result to `path` in the format its ending names.

    Args:
        path: ends in .csv, .parquet, .xlsx, .json or .html.
        result: what `.json` holds whole.
        rows: what the other formats hold, one line a row; `result["rows"]` if not given.

    Raises:
        RenewalError: the ending is none of these, or the folder is not there.
    """
    check(path)
    frame = rows if rows is not None else pd.DataFrame(_rows_of(result))
    sweep(path.parent)
    with replacing(path) as part, writable(path.parent):
        WRITERS[path.suffix.lower()](part, result, frame)


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


def _rows_of(result: dict[str, Any]) -> list[Any]:
    """The one list in a result, or the result itself as a single row."""
    lists = [value for value in result.values() if isinstance(value, list)]
    return lists[0] if len(lists) == 1 else result.get("rows", [result])


def _flat(frame: pd.DataFrame, nested: Callable[[Any], str] = as_json) -> pd.DataFrame:
    """Lists and objects become text, so that one cell can hold them: JSON for programs, words for people."""
    flat = frame.copy()
    for column in flat.columns:
        if any(isinstance(value, list | dict) for value in flat[column]):
            flat[column] = flat[column].map(lambda value: None if value is None else nested(value))
    return flat


def _words(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(part, dict) and "words" in part for part in value):
        return "; ".join(part["words"] for part in value)
    return as_json(value) if isinstance(value, list | dict) else str(value)


_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def _safe_text(frame: pd.DataFrame) -> pd.DataFrame:
    """Text that a spreadsheet would run as a formula gets a leading apostrophe (OWASP: CSV injection)."""
    safe = frame.copy()
    for column in safe.select_dtypes(include=["object", "str", "string", "category"]).columns:
        text = safe[column].astype("object")
        risky = text.map(lambda value: isinstance(value, str) and value.startswith(_FORMULA_STARTS))
        safe[column] = text.where(~risky, "'" + text.astype(str))
    return safe


def _to_csv(path: Path, result: dict[str, Any], frame: pd.DataFrame) -> None:
    _safe_text(_flat(frame)).to_csv(path, index=False)


def _to_parquet(path: Path, result: dict[str, Any], frame: pd.DataFrame) -> None:
    _flat(frame).to_parquet(path, index=False)


def _to_xlsx(path: Path, result: dict[str, Any], frame: pd.DataFrame) -> None:
    _safe_text(_flat(frame, _words)).to_excel(path, index=False, freeze_panes=(1, 0))


def _to_json(path: Path, result: dict[str, Any], frame: pd.DataFrame) -> None:
    path.write_text(as_json(result) + "\n", encoding="utf-8")


_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>Perennial</title>'
    "<style>body{{font:15px system-ui;margin:2rem}}td,th{{padding:.3rem .7rem;text-align:left}}"
    "tr:nth-child(even){{background:#f4f4f2}}</style>{table}</html>"
)


def _to_html(path: Path, result: dict[str, Any], frame: pd.DataFrame) -> None:
    """The result's own page where it has one (`html`), else its rows as a table."""
    if isinstance(result.get("html"), str):
        path.write_text(result["html"], encoding="utf-8")
        return
    table = _flat(frame, _words).to_html(index=False, border=0, escape=True)
    path.write_text(_PAGE.format(table=table), encoding="utf-8")


WRITERS: dict[str, Callable[[Path, dict[str, Any], pd.DataFrame], None]] = {
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
