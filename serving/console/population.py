"""Who is out there, on a terminal."""

from collections import defaultdict

from rich.markup import escape

from serving.console.words import Result, grid, money, percent, terminal


def census(result: Result) -> None:
    """People by attribute and value over all areas fetched."""
    out = terminal()
    people: dict[tuple[str, str], int] = defaultdict(int)
    of: dict[str, int] = defaultdict(int)
    for row in result["rows"]:
        people[row["attribute"], row["value"]] += row["people"]
        of[row["attribute"]] += row["people"]
    rows = ((a, v, money(n), percent(n / of[a] if of[a] else None, 1)) for (a, v), n in people.items())
    title = f"{result['source']}: {result['areas']:,} areas"
    out.print(grid(title, ("attribute", "value", ">people", ">share"), rows))
    if result["withheld"]:
        out.print(f"[yellow]note[/] {result['withheld']:,} counts are withheld by the Bureau and left out.")
    out.print("Put the rows into the CRM folder as population.csv (--out FILE); then `perennial journey`.")


def joined(result: Result) -> None:
    """How many accounts were found in an area, and what a share is worth."""
    out = terminal()
    without = f" (such as {escape(result['not_found'])})" if result["not_found"] else ""
    out.print(
        f"{result['matched']:,} accounts have an area by {result['column']}, "
        f"{result['unmatched']:,} have none{without}; {len(result['rows']):,} rows of segments."
    )
    out.print(f"[yellow]note[/] {result['caveat']}")
    out.print("Put the rows into the CRM folder as segments.csv (--out FILE); parity and journey read them.")
