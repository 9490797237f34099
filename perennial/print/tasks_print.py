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


def judged(result: Result) -> None:
    """Each playbook: how often it was begun, how fast it goes, and what became of those customers."""
    out = terminal()
    if not result["playbooks"]:
        out.print("No task was opened yet. Alerts open some: `perennial tasks begin`.")
        return
    for row in result["playbooks"]:
        hours = (row["median_hours_to_first_answer"], row["median_hours_to_close"])
        first, close = ("none yet" if each is None else f"{each:.1f} h (median)" for each in hours)
        renewed = f"{row['renewed']:.0%} renewed" if row["renewed"] is not None else "too few for a share"
        out.print(f"[bold]{escape(row['playbook'])}[/]")
        out.print(f"  begun for {row['begun']} customers; {row['open']} steps open, {row['late']} late")
        out.print(f"  to the first answer {first}, to the close of a step {close}")
        out.print(f"  decided since: {row['decided']} customers, {renewed}")
    out.print(
        "A share proves nothing of a playbook, which is run for customers in trouble; "
        "`perennial experiment start playbook` does."
    )
