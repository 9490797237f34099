"""Workbooks (Excel of any age, OpenDocument), sheet by sheet, through calamine."""

import re
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum

from features.crm.contract import TABLES
from features.errors import RenewalError

_CODE = re.compile(r"(?:id|n[or]\.?|num(?:ber|mer|éro|ero)|code|zip|plz|year|jahr)$", re.IGNORECASE)
"""Headers of columns of numbers that are not amounts."""


def sheets(path: Path, stem: str, notes: list[str]) -> dict[str, list[list[str]]]:
    """The rows of each visible sheet that holds at least two, by the table or title that it goes by.

    Args:
        path: the workbook.
        stem: its name without ending; the one sheet whose title names no table goes by it.
        notes: gets which sheets are read and which are hidden.

    Raises:
        RenewalError: it is broken, or has a password.
    """
    written: dict[str, list[list[str]]] = {}
    hidden, merged = [], []
    try:
        with path.open("rb") as file, CalamineWorkbook.from_filelike(file) as book:
            for sheet in book.sheets_metadata:
                if sheet.visible is not SheetVisibleEnum.Visible:
                    hidden.append(sheet.name)
                    continue
                page = book.get_sheet_by_name(sheet.name)
                cells = page.to_python(skip_empty_area=False)
                carried = _carry_down(cells, page.merged_cell_ranges or [])
                if carried:
                    merged.append(f"{carried:,} in {sheet.name}")
                rows = [[cell_text(value) for value in row] for row in cells]
                if sum(any(row) for row in rows) >= 2:
                    written[sheet.name] = rows
    except (CalamineError, OSError, ValueError) as error:
        raise RenewalError(
            expected=f"{path.name} to be a workbook without a password",
            found=str(error)[:120],
            do="Save it again, as CSV if need be.",
        ) from error
    if merged:
        notes.append(f"{path.name}: cells merged over rows hold for each of them: {', '.join(merged)}")
    if hidden:
        notes.append(f"{path.name}: hidden sheets are not read: {', '.join(hidden)}")
    if len(written) > 1:
        notes.append(f"{path.name}: sheets {', '.join(written)} are read as a file each")
    return _named(written, stem)


def _carry_down(cells: list[list[Any]], ranges: list[tuple[tuple[int, int], tuple[int, int]]]) -> int:
    """Write the label of cells that are merged over rows into each of them; returns how many were.

    A number counts once, in the first of them, but where its column is one of codes.
    """
    carried = 0
    for (top, left), (bottom, right) in ranges:
        value = cells[top][left] if top < len(cells) and left < len(cells[top]) else ""
        header = next(
            (row[left] for row in cells if left < len(row) and isinstance(row[left], str) and row[left]), ""
        )
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if left != right or value == "" or (is_number and not _CODE.search(header)):
            continue
        for row in cells[top + 1 : bottom + 1]:
            row[left] = value
        carried += bottom > top
    return carried


def _named(written: dict[str, list[list[str]]], stem: str) -> dict[str, list[list[str]]]:
    """Sheets by name: a workbook `contracts` holds one sheet of them, however that is titled."""
    names = {title: title.strip().replace("/", "-") for title in written}
    others = [title for title in written if title.strip().lower() not in TABLES]
    if len(written) == 1 or (stem.lower() in TABLES and stem.lower() not in map(str.lower, names.values())):
        names |= dict.fromkeys(others, stem) if len(others) == 1 else {}
    if stem.lower() in TABLES and len(others) == len(written) > 1:
        names = {title: f"{stem} {name}" for title, name in names.items()}
    return {names[title]: rows for title, rows in written.items()}


def cell_text(value: Any) -> str:
    """A cell as an export would write it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.date().isoformat() if value.time() == time() else value.isoformat(sep=" ")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, timedelta):
        minutes, seconds = divmod(round(value.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, list):
        return ";".join(map(cell_text, value))
    return str(value)
