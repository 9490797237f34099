"""Models on a terminal."""

from rich.markup import escape

from perennial.print.text import (
    Result,
    day,
    grid,
    in_currency,
    money,
    number,
    percent,
    print_figures,
    print_grid,
    short,
    terminal,
)
from training.churn_drivers import FEWEST

_PASSED = {True: "yes", False: "[bold red]NO[/]"}


def _figures(name: str, figures: Result | None) -> tuple[str, ...]:
    if figures is None:
        return (name, "–", "–", "–", "–", "–")
    return (
        name,
        *(number(figures.get(key)) for key in ("auc", "log_loss", "brier", "ece")),
        str(figures["n"]),
    )


def trained(result: Result) -> None:
    """What is served, how good it was on later data beside the baselines, and how the gates judged it."""
    out = terminal()
    out.print(
        f"[bold]{result['model']}[/] version {result['version']} is [bold]{result['alias']}[/]; "
        f"served: {result['served']}; {result['positives']:,} of {result['rows']:,} "
        f"{'renewed' if 'renewal' in result['model'] else 'won'}, {result['snapshots']:,} snapshots."
    )
    _how_good(result)
    _gates(result["gates"])
    if result["barred"]:
        print_grid(out, "Barred columns", ("column", "why"), list(result["barred"].items()))
    for warning in result.get("warnings", ()):
        out.print(f"[yellow]note[/] {warning}")
    if result.get("card"):
        out.print("Card:")
        out.print(f"  {result['card']}", soft_wrap=True, markup=False)
    out.print(f"Next: perennial score {result['model'].removeprefix('perennial-')}")


def _how_good(result: Result) -> None:
    figures = [
        _figures("served, on later data", result["forward"]),
        _figures("served, random", result["random"]),
    ]
    figures += [_figures(name, part) for name, part in result["baselines"].items()]
    terminal().print(grid("Figures", ("", ">AUC", ">log loss", ">Brier", ">ECE", ">n"), figures))


def _gates(gates: Result) -> None:
    lines = (
        (name, _PASSED.get(gate["passed"], "unknown"), escape(gate["why"])) for name, gate in gates.items()
    )
    print_grid(terminal(), "Gates", ("gate", "passed", "why"), list(lines))


def shown(result: Result) -> None:
    """One version: its facts, how good it was, its gates and who waived one, and how it was found."""
    out = terminal()
    alias = result["alias"] or "no alias"
    out.print(
        f"[bold]{result['model']}[/] version {result['version']} ([bold]{alias}[/]), trained "
        f"{day(result['trained_at'])}; served: {result['served']}."
    )
    card = result["result"]
    if card.get("period"):
        counts = f"{card['positives']:,} of {card['rows']:,}, {card['snapshots']:,} snapshots"
        out.print(f"Learned from {card['period']['from']} to {card['period']['to']}: {counts}.")
    if card.get("baselines"):
        _how_good(card)
    if result["gates"]:
        _gates(result["gates"])
    for one in result["waived"]:
        out.print(f"[yellow]waived[/] {escape(one['gate'])} by {escape(one['by'])}: {escape(one['reason'])}")
    for column, why in (card.get("barred") or {}).items():
        out.print(f"[yellow]barred[/] {escape(column)}: {escape(why)}")
    params = (
        (name.replace("_", " "), escape(short(value))) for name, value in result["params"].items() if value
    )
    out.print(grid("How it was found", ("setting", "value"), params))
    out.print("All that is known of it: --json. Its card:")
    out.print(f"  {result['folder']}/card.html", soft_wrap=True, markup=False)


def models(result: Result) -> None:
    """The registered versions, newest first, with the gates that each failed."""
    if not result["models"]:
        terminal().print("No model yet. Run perennial train renewal.")
        return
    rows = (
        (
            row["model"].removeprefix("perennial-"),
            row["version"],
            row["alias"] or "",
            row["trained_at"][:16].replace("T", " "),
            row["served"] or "",
            ", ".join(name for name, gate in row["gates"].items() if gate["passed"] is False) or "none",
            "; ".join(f"waived {one['gate']}, by {one['by']}: {one['reason']}" for one in row["waived"]),
        )
        for row in result["models"]
    )
    columns = ("model", ">version", "alias", "trained", "served", "gates failed", "waived")
    print_grid(terminal(), "Models", columns, rows)


def churn_drivers(result: Result) -> None:
    """Churn drivers, or what lost deals have in common, by money, with the reasons that were stated."""
    out = terminal()
    amount = in_currency("money", result)
    if not result["drivers"]:
        out.print(
            f"No group has lost {FEWEST} or more in the last year: too few for drivers. Ask without --by."
        )
        return
    lost = (
        (r["group"], f"{r['subjects']:,}", money(r["money"]), percent(r["share"])) for r in result["lost"]
    )
    columns = ("group", ">lost", f">{amount}", ">of those decided")
    print_figures(out, "Lost in the last 365 days", columns, list(lost))
    group = () if result["by"] is None else ("group",)
    columns = (*group, ">lost", f">{amount}")
    rows = [_driver(row, group, row["words"]) for row in result["drivers"]]
    print_grid(out, "What the model counted against them", (*columns, "driver"), rows)
    stated = [_driver(row, group, row["reason"]) for row in result["stated"]]
    print_grid(out, "Reasons that were stated", (*columns, "reason"), stated)


def _driver(row: Result, group: tuple[str, ...], words: str) -> tuple[str, ...]:
    return (*(row[name] for name in group), f"{row['subjects']:,}", money(row["money"]), escape(words))


def retrained(result: Result) -> None:
    """For each model: whether it was time, and what came of it."""
    for row in result["models"]:
        terminal().print(f"[bold]{row['kind']}[/]: {row['what']} ({row['why']})")
