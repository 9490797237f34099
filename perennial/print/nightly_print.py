"""What the nightly job did, on a terminal."""

from rich.markup import escape

from perennial.print.text import Result, grid, terminal

_STYLE = {"done": "green", "failed": "bold red", "not now": "yellow"}


def ran(result: Result) -> None:
    """Each step, and whether there was anything to do."""
    out = terminal()
    rows = (
        (
            step["step"],
            f"[{_STYLE.get(step['what'], 'dim')}]{step['what']}[/]",
            f"{step['seconds']:.1f}",
            escape(step["why"]),
        )
        for step in result["steps"]
    )
    if result["steps"]:
        out.print(grid("", ("step", "what", ">seconds", ""), rows))
    words = {
        "done": "Done.",
        "nothing to do": "Nothing to do: nothing has changed since the last run.",
        "busy": "Another run is under way; nothing was done.",
        "failed": "A step failed.",
    }
    out.print(
        ("Gone on with a run that was cut short. " if result["resumed"] else "") + words[result["status"]]
    )
