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
from features.crm.values import STORED_AS, Reading, add_macros, as_text, fault, quoted, read_in_layers
from features.errors import RenewalError

_TYPES = {
    "VARCHAR": pa.string(),
    "DOUBLE": pa.float64(),
    "BIGINT": pa.int64(),
    "BOOLEAN": pa.bool_(),
    "TIMESTAMP": pa.timestamp("us"),
}
_SPACE = " \t\n\r\xa0"
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
    return "BIGINT" if _is_milli(column) else STORED_AS[column.kind]


def _is_milli(column: Column) -> bool:
    return column.kind is Kind.NUMBER and column.stored != column.name


def _read(column: Column, text: str | None) -> Any:
    if text is None and not column.required:
        return None
    if text is None:
        raise _OtherwiseError
    return _thousandths(text) if _is_milli(column) else _READ[column.kind](text)


def _words(text: str) -> str:
    if not text or text[0] in _SPACE or text[-1] in _SPACE:
        raise _OtherwiseError
    return text


def _id(text: str) -> str:
    if text.endswith(".0"):
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


def _flag(text: str) -> bool:
    if text not in ("True", "False"):
        raise _OtherwiseError
    return text == "True"


def _moment(text: str) -> datetime:
    try:
        if _DAY.fullmatch(text):
            return datetime.fromisoformat(text) + _END_OF_DAY
        if _MOMENT.fullmatch(text):
            return datetime.fromisoformat(text.removesuffix("Z"))
    except ValueError as error:
        raise _OtherwiseError from error
    raise _OtherwiseError


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
    Kind.DURATION: lambda text: _parts(text, 1) * 6,
    Kind.FLAG: _flag,
    Kind.TIME: _moment,
    Kind.DATE: _date,
}


class Reader:
    """Reads rows as JSON gives them into clean columns; made once, used from any thread."""

    def __init__(self) -> None:
        self._connection = duckdb.connect()
        self._connection.execute("SET threads = 1")
        add_macros(self._connection)
        self._turn = threading.Lock()

    def read(self, table: str, rows: Sequence[Mapping[str, Any]]) -> tuple[pa.Table, list[str | None]]:
        """The rows as clean columns of the contract, and what is wrong with each (None: nothing).

        Columns that the contract does not know are left out: an arrival is an event, and events carry none.

        Raises:
            RenewalError: there is no such table, or no row has any of its columns.
        """
        if table not in TABLES:
            raise RenewalError(
                expected=f"a table of the contract ({', '.join(TABLES)})", found=repr(table), do="Rename it."
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
        readings = [Reading(column, column.name, pa.string()) for column in columns]
        faults = [
            fault_text for fault_text in (fault(each, i) for i, each in enumerate(readings)) if fault_text
        ]
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
