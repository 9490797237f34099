"""A result as tables: each list in it becomes one, and a cell holds one value, never an object or a list."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

REASONS_SHOWN = 3
MOST_KEYS = 15
"""An object with more keys (a share for each column of a table) becomes words, no columns."""

FACTS = "facts"
MAIN_NAMES = (
    "rows", "checks", "answers", "lines", "models", "compared", "alerts", "tasks", "playbooks", "requests",
    "experiments", "features", "keys", "drivers", "steps", "tables",
)  # fmt: skip
"""What the answer itself is called in a result, the first that is there; without any a result is one row."""


@dataclass(frozen=True)
class AnswerTable:
    """One table of an answer: its name in the result, and flat rows."""

    name: str
    frame: pd.DataFrame


def answer_tables(result: Mapping[str, Any]) -> list[AnswerTable]:
    """Every list of a result as a table, the answer itself first; what is no list comes as `facts` last.

    A list of objects and an object of objects (`gates`: name → passed, why) become a row each, a list of
    plain values one column. A result that holds none of `MAIN_NAMES` is one row itself.
    """
    tables: dict[str, pd.DataFrame] = {}
    facts: dict[str, Any] = {}
    for name, value in result.items():
        frame = _as_table(name, value)
        if frame is None:
            facts[name] = value
        elif len(frame) or name in MAIN_NAMES:
            tables[name] = frame
    main = next((name for name in MAIN_NAMES if name in tables), None)
    first = AnswerTable("answer", flat([result])) if main is None else AnswerTable(main, tables.pop(main))
    further = [AnswerTable(name, frame) for name, frame in tables.items()]
    return [first, *further, *_facts(facts)]


def main_table(result: Mapping[str, Any]) -> pd.DataFrame:
    """The answer itself: what formats of one table hold."""
    return answer_tables(result)[0].frame


def flat(rows: Iterable[Mapping[str, Any]] | pd.DataFrame) -> pd.DataFrame:
    """Rows whose objects became columns (`forward_auc`), reasons words with their direction, lists text."""
    frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(list(rows))
    columns: dict[str, pd.Series] = {}
    for name in map(str, frame.columns):
        for column, values in _flat_column(name, frame[name]):
            columns.setdefault(column, values)
    return pd.DataFrame(columns, index=frame.index)


def reason_columns(reasons: pd.Series) -> dict[str, pd.Series]:
    """`reason_1`, `reason_1_direction`, … from lists of reasons; empty where a row has fewer."""
    shown = [_shown(each) for each in reasons]
    columns = {}
    for at in range(REASONS_SHOWN):
        some = [each[at] if len(each) > at else None for each in shown]
        words = [None if one is None else one["words"] for one in some]
        columns[f"reason_{at + 1}"] = pd.Series(words, reasons.index, dtype="object")
        ways = [None if one is None else direction(one) for one in some]
        columns[f"reason_{at + 1}_direction"] = pd.Series(ways, reasons.index, dtype="object")
    return columns


def direction(reason: Mapping[str, Any]) -> str | None:
    """`raises` or `lowers` what is scored; None where a reason does not say."""
    if reason.get("log_odds") is not None:
        return "lowers" if reason["log_odds"] < 0 else "raises"
    if reason.get("times") is not None:
        return "lowers" if reason["times"] < 1 else "raises"
    return None


def _shown(reasons: Any) -> list[Mapping[str, Any]]:
    """Reasons that name something of the customer: not the base rate, the rest or the calibration."""
    if not isinstance(reasons, list):
        return []
    return [one for one in reasons if not str(one.get("feature", "")).startswith("(")]


def _facts(facts: Mapping[str, Any]) -> list[AnswerTable]:
    """Plain values by name, those of objects with the object's name before theirs."""
    row = flat([facts]) if facts else pd.DataFrame()
    pairs = [(name.replace("_", " "), row[name].iloc[0]) for name in row.columns]
    shown = [(name, value) for name, value in pairs if not _is_absent(value) and value != ""]
    return [AnswerTable(FACTS, pd.DataFrame(shown, columns=["fact", "value"]))] if shown else []


def _as_table(name: str, value: Any) -> pd.DataFrame | None:
    if isinstance(value, list):
        if value and all(isinstance(one, dict) for one in value):
            return flat(value)
        return pd.DataFrame({name: [_text(one) for one in value]})
    if isinstance(value, dict) and value and all(isinstance(one, dict) for one in value.values()):
        return flat([{"name": key, **one} for key, one in value.items()])
    if isinstance(value, dict) and value and all(isinstance(one, list) for one in value.values()):
        pairs = [(key, one) for key, rows in value.items() for one in rows]
        return flat([{"name": key, **_as_row(one)} for key, one in pairs])
    return None


def _as_row(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"value": value}


def _flat_column(name: str, values: pd.Series) -> list[tuple[str, pd.Series]]:
    if values.dtype != object:
        return [(name, values)]
    filled = [value for value in values if isinstance(value, dict | list | tuple | set)]
    if not filled:
        return [(name, values)]
    if _are_reasons(filled):
        return list(reason_columns(values).items())
    if _are_small_objects(filled):
        inner = flat([value if isinstance(value, dict) else {} for value in values])
        inner.index = values.index
        return [(f"{name}_{column}".replace(" ", "_"), inner[column]) for column in inner.columns]
    return [(name, values.map(lambda value: value if _is_plain(value) else _text(value)))]


def _are_small_objects(values: list[Any]) -> bool:
    """Whether these are objects whose keys may well be columns."""
    are_objects = all(isinstance(value, dict) for value in values)
    return are_objects and len({key for value in values for key in value}) <= MOST_KEYS


def _are_reasons(lists: list[Any]) -> bool:
    """Whether these are lists of objects with `words`."""
    ones = [one for value in lists if isinstance(value, list) for one in value]
    return bool(ones) and all(isinstance(one, dict) and "words" in one and "feature" in one for one in ones)


def _is_plain(value: Any) -> bool:
    return not isinstance(value, dict | list | tuple | set)


def _is_absent(value: Any) -> bool:
    return value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and value != value)


def _text(value: Any) -> Any:
    """A value in words: lists set apart by semicolons, an object as `name: value` pairs."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_text(part)}" for key, part in value.items() if not _is_absent(part))
    if isinstance(value, list | tuple | set):
        return "; ".join(str(_text(part)) for part in value) or None
    return value


def holds_an_object(cell: Any) -> bool:
    """Whether a cell's text is JSON of an object or a list: what no cell may hold."""
    if not isinstance(cell, str) or cell[:1] not in ("{", "["):
        return False
    try:
        return isinstance(json.loads(cell), dict | list)
    except ValueError:
        return False
