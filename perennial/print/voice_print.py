"""What customers say on a terminal."""

from collections.abc import Mapping
from typing import Any

from perennial.print.text import Result, absent, grid, number, percent, terminal


def kpis(result: Result) -> None:
    """The mean of the answers beside everybody asked, and what the silent would say."""
    out = terminal()
    columns = ("KPI", "by", "group", ">asked", ">answered", ">answers say", ">everybody (90 %)")
    ends = (">the silent", ">if they are worse")
    out.print(grid("What customers say", (*columns, *ends), map(_line, result["rows"])))
    for note in result["notes"]:
        out.print(f"[yellow]note[/] {note}")


def _line(row: Mapping[str, Any]) -> tuple[Any, ...]:
    digits = 0 if row["kpi"] == "NPS" else 2
    low, high = number(row["low"], digits), number(row["high"], digits)
    span = "–" if absent(row["low"]) else f"{number(row['estimate'], digits)} ({low} to {high})"
    ends = (number(row["silent"], digits), number(row["if_worse"], digits))
    counts = (f"{row['asked']:,}", percent(row["response_rate"]))
    return (row["kpi"], row["dimension"], row["group"], *counts, number(row["raw"], digits), span, *ends)
