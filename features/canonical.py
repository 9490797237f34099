"""Values written as the contract writes them, read without a database: events arrive one by one, and planning
a query for each costs a hundred times the reading.

Whatever is not written so is left to `features.casting`, which a test holds equal on what is.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from features.casting import STORED_AS, as_text
from features.tables import Column, Kind

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
    found = int(whole + fraction.ljust(decimals, "0"))
    return -found if text.startswith("-") else found


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
