"""Effects on a terminal."""

from serving.console.words import Result, absent, grid, percent, terminal


def effects(result: Result) -> None:
    """Estimated beside raw rates, the best bucket, and which cannot be told from it."""
    out = terminal()
    rows = (
        (
            row.get("group", "all"),
            row["bucket"],
            percent(row["estimate"], 1),
            f"{percent(row['low'], 1)}–{percent(row['high'], 1)}" if not absent(row["low"]) else "can't tell",
            percent(row["raw"], 1),
            row["n"],
            row["outcome"],
        )
        for row in result["rows"]
    )
    columns = ("group", "bucket", ">estimated", ">95 % interval", ">raw rate", ">n", "outcome")
    out.print(grid("Estimated effect beside the raw rate", columns, rows))
    for group, best in result["best"].items():
        alike = ", ".join(result["indistinguishable"].get(group) or ())
        out.print(
            f"{group}: " + (f"best [bold]{best}[/]; not distinguishable: {alike}" if best else "can't tell")
        )
    for note in result.get("notes", ()):
        out.print(f"[yellow]note[/] {note}")
