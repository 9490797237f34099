"""The rows of a CSV text, one by one: a broken quote costs its line, and not what comes after it."""

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LONGEST = 200
"""Lines that one row may span: a quote that is still open then was never meant to open."""


@dataclass(frozen=True)
class Row:
    """One row: where it begins, its text without the line's end, and its values.

    Args:
        line: from 1.
        text: as it is in the file.
        values: None where quotes are broken.
        ended: whether a line's end follows.
    """

    line: int
    text: str
    values: list[str] | None
    ended: bool = True


def rows_of(lines: Iterable[str], delimiter: str) -> Iterator[Row]:
    """The rows of lines that keep their ends (of whichever kind); empty lines have no values.

    Args:
        lines: of a text file opened with `newline=""`.
        delimiter: one character.
    """
    source, ahead, number = iter(lines), deque[str](), 0
    while True:
        line = ahead.popleft() if ahead else next(source, None)
        if line is None:
            return
        number += 1
        text, ended = line.rstrip("\r\n"), line.endswith(("\r", "\n"))
        if '"' not in text:
            yield Row(number, text, text.split(delimiter) if text else [], ended)
            continue
        values, more = _values(text, delimiter), 0
        while values is _OPEN and more < _LONGEST:
            if more == len(ahead):
                following = next(source, None)
                if following is None:
                    break
                ahead.append(following)
            text += "\n" + ahead[more].rstrip("\r\n")
            more += 1
            values = _values(text, delimiter)
        if values is None or values is _OPEN:
            yield Row(number, line.rstrip("\r\n"), None, ended)
            continue
        yield Row(number, text, values, ended)
        for _ in range(more):
            ended = ahead.popleft().endswith(("\r", "\n"))
        number += more


_OPEN: list[str] = []
"""Stands for a row whose last quote is not closed yet."""


def _values(text: str, delimiter: str) -> list[str] | None:
    """A row's values; None where quotes are broken, `_OPEN` where the last one is not closed."""
    for escape in (None, "\\"):
        try:
            records = list(
                csv.reader(
                    [text],
                    delimiter=delimiter,
                    strict=True,
                    escapechar=escape,
                    skipinitialspace=delimiter != "\t",
                )
            )
            return records[0] if len(records) == 1 else None
        except csv.Error as error:
            if "unexpected end" in str(error):
                return _OPEN
            if "\\" not in text:
                return None
    return None


def as_line(values: list[str], delimiter: str) -> str:
    """A row's values as one row of CSV, every value in quotes."""
    return delimiter.join('"' + value.replace('"', '""') + '"' for value in values)
