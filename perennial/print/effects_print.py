"""Effects on a terminal."""

from collections.abc import Iterable, Mapping
from typing import Any

from perennial.print.text import (
    ROWS_SHOWN,
    Result,
    absent,
    grid,
    in_currency,
    money,
    percent,
    print_figures,
    terminal,
)


def effects(result: Result) -> None:
    """Estimated beside raw rates, the best bucket, and which are not distinguishable from it."""
    out = terminal()
    rows = (
        (
            row.get("group", "all"),
            row["bucket"],
            percent(row["estimate"], 1),
            f"{percent(row['low'], 1)}–{percent(row['high'], 1)}" if not absent(row["low"]) else "can't tell",
            percent(row["raw"], 1),
            f"{row['n']:,}",
            row["outcome"],
        )
        for row in result["rows"]
    )
    columns = ("group", "choice", ">estimated", ">95 % interval", ">raw rate", ">n", "outcome")
    print_figures(out, "Estimated effect beside the raw rate", columns, list(rows))
    for group, best in result["best"].items():
        alike = ", ".join(result["indistinguishable"].get(group) or ())
        out.print(
            f"{group}: " + (f"best [bold]{best}[/]; not distinguishable: {alike}" if best else "can't tell")
        )
    if result.get("experiments"):
        heads = ("experiment", "group", "choice", ">by experiment", ">by observation", ">both")
        lines = map(_found, result["experiments"])
        print_figures(out, "What experiments found, over usual practice (95 %)", heads, list(lines))
    _notes(result)


def _found(line: Mapping[str, Any]) -> tuple[Any, ...]:
    cells = (
        "–" if one is None else f"{_points(one['estimate'])} ({_span(one)})"
        for one in (line["drawn"], line["observed"], line["both"])
    )
    return (line["experiment"], line["group"], line["bucket"], *cells)


def plan(result: Result) -> None:
    """What to do with each contract, those to act on first at the top."""
    out = terminal()
    rows = result["rows"]
    advised = [row for row in rows if row["window"]]
    out.print(
        f"As of {result['as_of']}: {len(rows):,} contracts end within 180 days; a time for first contact is "
        f"advised for [bold]{len(advised):,}[/]."
    )
    if advised:
        worth = f">{in_currency('worth', result)}"
        columns = ("contract", "customer", "ends", "window", "act from", "act by", ">gain", worth, ">95 %")
        title = "By when to act (gain: points of probability)"
        print_figures(out, title, columns, list(map(_planned, advised[:ROWS_SHOWN])))
        if len(advised) > ROWS_SHOWN:
            out.print(f"… and {len(advised) - ROWS_SHOWN:,} more; --out writes all.")
    for why, count in _reasons(rows):
        out.print(f"{count:,} without advice: {why}")
    _notes(result)


def _planned(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        row["contract_id"],
        row["account_name"] or row["account_id"],
        row["ends_on"],
        "keep the one planned" if row["planned"] == row["window"] else row["window"],
        row["act_from"] or "–",
        row["act_by"] or "–",
        _points(row["gain"]),
        money(row["worth"]),
        _span(row),
    )


def _reasons(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Why nothing is advised, most frequent first; what differs by contract only in figures counts as one."""
    counts: dict[str, int] = {}
    for row in rows:
        if row["window"] is None:
            why = "first contact of this run-up was already made" if row["contacted_on"] else row["why"]
            why = "can't tell: what looks best may be chance" if "may be chance" in why else why
            counts[why] = counts.get(why, 0) + 1
    return sorted(counts.items(), key=lambda each: -each[1])


def value(result: Result) -> None:
    """The money, the policy, and how to check it."""
    out = terminal()
    if result["money"] is None:
        out.print(result["why"])
    else:
        out.print(
            f"As of {result['as_of']}: following the advice for {result['advised']:,} of "
            f"{result['contracts']:,} coming renewals that were not yet contacted is worth "
            f"[bold]{money(result['money'])}[/] ({money(result['low'])} to {money(result['high'])}, 95 %): "
            f"{result['gain']:.1f} more renewals."
        )
    if result["rows"]:
        amount, worth = (f">{in_currency(name, result)}" for name in ("value", "worth"))
        columns = ("group", "first contact", ">contracts", amount, ">gain each", worth)
        further = (">95 %", "calls", "may be as good")
        title = "The policy (gain: points of probability)"
        print_figures(out, title, (*columns, *further), list(map(_line, result["rows"])))
    if result["experiment"]:
        out.print(f"To check it: {result['experiment']['why']} (`perennial effects experiment`).")
    _notes(result)


def _line(line: Mapping[str, Any]) -> tuple[Any, ...]:
    also = [bucket for bucket in line["alike"] if bucket != line["window"]]
    return (
        line["group"],
        line["window"] or "can't tell",
        f"{line['contracts']:,}",
        money(line["amount"]),
        _points(line["gain_each"]),
        money(line["money"]),
        "–" if absent(line["low"]) else f"{money(line['low'])} to {money(line['high'])}",
        ", ".join(line["calls"]) or "can't tell",
        ", ".join(also) if line["window"] else "–",
    )


def experiment(result: Result) -> None:
    """Who takes part, how many, for how long."""
    out = terminal()
    out.print(f"Who takes part: {result['whom']}.")
    out.print("Drawn at random, whole accounts at a time:")
    for arm in result["arms"]:
        out.print(f"  half: {arm}", markup=False)
    out.print(f"How many, how long: [bold]{result['why']}[/].")
    out.print(
        f"{result['accounts_each']:,} accounts in each arm; {result['a_month']:,.0f} contracts a month can "
        f"join, {result['waiting']:,} today. Chance to find the difference {percent(result['power'])}, to "
        f"find one that is not there {percent(result['level'])}; {percent(result['kept'])} treated as "
        "drawn."
    )
    columns = (">difference", ">contracts in each arm", ">months to enrol", ">months to the answer")
    rows = (
        (
            _points(row["gap"]),
            f"{row['contracts_each']:,}",
            _months(row["enrol_months"]),
            _months(row["months_to_answer"]),
        )
        for row in result["rows"]
    )
    out.print(grid("For other differences", columns, rows))


def _months(count: float | None) -> str:
    return "–" if absent(count) else f"{count:.0f}"


def _points(share: float | None) -> str:
    """A difference of shares in points."""
    return "–" if absent(share) else f"{100 * share:+.1f}".replace("-", "−")  # type: ignore[operator]


def _span(row: Mapping[str, Any]) -> str:
    return "–" if absent(row["low"]) else f"{_points(row['low'])} to {_points(row['high'])}"


def _notes(result: Result) -> None:
    for note in result.get("notes", ()):
        terminal().print(f"[yellow]note[/] {note}")
