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
    for table, fields in result["write_back"].items():
        out.print(
            f"Written back for {table}: {', '.join(f'{what} → {field}' for what, field in fields.items())}"
        )
    for note in result["notes"]:
        out.print(escape(note))
    out.print(f"Noted in {result['connection']}; the mapping to change, if need be: {result['mapping']}")
    out.print(f"Next: perennial ingest {result['address']}")


def written(result: Result) -> None:
    """What was written or put back, object by object, and what was refused."""
    out = terminal()
    for each in result["written"]:
        what = "put back" if result["undo"] else "written"
        title = f"{each['connection']}: {'would be ' if each['dry_run'] else ''}{what}"
        left = ">changed by people" if result["undo"] else ">as it was"
        rows = [(o["object"], o["changed"], o["unchanged"], o["failed"]) for o in each["objects"]]
        out.print(grid(title, ("object", f">{what}", left, ">refused"), rows))
        for failure in each["failures"]:
            line = f"{failure['object']} {failure['id']}: {failure['why']}"
            out.print(f"[yellow]refused[/] {escape(line)}")
