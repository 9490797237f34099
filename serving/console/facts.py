"""Plain facts and lists on a terminal."""

from collections.abc import Iterable

from serving.console.words import Result, grid, short, terminal


def listed(result: Result) -> None:
    """Any plain list of rows, one column for each key."""
    rows = next((value for value in result.values() if isinstance(value, list)), [])
    if not rows:
        terminal().print("Nothing yet.")
        return
    columns = list(rows[0])
    terminal().print(grid("", columns, ([row.get(column, "") for column in columns] for row in rows)))


def facts(result: Result) -> None:
    """A result that is a few named facts, those with facts of their own one step in."""
    for line in _fact_lines(result):
        terminal().print(line, markup=False)


def _fact_lines(result: Result, indent: str = "") -> Iterable[str]:
    for name, value in result.items():
        told = name.replace("_", " ")
        if isinstance(value, dict) and value:
            yield f"{indent}{told}:"
            yield from _fact_lines(value, indent + "  ")
        elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
            yield f"{indent}{told}: {len(value)} rows; --json tells them"
        elif value not in (None, {}, []):
            yield f"{indent}{told}: {short(value)}"
