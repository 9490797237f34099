"""Experiments on a terminal."""

from collections.abc import Mapping
from typing import Any

from perennial.print.text import Result, absent, day, grid, percent, terminal

ARMS = {"advice": "advice", "usual": "usual practice"}


def experiment(result: Result) -> None:
    """One experiment: what is tried, the result so far, how sure, and what may bias it."""
    out = terminal()
    state = "open" if result["state"] == "open" else f"ended {day(result['ended_at'])}"
    out.print(
        f"[bold]{result['experiment']}[/] ({state}): {result['advice']} against usual practice, by "
        f"{result['cluster']}{', within ' + ', '.join(result['strata']) if result['strata'] else ''}, since "
        f"{day(result['begun_as_of'])}, seed {result['seed']}."
    )
    if "arms" not in result:
        return
    columns = (">accounts", ">clusters", ">joined", ">known", ">overdue", ">good outcome", ">treated")
    out.print(grid("Arms", ("arm", *columns), (_arm(name, result["arms"][name]) for name in ARMS)))
    out.print(f"[bold]{result['verdict']}[/]: {result['why']}.")
    treated = result["treated"]
    if not absent(treated["estimate"]):
        out.print(
            f"Of being treated, on those who follow the draw: {points(treated['estimate'])} "
            f"({points(treated['low'])} to {points(treated['high'])}); the draw changed treatment by "
            f"{points(result['uptake'])}."
        )
    chance = result["chance_to_find"]
    out.print(
        f"Outcomes known: {result['outcomes_known']:,} of {result['needed']:,} planned. Chance to have found "
        f"{points(result['gap'])} by now: {percent(chance['now'])}; once all who joined are known: "
        f"{percent(chance['joined'])}."
    )
    for words in result["contamination"]["words"]:
        out.print(f"[yellow]note[/] {words}")


def _arm(name: str, arm: Mapping[str, Any]) -> tuple[Any, ...]:
    counts = (f"{arm[one]:,}" for one in ("accounts", "clusters", "joined", "known", "overdue"))
    return (ARMS[name], *counts, percent(arm["rate"], 1), percent(arm["treated"]))


def points(share: float | None) -> str:
    """A difference of probabilities in points, signed."""
    return "–" if absent(share) else f"{100 * share:+.1f} points".replace("-", "−")  # type: ignore[operator]


def listed(result: Result) -> None:
    """All experiments, a line each."""
    out = terminal()
    if not result["experiments"]:
        out.print("No experiment was started yet; see `perennial experiment start --help`.")
        return
    rows = (
        (
            one["experiment"],
            one["state"],
            one["advice"],
            f"{one.get('outcomes_known', 0):,} of {one['needed']:,}",
            points((one.get("drawn") or {}).get("estimate")),
            one.get("verdict", "not looked at yet"),
        )
        for one in result["experiments"]
    )
    out.print(grid("Experiments", ("name", "state", "advice", ">known", ">drawn", "verdict"), rows))
