"""Connections to other systems, on a terminal."""

from rich.markup import escape

from perennial.print.text import Result, grid, terminal


def connected(result: Result) -> None:
    """What may be read, and which answers that allows."""
    out = terminal()
    rows = [(each["object"], each["fields"]) for each in result["objects"]]
    out.print(grid("Readable", ("object", ">fields"), rows))
    if result["not_readable"]:
        out.print(f"Not there, or not for this user: {escape(', '.join(result['not_readable']))}")
    answers = [(each["answer"], each["state"], each["missing"]) for each in result["answers"]]
    out.print(grid("What it can answer", ("answer", "state", "missing"), answers))
    for note in result["notes"]:
        out.print(escape(note))
    out.print(f"Noted in {result['connection']}; the mapping to change, if need be: {result['mapping']}")
    out.print(f"Next: perennial ingest {result['address']}")
