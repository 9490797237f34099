"""What customers say on a terminal."""

from collections.abc import Mapping
from typing import Any

from perennial.print.text import Result, absent, number, percent, print_figures, print_grid, terminal
from serving.pages.kpi_charts import figure_words


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
    """Each KPI of the last quarter with data, and what moves it."""
    out = terminal()
    last = {row["kpi"]: row for row in result["series"] if row["value"] is not None}
    lines = [_kpi_line(kpi, last.get(kpi["kpi"])) for kpi in result["kpis"]]
    print_grid(out, "Customer KPIs", ("KPI", "team", "quarter", ">value (90 %)", ">n", ""), lines)
    whole = [row for row in result["movers"] if row["dimension"] == "all"]
    moved = [row for row in result["movers"] if row["verdict"] != "can't tell"]
    columns = ("KPI", "touchpoint", "verdict", "for", ">plain", ">difference (95 %)")
    if moved:
        print_figures(out, "Which touchpoints move them", columns, list(map(_mover_line, moved)))
    else:
        out.print("No touchpoint moves a KPI beyond chance and beyond what records may miss.")
    unsure = sum(row["verdict"] == "can't tell" for row in whole)
    out.print(f"Of {len(whole)} touchpoints and KPIs {unsure} have no estimate; --json says why.")
    for note in result["notes"]:
        out.print(f"[yellow]note[/] {note}")


def _kpi_line(kpi: Mapping[str, Any], row: Mapping[str, Any] | None) -> tuple[Any, ...]:
    name = kpi["kpi"] if kpi["unit"] in ("share", "hours") else f"{kpi['kpi']} ({kpi['unit']})"
    if row is None:
        return (name, kpi["team"], "–", "–", "–", kpi["why"] or "too little data")
    value, low, high = (figure_words(row[part], kpi["unit"]) for part in ("value", "low", "high"))
    return (name, kpi["team"], row["quarter"], f"{value} ({low} to {high})", f"{row['n']:,}", "")


def _mover_line(row: Mapping[str, Any]) -> tuple[Any, ...]:
    figures = (
        figure_words(row[part], row["unit"], signed=True) for part in ("estimate", "low", "high", "raw")
    )
    estimate, low, high, plain = figures
    who = "everybody" if row["dimension"] == "all" else f"{row['dimension']} {row['group']}"
    return (
        row["kpi"],
        row["touchpoint"],
        f"{row['verdict']} it",
        who,
        plain,
        f"{estimate} ({low} to {high})",
    )
