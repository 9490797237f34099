"""The commands that try advice against usual practice by randomising customers."""

import getpass
from typing import Annotated, Any, Literal

import typer

from features.settings import Settings
from perennial.command_line import Result, group, prints, reads_crm, say

app = group("Advice against usual practice, randomised: start, status, end, list.", no_args_is_help=True)
Name = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="Which; default: the only open one, else the newest.")
]
By = Annotated[str | None, typer.Option(metavar="WHO", help="Who does this; default: the login name.")]


@app.command("start", epilog="Example: perennial experiment start timing --advice 61-90 --cluster owner")
@prints("experiments.experiment")
@reads_crm
def experiment_start(
    data: Any,
    settings: Settings,
    question: Annotated[
        Literal["timing", "calls", "discount", "playbook", "scores"],
        typer.Argument(metavar="QUESTION", help="timing, calls, discount, playbook or scores."),
    ],
    advice: Annotated[
        str | None,
        typer.Option(metavar="CHOICE", help="Such as 61-90, 3-4, 0-10, or a playbook's name."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Default: the question and the day.")
    ] = None,
    cluster: Annotated[
        Literal["account", "parent", "owner"] | None,
        typer.Option(help="What is drawn as one; default: parent, else account."),
    ] = None,
    stratify: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Keep arms even within it; none: not; default: industry."),
    ] = None,
    share: Annotated[float, typer.Option(help="Chance of being drawn for the advice.")] = 0.5,
    gap: Annotated[
        float | None, typer.Option(metavar="POINTS", help="Difference to find; default: 5, or as estimated.")
    ] = None,
    power: Annotated[float, typer.Option(help="Chance to find it if it is there.")] = 0.8,
    level: Annotated[float, typer.Option(help="Chance to find one that is not, over all looks.")] = 0.05,
    followed: Annotated[float, typer.Option(help="Share expected to be treated as drawn.")] = 0.8,
    seed: Annotated[int | None, typer.Option(help="Of the draw; default: one nobody can know.")] = None,
    may_mix: Annotated[
        bool, typer.Option("--may-mix", help="Let a group of companies have accounts in both arms.")
    ] = False,
    by: By = None,
) -> Result:
    """Draw customers for advice or usual practice, and begin."""
    from monitoring.experiment_plan import Plan
    from monitoring.experiment_steps import start
    from monitoring.store import open_store

    plan = Plan(
        question,
        advice,
        name=name,
        cluster=cluster,
        stratify=None if stratify is None else [one for one in stratify if one.lower() != "none"],
        share=share,
        gap=None if gap is None else gap / 100,
        level=level,
        power=power,
        followed=followed,
        seed=seed,
        may_mix=may_mix,
    )
    who = by or getpass.getuser()
    return start(open_store(settings), data, settings, plan, by=who, say=say)


@app.command("status", epilog="Example: perennial experiment status --json")
@prints("experiments.experiment")
@reads_crm
def experiment_status(data: Any, settings: Settings, name: Name = None) -> Result:
    """Show the state of an experiment; look as often as you like. Who can join by now is enrolled."""
    from monitoring.experiment_steps import status
    from monitoring.store import open_store

    return status(open_store(settings), data, settings, name)


@app.command("end", epilog='Example: perennial experiment end --because "beyond chance"')
@prints("experiments.experiment")
@reads_crm
def experiment_end(
    data: Any,
    settings: Settings,
    name: Name = None,
    because: Annotated[str, typer.Option(metavar="TEXT", help="Why it ends now.")] = "",
    by: By = None,
) -> Result:
    """End an experiment: the advice is for all again, and the estimated effects learn from the result."""
    from monitoring.experiment_steps import end
    from monitoring.store import open_store
    from serving.precompute import note_experiments

    store = open_store(settings)
    result = end(store, data, settings, name, by=by or getpass.getuser(), because=because)
    note_experiments(settings, len(store.experiments.read(is_open=False)))
    return result


@app.command("list", epilog="Example: perennial experiment list")
@prints("experiments.listed")
def experiment_list() -> Result:
    """List all experiments as of the last look at each."""
    from monitoring.experiment_steps import every
    from monitoring.store import open_store

    return {"experiments": every(open_store(Settings.from_env()))}
