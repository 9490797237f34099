"""Tasks on a terminal."""

from rich.markup import escape

from perennial.print.text import Result, print_grid, terminal


def listed(result: Result) -> None:
    """The open tasks, those due first at the top, and how fast tasks are answered and closed."""
    out = terminal()
    rows = [
        (
            row["task_id"],
            f"{row['due_at']:%Y-%m-%d}{' late' if row['is_late'] else ''}",
            escape(row["owner"] or "nobody"),
            row["state"],
            escape(f"{row['title']} ({row['playbook']}, {row['account_id'] or 'no customer'})"),
        )
        for row in result["tasks"]
    ]
    if rows:
        print_grid(
            out, f"{len(rows)} open tasks", ("task", "due", "owner", "state", "what is to be done"), rows
        )
    else:
        out.print("No task is open. Alerts open some: `perennial tasks begin`.")
    figures = result["figures"]
    counts = f"{figures['open']} open, {figures['late']} late, {figures['done']} done"
    names = {"median_hours_to_first_answer": "to the first answer", "median_hours_to_close": "to close"}
    hours = [
        f"{figures[name]:.1f} h {word} (median)" for name, word in names.items() if figures[name] is not None
    ]
    out.print("; ".join([counts, *hours]) + ".")
