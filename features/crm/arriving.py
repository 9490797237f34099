"""Rows that arrive one by one, read just as a load reads them: same readings, same types, same faults.

Values written as the contract writes them, read without a database: events arrive one by one, and planning
a query for each costs a hundred times the reading.

Whatever is not written so is left to `features.crm.values`, which a test holds equal on what is.
"""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from features.crm.contract import TABLES, Column, Kind
from features.crm.reading.column_form import add_macros, strict_form
from features.crm.reading.nothing import is_nothing
from features.crm.values import (
    STORED_AS,
    Reading,
    as_text,
    fault,
    is_milli,
    quoted,
    read_in_layers,
    trimmed_text,
)
from features.errors import RenewalError

_TYPES = {
    "VARCHAR": pa.string(),
    "DOUBLE": pa.float64(),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
}
_END_OF_DAY = timedelta(hours=23, minutes=59, seconds=59, microseconds=999_999)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?Z?", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,12}(\.\d{1,6})?", re.ASCII)


class _OtherwiseError(Exception):
    """The value is written in another way, or is missing where it must not be."""


def read_plainly(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]]) -> pa.Table | None:
    """The rows as clean columns; None where any value is not written plainly or is missing wrongly."""
    try:
        return pa.table(
            {
                column.stored: pa.array(
                    [_read(column, as_text(row.get(column.name))) for row in rows],
                    _TYPES[_stored_as(column)],
                )
                for column in columns
            }
        )
    except _OtherwiseError:
        return None


def _stored_as(column: Column) -> str:
    return "BIGINT" if is_milli(column) else STORED_AS[column.kind]


def _read(column: Column, text: str | None) -> Any:
    if text is None and not column.required:
        return None
    if text is None:
        raise _OtherwiseError
    return _thousandths(text) if is_milli(column) else _READ[column.kind](text)


def _words(text: str) -> str:
    if (
        not text
        or not text.isprintable()
        or text[0] == " "
        or text[-1] == " "
        or ";" in text
        or is_nothing(text)
    ):
        raise _OtherwiseError
    return text


def _id(text: str) -> str:
    if text.endswith(".0") or not text.isascii():
        raise _OtherwiseError
    return _words(text)


def _parts(text: str, decimals: int) -> int:
    """The number in units of 10^-decimals, exactly."""
    if not _NUMBER.fullmatch(text):
        raise _OtherwiseError
    whole, _, fraction = text.lstrip("-").partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > decimals:
        raise _OtherwiseError
    units = int(whole + fraction.ljust(decimals, "0"))
    return -units if text.startswith("-") else units


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise _OtherwiseError
    return float(text)


def _thousandths(text: str) -> int:
    return _parts(text, 3)


def _duration(text: str) -> int:
    if text.startswith("-"):
        raise _OtherwiseError
    return _parts(text, 1) * 6


def _flag(text: str) -> bool:
    if text not in ("True", "False"):
        raise _OtherwiseError
    return text == "True"


def _moment(text: str) -> datetime:
    try:
        if _DAY.fullmatch(text):
            return _real(datetime.fromisoformat(text)) + _END_OF_DAY
        if _MOMENT.fullmatch(text):
            return _real(datetime.fromisoformat(text.removesuffix("Z")))
    except ValueError as error:
        raise _OtherwiseError from error
    raise _OtherwiseError


def _real(moment: datetime) -> datetime:
    """The moment, unless it may be one of those that stand for none."""
    if not 1970 < moment.year < 2099:
        raise _OtherwiseError
    return moment


def _date(text: str) -> datetime:
    if not _DAY.fullmatch(text):
        raise _OtherwiseError
    return _moment(text) - _END_OF_DAY


_READ: dict[Kind, Callable[[str], Any]] = {
    Kind.ID: _id,
    Kind.TEXT: _words,
    Kind.CATEGORY: _words,
    Kind.NUMBER: _number,
    Kind.WHOLE: lambda text: _parts(text, 0),
    Kind.MONEY: lambda text: _parts(text, 2),
    Kind.DURATION: _duration,
    Kind.FLAG: _flag,
    Kind.TIME: _moment,
    Kind.DATE: _date,
}


def values_lost(
    table: str, rows: Sequence[Mapping[str, Any]], read: pa.Table, faults: Sequence[str | None]
) -> list[dict[str, Any]]:
    """The values of sound rows that were sent and are not stored, each with `row`, `column`, `value`, `why`.

    Args:
        table: of the contract.
        rows: as JSON gives them.
        read, faults: as `Reader.read` gives them.
    """
    by_name = TABLES[table].by_name
    stored = {
        name: read[by_name[name].stored].is_valid().to_pylist()
        for name in {name for row in rows for name in row}
        if name in by_name
    }
    lost = []
    for at, row in enumerate(rows):
        for name, value in row.items() if faults[at] is None else ():
            text = as_text(value)
            if text is None or is_nothing(trimmed_text(text)) or stored.get(name, [False] * (at + 1))[at]:
                continue
            kind = f"is not a {by_name[name].kind.value}" if name in by_name else "is no column of the table"
            lost.append({"row": at, "column": name, "value": text[:80], "why": kind})
    return lost


class Reader:
    """Reads rows as JSON gives them into clean columns; made once, used from any thread."""

    def __init__(self) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET threads = 1")
        add_macros(self._connection)
        self._turn = threading.Lock()

    def read(self, table: str, rows: Sequence[Mapping[str, Any]]) -> tuple[pa.Table, list[str | None]]:
        """The rows as clean columns of the contract, and what is wrong with each (None: nothing).

        An optional value that can't be read costs the value, not the row: `values_lost` names it.

        Columns that the contract does not know are left out: an arrival is an event, and events carry none.

        Raises:
            RenewalError: there is no such table, or no row has any of its columns.
        """
        if table not in TABLES:
            raise RenewalError(
                expected=f"the name of a table ({', '.join(TABLES)})", found=repr(table), do="Rename it."
            )
        given = {name for row in rows for name in row}
        columns = [column for column in TABLES[table].columns if column.name in given or column.required]
        plainly = read_plainly(columns, rows)
        if plainly is not None:
            return plainly, [None] * len(rows)
        return self._read(columns, rows)

    def _read(
        self, columns: list[Column], rows: Sequence[Mapping[str, Any]]
    ) -> tuple[pa.Table, list[str | None]]:
        raw = pa.table(
            {
                column.name: pa.array([as_text(row.get(column.name)) for row in rows], pa.string())
                for column in columns
            }
        )
        readings = [self._reading(column, raw[column.name].to_pylist()) for column in columns]
        faults = [text for text in (fault(each, i) for i, each in enumerate(readings)) if text]
        picked = [f"__v{i} AS {quoted(column.stored)}" for i, column in enumerate(columns)]
        picked.append(f"concat_ws('; ', {', '.join(faults)}) AS __fault" if faults else "'' AS __fault")
        query = f"SELECT {', '.join(picked)} FROM ({read_in_layers(readings, 'arrived')})"
        with self._turn:
            self._connection.register("arrived", raw)
            read = self._connection.sql(query).to_arrow_table()
            self._connection.unregister("arrived")
        return read.drop_columns("__fault"), [
            fault_text or None for fault_text in read["__fault"].to_pylist()
        ]

    def _reading(self, column: Column, values: Sequence[str | None]) -> Reading:
        bare = Reading(column, column.name, pa.string())
        trimmed = [text for value in values if value is not None and (text := trimmed_text(value))]
        return Reading(column, column.name, pa.string(), form=strict_form(bare, trimmed))
