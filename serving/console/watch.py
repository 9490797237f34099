"""What the checks and the journey say, on a terminal."""

from serving.console.words import VERDICT_STYLE, Result, grid, number, percent, terminal


def monitored(result: Result) -> None:
    """The verdict, then every check that is not ok, then how many are."""
    out = terminal()
    out.print(f"Verdict: [{VERDICT_STYLE[result['verdict']]}]{result['verdict']}[/]")
    telling = [check for check in result["checks"] if check["verdict"] != "ok"]
    fine = len(result["checks"]) - len(telling)
    rows = (
        (
            f"[{VERDICT_STYLE[check['verdict']]}]{check['verdict']}[/]",
            check["name"],
            check.get("segment") or "",
            number(check.get("value")),
            number(check.get("threshold")),
            check["why"],
        )
        for check in sorted(telling, key=lambda check: check["verdict"])[:40]
    )
    if telling:
        out.print(grid("", ("verdict", "check", "segment", ">value", ">limit", "why"), rows))
    out.print(f"{fine} checks are ok.")
    if result.get("html"):
        out.print(f"Report: {result['html']}")


def journey(result: Result) -> None:
    """Rates by stage and segment, and the stage at which a gap opens."""
    out = terminal()
    rows = (
        (r["stage"], r["attribute"], r["segment"], percent(r["rate"], 1), number(r["ratio"], 2), r["n"])
        for r in result["rows"]
    )
    out.print(grid("Journey", ("stage", "attribute", "segment", ">rate", ">ratio to best", ">n"), rows))
    for gap in result["gaps"]:
        out.print(f"[bold]Gap[/] {gap['why']}")
