"""How numbers and tables read on a terminal."""

import math
import os
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

Result = dict[str, Any]
BAND_STYLE = {"at risk": "bold red", "watch": "yellow", "safe": "green", "cold": "blue", "warm": "yellow"}
VERDICT_STYLE = {"alert": "bold red", "unknown": "yellow", "ok": "green"}
ROWS_SHOWN = 20
GAP = 2
"""Blanks between two columns."""

WIDE = 110
"""Columns of a terminal from which on words stand beside figures."""


def terminal() -> Console:
    """Where the commands print."""
    # A terminal wraps as wide as it is; a pipe gets whole lines, unless COLUMNS says how wide.
    console = Console(highlight=False)
    is_wide = not console.is_terminal and "COLUMNS" not in os.environ
    return Console(highlight=False, width=150) if is_wide else console


def percent(value: float | None, digits: int = 0) -> str:
    """A share as a percentage, or a dash where there is none."""
    return "–" if absent(value) else f"{100 * value:.{digits}f} %"  # type: ignore[operator]


def money(value: float | None) -> str:
    """An amount in whole units, thousands set apart."""
    return "–" if absent(value) else f"{value:,.0f}"


def number(value: float | None, digits: int = 3) -> str:
    """A figure, or a dash where there is none."""
    return "–" if absent(value) else f"{value:.{digits}f}"


def absent(value: Any) -> bool:
    """Whether there is no value: None or NaN."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def grid(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Table:
    """A table; columns whose name starts with `>` are set to the right, `!`: never cut."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(
            column.lstrip(">").lstrip("!"),
            justify="right" if column.startswith(">") else "left",
            no_wrap=column.startswith(("!", ">!")),
            overflow="fold",  # a cell that is cut says nothing
        )
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    return table


def print_grid(out: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table whose last column is words: where the terminal is narrow they go below their row instead.

    What does not fit beside them then goes below too, under its column's name: no figure is ever cut.
    """
    if out.width >= WIDE:
        out.print(grid(title, columns, rows))
        return
    cells = [[str(cell) for cell in row] for row in rows]
    beside = _beside(columns[:-1], cells, out.width)
    with out.capture() as captured:
        whole = [f"{'>' * columns[at].startswith('>')}!{_name(columns[at])}" for at in beside]
        out.print(grid(title, whole, ([row[at] for at in beside] for row in cells)))
    lines = captured.get().rstrip("\n").split("\n")
    head, body = lines[: len(lines) - len(cells)], lines[len(lines) - len(cells) :]
    for line in head:
        out.out(line, highlight=False)
    below = [at for at in range(len(columns) - 1) if at not in beside]
    for line, row in zip(body, cells, strict=True):
        out.out(line, highlight=False)
        words = [f"{_name(columns[at])} {row[at]}" for at in below if row[at] not in ("", "–")]
        if text := "; ".join([*words, row[-1]] if row[-1] else words):
            out.print(Padding(text, (0, 0, 0, 4)), style="dim")


def print_figures(out: Console, title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table without words: what does not fit side by side goes below its row, under its column's name."""
    print_grid(out, title, (*columns, ""), ((*row, "") for row in rows))


def _name(column: str) -> str:
    return column.lstrip(">").lstrip("!")


def _beside(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """The columns that fit side by side without being cut: the widest that are not the first go."""
    widths = {
        at: max([len(_name(name)), *(Text.from_markup(row[at]).cell_len for row in rows)])
        for at, name in enumerate(columns)
    }
    while len(widths) > 1 and sum(widths.values()) + GAP * (len(widths) - 1) > width:
        del widths[max(list(widths)[1:], key=lambda at: (widths[at], at))]
    return list(widths)


def in_currency(column: str, result: Result) -> str:
    """A column of money with the currency that all of it is in, where the data say."""
    return f"{column}, {result['currency']}" if result.get("currency") else column


def day(moment: str | None) -> str:
    """The day of an ISO moment, or a dash."""
    return (moment or "–")[:10]


def short(value: Any) -> str:
    """A value in one line."""
    if isinstance(value, list):
        return ", ".join(map(short, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and abs(value) >= 1000:
        return f"{value:,.2f}".removesuffix(".00")
    return f"{value:.4g}" if isinstance(value, float) else str(value)
