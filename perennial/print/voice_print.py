"""What customers say on a terminal."""

from collections.abc import Mapping
from typing import Any

from perennial.print.text import Result, absent, grid, number, percent, print_grid, terminal


def kpis(result: Result) -> None:
    """The mean of the answers beside everybody asked, and what the silent would say."""
    out = terminal()
    columns = ("KPI", "group", ">asked", ">answered", ">answers say", ">everybody (90 %)")
    print_grid(out, "What customers say", (*columns, "the silent"), map(_line, result["rows"]))
    for note in result["notes"]:
        out.print(f"[yellow]note[/] {note}")


def _line(row: Mapping[str, Any]) -> tuple[Any, ...]:
    digits = 0 if row["kpi"] == "NPS" else 2
    low, high = number(row["low"], digits), number(row["high"], digits)
    span = "–" if absent(row["low"]) else f"{number(row['estimate'], digits)} ({low} to {high})"
    silent, worse = (number(row[name], digits) for name in ("silent", "if_worse"))
    ends = f"the silent {silent}, {worse} if they are worse"
    counts = (f"{row['asked']:,}", percent(row["response_rate"]))
    group = "everybody" if row["dimension"] == "all" else f"{row['dimension']} {row['group']}"
    return (row["kpi"], group, *counts, number(row["raw"], digits), span, ends)


def customer(result: Result) -> None:
    """Each KPI of the last quarter that tells, and what moves it."""
    out = terminal()
    last = {row["kpi"]: row for row in result["series"] if row["value"] is not None}
    lines = [_kpi_line(kpi, last.get(kpi["kpi"])) for kpi in result["kpis"]]
    out.print(grid("Customer KPIs", ("KPI", "team", "quarter", ">value (90 %)", ">n"), lines))
    whole = [row for row in result["movers"] if row["dimension"] == "all"]
    moved = [row for row in result["movers"] if row["verdict"] != "can't tell"]
    columns = ("KPI", "touchpoint", "for", ">difference", ">plain", "verdict")
    out.print(grid("Which touchpoints move them", columns, map(_mover_line, moved)))
    unsure = sum(row["verdict"] == "can't tell" for row in whole)
    out.print(f"can't tell of {unsure} of {len(whole)} touchpoints for everybody; --json gives the reasons")
    for note in result["notes"]:
        out.print(f"[yellow]note[/] {note}")


def _kpi_line(kpi: Mapping[str, Any], row: Mapping[str, Any] | None) -> tuple[Any, ...]:
    name = f"{kpi['kpi']} ({kpi['unit']})"
    if row is None:
        return (name, kpi["team"], "–", kpi["why"] or "too little data", "–")
    shown = percent if kpi["unit"] == "share" else number
    ends = f"{shown(row['value'], 1)} ({shown(row['low'], 1)} to {shown(row['high'], 1)})"
    return (name, kpi["team"], row["quarter"], ends, f"{row['n']:,}")


def _mover_line(row: Mapping[str, Any]) -> tuple[Any, ...]:
    shown = percent if row["unit"] == "share" else number
    ends = f"{shown(row['estimate'], 2)} ({shown(row['low'], 2)} to {shown(row['high'], 2)})"
    who = "everybody" if row["dimension"] == "all" else f"{row['dimension']} {row['group']}"
    return (row["kpi"], row["touchpoint"], who, ends, shown(row["raw"], 2), f"{row['verdict']} it")
