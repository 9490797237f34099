"""Answers as one HTML page that stands alone: a table for each list, numbers in their units."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from serving.scoring.answer_tables import AnswerTable
from serving.scoring.column_units import Unit, units_of

VERDICTS = ("alert", "unknown")
_TEXTS = (Unit.TEXT, Unit.DAY, Unit.MOMENT)


def answer_page(title: str, tables: Sequence[AnswerTable], currency: str | None = None) -> str:
    """The page; `tables` are flat, the answer itself first, plain facts last."""
    facts_last = sorted(tables, key=lambda table: table.name != "facts") if len(tables) > 1 else tables
    return _template().render(title=title, tables=[_shown(table, currency) for table in facts_last])


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
    )
    return environment.get_template("answer.html")


def _shown(table: AnswerTable, currency: str | None) -> dict[str, Any]:
    frame = table.frame
    units = units_of(frame)
    columns = [[_cell(value, unit) for value in frame[name]] for name, unit in units.items()]
    heads = [(_heading(name, unit, currency), _css(unit)) for name, unit in units.items()]
    rows = [list(row) for row in zip(*columns, strict=True)]
    is_list = len(frame.columns) == 1 and frame.columns[0] == table.name
    return {"name": table.name.replace("_", " "), "columns": heads, "rows": rows, "is_list": is_list}


def _heading(name: str, unit: Unit, currency: str | None) -> str:
    words = name.replace("_", " ")
    if unit is Unit.HOURS or (unit is Unit.DAYS and "days" not in words):
        return words if "hours" in words else f"{words} ({unit})"
    return f"{words} ({currency})" if currency and unit in (Unit.MONEY, Unit.MONEY_PER_HOUR) else words


def _css(unit: Unit) -> str:
    return "" if unit in _TEXTS else "n"


def _cell(value: Any, unit: Unit) -> tuple[str, str]:
    if value is None or value is pd.NaT or value is pd.NA or value != value:
        return "–", _css(unit)
    if isinstance(value, str) and value in VERDICTS:
        return value, value
    return in_unit(value, unit), _css(unit)


def in_unit(value: Any, unit: Unit) -> str:
    """A value as people read it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if unit is Unit.SHARE:
        return f"{100 * value:.1f} %"
    if unit is Unit.POINTS:
        return f"{100 * value:+.1f} points"
    if unit in (Unit.MONEY, Unit.MONEY_PER_HOUR):
        return f"{value:,.0f}"
    if unit is Unit.HOURS:
        return f"{value:,.1f}"
    if unit in (Unit.COUNT, Unit.DAYS):
        return f"{value:,.0f}"
    if unit is Unit.DAY:
        return str(value)[:10]
    if unit is Unit.MOMENT:
        return str(value)[:16].replace("T", " ")
    return f"{value:,.4g}" if isinstance(value, float) else str(value)
