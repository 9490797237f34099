"""The commands for tasks: what is to be done about alerts, who does it, by when, and the outcome."""

import getpass
from typing import Annotated

import typer

from features.settings import Settings
from perennial.command_line import Result, group, prints

app = group("Tasks that alerts lead to, by the book: list, start, done, begin, judge.", no_args_is_help=True)
TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Its id.")]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who does this; default: the login name.")]


@app.command("list", epilog="Example: perennial tasks list --json")
@prints("tasks.listed")
def tasks_list() -> Result:
    """List the open tasks, those due first at the top."""
    from monitoring.store import open_store

    shown = ("task_id", "account_id", "playbook", "title", "owner", "state", "due_at", "is_late")
    store = open_store(Settings.from_env())
    rows = store.tasks.read(is_open=True)
    return {
        "tasks": [{name: row[name] for name in shown} for row in rows],
        "figures": store.tasks.figures(),
    }


@app.command("begin", epilog="Example: perennial tasks begin")
@prints("data.facts")
def tasks_begin() -> Result:
    """Open the tasks that standing alerts lead to, and escalate what is overdue; safe to repeat."""
    from monitoring.closing_the_loop import begin_tasks, escalate
    from monitoring.store import open_store

    settings = Settings.from_env()
    store = open_store(settings)
    begun = begin_tasks(store, settings)
    return {"begun": len(begun), "escalated": len(escalate(store, settings))}


@app.command("start", epilog="Example: perennial tasks start 5f3a… --by Ann")
@prints("data.facts")
def tasks_start(task: TaskId, by: By = None) -> Result:
    """Take a task up."""
    from monitoring.store import open_store

    who = by or getpass.getuser()
    open_store(Settings.from_env()).tasks.start(task, who)
    return {"task": task, "state": "started", "owner": who}


@app.command("done", epilog='Example: perennial tasks done 5f3a… --result "called, invoice corrected"')
@prints("data.facts")
def tasks_done(
    task: TaskId,
    result: Annotated[str, typer.Option(metavar="TEXT", help="What came of it.")] = "",
    drop: Annotated[bool, typer.Option("--drop", help="It was not done and need not be.")] = False,
    by: By = None,
) -> Result:
    """Say that a task is done; the next step of its playbook opens."""
    from monitoring.closing_the_loop import finish_task
    from monitoring.store import open_store

    settings, who = Settings.from_env(), by or getpass.getuser()
    following = finish_task(open_store(settings), settings, task, who, result, is_dropped=drop)
    return {"task": task, "state": "dropped" if drop else "done", "next": following}


@app.command("judge", epilog="Example: perennial tasks judge")
@prints("tasks.judged")
def tasks_judge() -> Result:
    """Show for each playbook how fast it was worked off, and whether those customers renewed."""
    from features.crm.load import current_crm
    from monitoring.closing_the_loop import judged
    from monitoring.store import open_store

    settings = Settings.from_env()
    return {"playbooks": judged(open_store(settings), current_crm(settings))}
