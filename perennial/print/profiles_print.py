"""Profiles and the targeting list on a terminal."""

from rich.markup import escape

from perennial.print.text import ROWS_SHOWN, Result, absent, grid, money, number, percent, terminal


def profiles(result: Result) -> None:
    """Profiles in words with the lift of each outcome on later data."""
    out = terminal()
    if not result["profiles"]:
        out.print("No profile holds up on the later data.")
    for place, profile in enumerate(result["profiles"], start=1):
        out.print(
            f"[bold]{place}. {escape(profile['rule'])}[/] ({profile['accounts']} accounts, "
            f"{percent(profile['share'])}; measured on {profile['n']})"
        )
        for name, part in profile["outcomes"].items():
            interval = f"{number(part['low'], 2)} to {number(part['high'], 2)}"
            values = f"{number(part['value'], 2)} against {number(part['everyone'], 2)}"
            lift = f"lift {number(part['lift'], 2)} ({interval})"
            text = "too few seen" if absent(part["lift"]) else f"{values}, {lift}"
            out.print(f"   {name}: {text}")
    for note in result.get("notes", ()):
        out.print(f"[yellow]note[/] {escape(note)}")


CARD = (
    ("who", "who they are"),
    ("buys", "what they buy"),
    ("channels", "what answers them"),
    ("when", "when (UTC)"),
    ("support", "the support they need"),
    ("values", "what they value in surveys"),
)


def personas(result: Result) -> None:
    """A card a profile: figures of its accounts beside everybody's."""
    out = terminal()
    if not result["personas"]:
        out.print("No profile holds up on the later data, so there is nobody to draw a card of.")
    for place, one in enumerate(result["personas"], start=1):
        out.print(
            f"[bold]{place}. {escape(one['rule'])}[/] ({one['accounts']} accounts, {percent(one['share'])})"
        )
        for name, words in CARD:
            figures = "; ".join(f"{f['words']} {f['inside']} (everyone {f['everyone']})" for f in one[name])
            out.print(f"   {words}: {escape(figures) or 'too little is known'}")
    for note in result.get("notes", ()):
        out.print(f"[yellow]note[/] {escape(note)}")


def targets(result: Result) -> None:
    """The head of the targeting list, what it would have caught, and whom it leaves out."""
    out = terminal()
    rows = result["rows"][:ROWS_SHOWN]
    lines = (
        (
            escape(str(row["id"])),
            escape(str(row.get("name") or "")),
            row["kind"],
            percent(row["fit"]),
            money(row.get("value_per_hour")),
            money(row.get("expected_value")),
            number(row.get("expected_effort_hours"), 1),
            escape(row.get("profile") or "; ".join(r["words"] for r in row["reasons"][:2])),
        )
        for row in rows
    )
    columns = (
        "id",
        "name",
        "kind",
        ">fit",
        ">value per rep hour",
        ">expected value",
        ">hours",
        "profile, or why",
    )
    out.print(grid(f"Targets: first {len(rows)} of {len(result['rows'])}", columns, lines))
    if not absent(result.get("conversions_caught")):
        out.print(
            f"On {result['later_deals']} later deals the first {percent(result['share_listed'])} of the list "
            f"held {percent(result['conversions_caught'])} of the wins and {percent(result['value_caught'])} "
            f"of their money, and brought {number(result['band_ratio'], 1)} times the money of the last for "
            "each hour."
        )
    for note in result.get("notes", ()):
        out.print(f"[yellow]note[/] {escape(note)}")
