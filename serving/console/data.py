"""What is said of data on a terminal."""

from rich.markup import escape

from serving.console.words import Result, day, grid, terminal


def simulated(result: Result) -> None:
    """What was written, and where the truth stands."""
    out = terminal()
    out.print(
        f"A simulated CRM is in [bold]{result['folder']}[/]; what is true of it is in truth.json there."
    )
    out.print(f"Next: perennial train renewal --crm {result['folder']}")


def quality(result: Result) -> None:
    """Rows kept and set aside for each table, then every reason with an example."""
    out = terminal()
    tables = result["tables"]
    out.print(
        grid(
            "Data quality",
            ("table", ">read", ">kept", ">quarantined", ">known later", "from", "to"),
            (
                (
                    name,
                    t["rows"],
                    t["kept"],
                    t["quarantined"],
                    t["left_out"],
                    day(t["first"]),
                    day(t["last"]),
                )
                for name, t in tables.items()
            ),
        )
    )
    for name, table in tables.items():
        for reason, found in table["reasons"].items():
            example = f", e.g. {found['examples'][0]}" if found["examples"] else ""
            out.print(f"  {name}: {found['count']} × {reason}{example}", markup=False)
    for warning in result["warnings"]:
        out.print(f"[yellow]note[/] {escape(warning)}")
    out.print(f"{result['rows']} rows read, {result['quarantined']} put aside; nothing was dropped silently.")


def features(result: Result) -> None:
    """The catalogue, one line a feature."""
    rows = ((f["name"], f["touchpoint"], f["unit"], f["collected"], f["words"]) for f in result["features"])
    terminal().print(
        grid(
            f"{len(result['features'])} features",
            ("feature", "touchpoint", "unit", "collected", "meaning"),
            rows,
        )
    )


def outcomes(result: Result) -> None:
    """How many outcomes were new, known already, or in conflict."""
    terminal().print(", ".join(f"{count} {name}" for name, count in result.items()))
