"""Columns of words: which of them stand for nothing, and lists of words whose order means nothing."""

import ast
import csv
import re
from collections.abc import Mapping

from features.crm.reading.nothing import is_nothing, namibia_stays
from features.crm.values import Form, literal, replaced

_SEPARATORS = ";|,\n"
_ARRAY = re.compile(r"\[.*\]|\{.*\}", re.DOTALL)


def parts_of_array(text: str) -> list[str] | None:
    """The parts of a list as programs write it (`["A","B"]`, `['A']`, `{A,"B, C"}`); None for other texts."""
    if not _ARRAY.fullmatch(text):
        return None
    try:
        parts = ast.literal_eval(text) if text[0] == "[" else next(csv.reader([text[1:-1]]), [])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    flat = isinstance(parts, list) and not any(isinstance(part, (list, dict, tuple, set)) for part in parts)
    return [str(part) for part in parts] if flat else None


def nothing_in(column: str, values: Mapping[str, int]) -> tuple[str, ...]:
    """The values that stand for nothing; `NA` stays where it is a code among codes."""
    hollow = [value for value in values if is_nothing(value)]
    if "NA" in hollow and namibia_stays(column, [value for value in values if value not in hollow]):
        hollow.remove("NA")
    return tuple(hollow)


def list_separator(values: Mapping[str, int]) -> str | None:
    """The sign that separates the parts of multi-selects (`A;B`), None where values are single ones.

    A semicolon does; a comma or a bar where the same parts occur in another order.
    """
    for sign in _SEPARATORS:
        lists = [value for value in values if sign in value]
        if not lists:
            continue
        sets = {as_set(value, sign) for value in lists}
        if len(sets) < len(lists) or (sign == ";" and _short(lists, sign)):
            return sign
    return None


def _short(lists: list[str], sign: str) -> bool:
    """Whether the parts are names rather than sentences."""
    parts = [part.strip() for value in lists for part in value.split(sign)]
    return sum(len(part) for part in parts) <= 40 * len(parts)


def as_set(value: str, sign: str) -> str:
    """A list of parts in the order of the alphabet, each once."""
    return sign.join(sorted({part.strip() for part in value.split(sign) if part.strip()}))


def set_step(sign: str) -> str:
    """The step that does so in SQL."""
    parts = f"list_transform(string_split({{v}}, {literal(sign)}), lambda part: trim(part))"
    ordered = f"list_sort(list_distinct(list_filter({parts}, lambda part: part <> '')))"
    joined = f"array_to_string({ordered}, {literal(sign)})"
    return f"CASE WHEN contains({{v}}, {literal(sign)}) THEN {joined} ELSE {{v}} END"


def category_form(
    table: str, column: str, values: Mapping[str, int] | None, nothing: tuple[str, ...]
) -> Form:
    """The form of a category.

    Args:
        table: its table.
        column: its name.
        values: with their rows; None where there are too many to look at.
        nothing: spellings of nothing that occur, where values are None.
    """
    if values is None:
        return Form(("{v}",), nothing)
    hollow = nothing_in(column, values)
    arrays = {value: parts for value in values if (parts := parts_of_array(value)) is not None}
    if arrays:
        hollow += tuple(value for value, parts in arrays.items() if not parts)
        sets = {value: as_set(";".join(parts), ";") for value, parts in arrays.items() if parts}
        lists = f"{sum(values[value] for value in arrays):,} values are lists ({next(iter(arrays))})"
        text = f"{table}.{column}: {lists}, read as parts with ; between"
        return Form((replaced(sets), set_step(";")), hollow, says=(text,))
    sign = list_separator(values)
    says: tuple[str, ...] = ()
    if sign is not None:
        rows = sum(rows for value, rows in values.items() if sign in value)
        between = sign.strip() or "line breaks"
        says = (f"{table}.{column}: {rows:,} values are lists of parts with {between} between, in any order",)
    return Form((set_step(sign) if sign else "{v}",), hollow, says=says)
