"""Models on a terminal."""

from perennial.print.text import Result, grid, money, number, print_grid, terminal


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
        f"served: {result['served']}; {result['positives']} of {result['rows']} "
        f"{'renewed' if 'renewal' in result['model'] else 'won'}, {result['snapshots']} snapshots."
    )
    figures = [
        _figures("served, on later data", result["forward"]),
        _figures("served, random", result["random"]),
    ]
    figures += [_figures(name, part) for name, part in result["baselines"].items()]
    out.print(grid("Figures", ("", ">AUC", ">log loss", ">Brier", ">ECE", ">n"), figures))
    out.print(
        grid(
            "Gates",
            ("gate", "passed", "why"),
            (
                (n, {True: "yes", False: "NO"}.get(g["passed"], "unknown"), g["why"])
                for n, g in result["gates"].items()
            ),
        )
    )
    if result["barred"]:
        out.print(grid("Barred columns", ("column", "why"), result["barred"].items()))
    for warning in result.get("warnings", ()):
        out.print(f"[yellow]note[/] {warning}")
    if result.get("card"):
        out.print(f"Card: {result['card']}")


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
            "; ".join(f"{one['gate']} by {one['by']}: {one['reason']}" for one in row["waived"]),
        )
        for row in result["models"]
    )
    columns = ("model", ">version", "alias", "trained", "served", "gates failed", "waived")
    print_grid(terminal(), "Models", columns, rows)


def churn_drivers(result: Result) -> None:
    """Churn drivers, or what lost deals have in common, by money, with the reasons that were stated."""
    out = terminal()
    rows = ((r.get("group", "all"), r["words"], r["subjects"], money(r["money"])) for r in result["drivers"])
    out.print(grid("Churn drivers", ("group", "driver", ">lost", ">money"), rows))
    stated = ((s["reason"], s["subjects"], money(s["money"])) for s in result["stated"])
    out.print(grid("Reasons that were stated", ("reason", ">lost", ">money"), stated))


def retrained(result: Result) -> None:
    """For each model: whether it was time, and what came of it."""
    for row in result["models"]:
        terminal().print(f"[bold]{row['kind']}[/]: {row['what']} ({row['why']})")
