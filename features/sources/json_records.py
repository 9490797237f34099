"""Tables in a JSON file: lists of records, wrapped as services answer, one record a line, or by column."""

import json
from collections.abc import Iterator
from typing import Any

from features.crm.contract import TABLES
from features.errors import RenewalError

_ANSWERS = ("results", "records", "value", "data", "d")
"""What services call the list that they were asked for."""
_WRAPPERS = frozenset(
    (*_ANSWERS, *("items", "rows", "objects", "entries", "list", "response", "result", "output", "body"))
) | {"content", "hits", "elements", "nodes", "edges", "payload", "_embedded"}
"""Keys that say nothing of what is inside."""
_COLUMNS, _ROWS = ("columns", "fields", "header", "headers"), ("data", "rows", "values", "records")
_AROUND_FIELDS = (
    "properties",
    "fields",
    "attributes",
    "node",
    "relationships",
    "associations",
    "data",
    "results",
)
"""Keys inside a record that add nothing to the names below them."""

Record = dict[str, Any]


def json_tables(text: str, stem: str, called: str, notes: list[str]) -> dict[str, list[Record]]:
    """The records of each table in a JSON text, nested values under joined names.

    Args:
        text: JSON, whole or a value a line.
        stem: what the one table, or that under a name that says nothing (`results`), goes by.
        called: the file's name for people.
        notes: gets a line for what is no record, for several tables and for what is left out.

    Raises:
        RenewalError: it is not JSON.
    """
    whole = _parsed(text, called, notes)
    tables: dict[str, list[Record]] = {}
    for name, rows in _tables(whole, stem):
        tables.setdefault(name, []).extend(rows)
    if not tables and isinstance(whole, dict) and whole:
        tables = {stem: _turned(whole)}
    within: dict[str, None] = {}
    flat = {name: [dict(_flat(row, within)) for row in rows] for name, rows in tables.items()}
    if len(flat) > 1:
        notes.append(f"{called}: {', '.join(flat)} are read as a file each")
    if within:
        notes.append(f"{called}: lists of records inside records are not read: {', '.join(within)}")
    return flat


def _parsed(text: str, called: str, notes: list[str]) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        fault = error
    values, broken = [], []
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip().rstrip(",")
        if not line.strip("[]"):
            continue
        try:
            values.append(json.loads(line))
        except json.JSONDecodeError as error:
            broken.append(f"line {number}: {error.msg} ({line[:60]})")
    if len(values) > len(broken) and all(isinstance(value, (dict, list)) for value in values):
        if broken:
            count = f"{len(broken)} lines are no records" if len(broken) > 1 else "a line is no record"
            notes.append(f"{called}: {count} and left out: {'; '.join(broken[:3])}")
        return values
    return _one_after_the_other(text, called, fault)


def _one_after_the_other(text: str, called: str, fault: json.JSONDecodeError) -> list[Any]:
    """Values with nothing or commas between them.

    Raises:
        RenewalError: one of them is broken, or the last is cut off.
    """
    decoder, at = json.JSONDecoder(), 0
    values: list[Any] = []
    while rest := text[at:].lstrip(" \t\r\n,]" if values else " \t\r\n["):
        at = len(text) - len(rest)
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            whole = f", behind {len(values):,} whole records" if values else ""
            raise RenewalError(
                expected=f"{called} to be JSON, whole or a record a line",
                found=f"{error if values else fault}{whole}",
                do="Export it again.",
            ) from error
        values.append(value)
    return values


def _tables(value: Any, name: str) -> Iterator[tuple[str, list[Record]]]:
    """Each list of records in a value, with the name that it goes by."""
    if isinstance(value, list):
        rows = [row for row in value if isinstance(row, dict)]
        if rows and all(map(_is_answer, rows)):
            for row in rows:
                yield from _tables(row, name)
        elif rows:
            yield name, rows
        elif value and all(isinstance(row, list) for row in value) and _are_names(value[0]):
            yield name, [dict(zip(value[0], row, strict=False)) for row in value[1:]]
    elif isinstance(value, dict):
        names = next((value[key] for key in _COLUMNS if _are_names(value.get(key))), None)
        lists = next((value[key] for key in _ROWS if _are_lists(value.get(key))), None)
        if names and lists:
            yield name, [dict(zip(names, row, strict=False)) for row in lists]
            return
        inner = [
            (name if key.lower() in _WRAPPERS else key, each)
            for key, each in value.items()
            if isinstance(each, (dict, list))
        ]
        tables = [table for key, each in inner for table in _tables(each, key)]
        if any(_is_id(key) for key in value) and not any(called == name for called, _ in tables):
            return  # one record, with lists in it
        alone = len({called for called, _ in tables}) == 1
        yield from ((name if alone and not _is_table(called) else called, rows) for called, rows in tables)


def _turned(whole: Record) -> list[Record]:
    """The records of an object without a list of them: by id, by column, or the object itself."""
    values = list(whole.values())
    if len(values) > 1 and all(isinstance(value, dict) and value for value in values):
        keys = list(dict.fromkeys(key for value in values for key in value))
        if all(map(str.isdigit, keys)):
            return [{name: column.get(key) for name, column in whole.items()} for key in keys]
        shared = sum(len(value) for value in values) / (len(keys) * len(values))
        if shared > 0.5:
            named = any(_is_id(key) for key in keys)
            return [value if named else {"id": key} | value for key, value in whole.items()]
    if len(values) > 1 and all(map(_are_scalars, values)) and len(set(map(len, values))) == 1:
        return [dict(zip(whole, row, strict=True)) for row in zip(*values, strict=True)]
    return [whole]


def _is_answer(row: Record) -> bool:
    """Whether an object only wraps the records a service was asked for, as each page of an answer does."""
    lists = [key for key in _ANSWERS if _are_records(row.get(key))]
    return bool(lists) and not any(_is_id(key) for key in row)


def _is_id(key: str) -> bool:
    return key.lower() == "id" or key.lower().endswith("_id") or key.endswith("Id")


def _is_table(name: str) -> bool:
    return name.lower() in TABLES


def _are_records(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _are_lists(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, list) for each in value)


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def _are_scalars(value: Any) -> bool:
    return isinstance(value, list) and not any(isinstance(each, (dict, list)) for each in value)


def _flat(row: Record, within: dict[str, None], before: str = "") -> Iterator[tuple[str, Any]]:
    """Nested values under joined names; lists of records inside as their ids, or not at all."""
    for name, value in row.items():
        path = before + name
        if isinstance(value, dict):
            if name == "attributes" and set(value) <= {"type", "url"}:
                continue  # Salesforce's, of the record itself
            yield from _flat(value, within, before if name in _AROUND_FIELDS else f"{path}.")
        elif isinstance(value, list) and value and _are_records(value):
            path = before.rstrip(".") if name in _AROUND_FIELDS and before else path
            if all("id" in each for each in value):
                yield f"{path}.id", [each["id"] for each in value]
            else:
                within[path] = None
        else:
            yield (before.rstrip(".") if name == "value" and before else path), value
