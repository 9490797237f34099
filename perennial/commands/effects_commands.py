"""The commands for effects."""

from functools import partial
from typing import Annotated, Any

import typer

from features.settings import Settings
from perennial.command_line import By, Result, group, moment, prints, reads_crm, say

app = group("What contact, calls and discount change, beside raw rates.", no_args_is_help=True)

AsOf = Annotated[str | None, typer.Option(metavar="DATE", help="Plan as of that day.")]
Groups = Annotated[
    str, typer.Option(metavar="COLUMN", help="Whose groups get advice of their own; none: everybody alike.")
]


@app.command("timing", epilog="Example: perennial effects timing --by industry")
@prints("effects.effects")
@reads_crm
def effects_timing(data: Any, settings: Settings, by: By = None) -> Result:
    """When to make first contact before a renewal."""
    from training.effects import estimated_timing

    return _with_experiments(estimated_timing(data, settings, by, say), "timing", settings)


@app.command("calls", epilog="Example: perennial effects calls --by region")
@prints("effects.effects")
@reads_crm
def effects_calls(data: Any, settings: Settings, by: By = None) -> Result:
    """How many calls in the first 30 days win new business."""
    from training.effects import estimated_calls

    return _with_experiments(estimated_calls(data, settings, by, say), "calls", settings)


@app.command("discount", epilog="Example: perennial effects discount")
@prints("effects.effects")
@reads_crm
def effects_discount(data: Any, settings: Settings, by: By = None) -> Result:
    """How much discount at the first quote wins and renews."""
    from training.effects import estimated_discount

    return _with_experiments(estimated_discount(data, settings, by, say), "discount", settings)


@app.command("plan", epilog="Example: perennial effects plan --out plan.xlsx")
@prints("effects.plan")
@reads_crm(states_money=True)
def effects_plan(data: Any, settings: Settings, by: Groups = "industry", as_of: AsOf = None) -> Result:
    """When to make first contact with each contract that ends within 180 days, and what that gains."""
    from features.holdout import held_out
    from monitoring.experiment_steps import findings
    from monitoring.store import open_store
    from serving.arms_shown import as_arms_see, likelihoods
    from training.effects.advice import plan

    store = open_store(settings)
    return plan(
        data,
        settings,
        by=_named(by),
        as_of=moment(as_of, "--as-of"),
        held_out=partial(held_out, settings=settings),
        findings=findings(store, "timing"),
        likelihood=likelihoods(store) if as_of is None else None,
        shown=partial(as_arms_see, store),
        say=say,
    )


@app.command("value", epilog="Example: perennial effects value --by region")
@prints("effects.value")
@reads_crm(states_money=True)
def effects_value(data: Any, settings: Settings, by: Groups = "industry", as_of: AsOf = None) -> Result:
    """What following the advice is worth over the coming renewals, and the policy as a table."""
    from features.holdout import held_out
    from monitoring.experiment_steps import findings
    from monitoring.store import open_store
    from serving.arms_shown import as_arms_see, likelihoods
    from training.effects.policy_value import value

    store = open_store(settings)
    return value(
        data,
        settings,
        by=_named(by),
        as_of=moment(as_of, "--as-of"),
        held_out=partial(held_out, settings=settings),
        findings=findings(store, "timing"),
        likelihood=likelihoods(store) if as_of is None else None,
        shown=partial(as_arms_see, store),
        say=say,
    )


@app.command("experiment", epilog="Example: perennial effects experiment --gap 5 --power 0.9")
@prints("effects.experiment")
@reads_crm
def effects_experiment(
    data: Any,
    settings: Settings,
    window: Annotated[
        str | None, typer.Option(metavar="WINDOW", help="What to test, such as 61-90; default: the best.")
    ] = None,
    gap: Annotated[
        float | None, typer.Option(metavar="POINTS", help="Difference to find; default: the estimated gain.")
    ] = None,
    power: Annotated[float, typer.Option(help="Chance to find it if it is there.")] = 0.8,
    level: Annotated[float, typer.Option(help="Chance to find one where there is none.")] = 0.05,
    kept: Annotated[float, typer.Option(help="Share of contracts treated as drawn.")] = 0.8,
) -> Result:
    """How to test the advice by a randomised experiment: who takes part, how many, and for how long."""
    from training.effects.experiment import designed

    points = None if gap is None else gap / 100
    return designed(data, settings, window=window, gap=points, power=power, level=level, kept=kept, say=say)


def _named(by: str) -> str | None:
    return None if by.lower() == "none" else by


def _with_experiments(answer: Result, question: str, settings: Settings) -> Result:
    """An answer with what ended experiments found laid into it, as it is shown."""
    from monitoring.experiment_steps import findings
    from monitoring.store import open_store
    from training.effects import shown
    from training.effects.learned import learned

    learnings = findings(open_store(settings), question)
    return shown(learned(answer, learnings, settings.seed) if learnings else answer)
