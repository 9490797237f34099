"""Answers as a workbook: a sheet a table, with filters, a header that stays, and numbers in their units."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font, PatternFill
from openpyxl.utils import get_column_letter

from serving.scoring.answer_tables import AnswerTable
from serving.scoring.column_units import MEANING, Unit, units_of

FORMATS = {
    Unit.SHARE: "0.0%",
    Unit.POINTS: "+0.0%;-0.0%;0.0%",
    Unit.MONEY: "#,##0",
    Unit.MONEY_PER_HOUR: "#,##0",
    Unit.HOURS: '0.0 "h"',
    Unit.DAYS: '#,##0 "d"',
    Unit.COUNT: "#,##0",
    Unit.FIGURE: "#,##0.000",
    Unit.DAY: "yyyy-mm-dd",
    Unit.MOMENT: "yyyy-mm-dd hh:mm",
}
COLUMNS_SHEET = "columns"
_LONGEST_CELL = 32_767
_WIDEST, _SAMPLE = 60, 200
_MANY_COLUMNS = 6
_HEADER_FONT, _HEADER_FILL = Font(bold=True), PatternFill("solid", fgColor="E9EFEB")


def write_workbook(path: Path, tables: Sequence[AnswerTable], currency: str | None = None) -> None:
    """Write a sheet a table, and one that says what each column means and counts.

    Args:
        path: where to.
        tables: the answer itself first; their frames flat.
        currency: of all money, as ISO 4217; None: not known.
    """
    book = Workbook(write_only=True)
    units = [units_of(table.frame) for table in tables]
    names: set[str] = set()
    for table, of_table in zip(tables, units, strict=True):
        _write_sheet(book, _sheet_name(table.name, names), table.frame, of_table, currency)
    if tables and len(tables[0].frame.columns):
        legend = _legend(units[0], currency)
        _write_sheet(book, _sheet_name(COLUMNS_SHEET, names), legend, units_of(legend), None)
    book.save(path)


def _legend(units: dict[str, Unit], currency: str | None) -> pd.DataFrame:
    money = currency or "money, as in the CRM"
    words = {Unit.MONEY: money, Unit.MONEY_PER_HOUR: f"{money}, per hour"}
    return pd.DataFrame(
        [
            {"column": name, "unit": words.get(unit, str(unit)), "meaning": MEANING.get(name, "")}
            for name, unit in units.items()
        ]
    )


def _write_sheet(
    book: Workbook, name: str, frame: pd.DataFrame, units: dict[str, Unit], currency: str | None
) -> None:
    sheet = book.create_sheet(name)
    sheet.freeze_panes = "B2" if len(frame.columns) > _MANY_COLUMNS else "A2"
    for at, column in enumerate(frame.columns, start=1):
        sheet.column_dimensions[get_column_letter(at)].width = _width(column, frame[column], units[column])
    if len(frame.columns):
        sheet.auto_filter.ref = f"A1:{get_column_letter(len(frame.columns))}{len(frame) + 1}"
        sheet.append([_header(sheet, column) for column in frame.columns])
    formats = [_format(units[column], currency) for column in frame.columns]
    columns = [_values(frame[column], units[column]) for column in frame.columns]
    for row in zip(*columns, strict=True):
        sheet.append([_cell(sheet, value, form) for value, form in zip(row, formats, strict=True)])


def _format(unit: Unit, currency: str | None) -> str | None:
    form = FORMATS.get(unit)
    if form is None or currency is None:
        return form
    if unit is Unit.MONEY:
        return f'{form} "{currency}"'
    return f'{form} "{currency}/h"' if unit is Unit.MONEY_PER_HOUR else form


def _header(sheet: Any, column: str) -> WriteOnlyCell:
    cell = WriteOnlyCell(sheet, value=column)
    cell.font, cell.fill = _HEADER_FONT, _HEADER_FILL
    return cell


def _cell(sheet: Any, value: Any, form: str | None) -> Any:
    if form is None or value is None:
        return value
    cell = WriteOnlyCell(sheet, value=value)
    cell.number_format = form
    return cell


def _values(column: pd.Series, unit: Unit) -> list[Any]:
    if unit in (Unit.DAY, Unit.MOMENT):
        moments = pd.to_datetime(column, format="ISO8601", utc=True)
        return [None if pd.isna(one) else one.tz_localize(None).to_pydatetime() for one in moments]
    return [_plain(value) for value in column.astype(object)]


def _plain(value: Any) -> Any:
    """A value as a cell takes it; text without what a workbook may not hold."""
    if value is None or value is pd.NaT or value is pd.NA or value != value:
        return None
    if isinstance(value, str):
        return ILLEGAL_CHARACTERS_RE.sub("", value)[:_LONGEST_CELL]
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return None
    if isinstance(value, pd.Timestamp | datetime):
        return value.replace(tzinfo=None)
    return value.item() if hasattr(value, "item") else value if isinstance(value, int | float) else str(value)


def _width(name: str, column: pd.Series, unit: Unit) -> int:
    if unit in (Unit.DAY, Unit.MOMENT):
        longest = 16
    elif unit is Unit.TEXT:
        longest = max((len(str(value)) for value in column.head(_SAMPLE) if value is not None), default=0)
    else:
        longest = 12
    return min(max(len(name), longest) + 3, _WIDEST)


def _sheet_name(name: str, taken: set[str]) -> str:
    """At most 31 characters, none that Excel refuses, each once."""
    bare = (
        "".join(" " if char in "[]:*?/\\'" else char for char in name.replace("_", " "))[:31].strip()
        or "table"
    )
    unique, more = bare, 2
    while unique.lower() in taken:
        unique, more = f"{bare[:28]} {more}", more + 1
    taken.add(unique.lower())
    return unique
