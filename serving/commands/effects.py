"""The commands for effects."""

from typing import Any

from features.settings import Settings
from serving.command_line import By, Result, group, prints, reads_crm, say

app = group("What contact, calls and discount change, beside raw rates.", no_args_is_help=True)


@app.command("timing", epilog="Example: perennial effects timing --by industry")
@prints("effects.effects")
@reads_crm
def effects_timing(data: Any, settings: Settings, by: By = None) -> Result:
    """When to make first contact before a renewal."""
    from training.effects import timing

    return timing(data, settings, by=by, say=say)


@app.command("calls", epilog="Example: perennial effects calls --by region")
@prints("effects.effects")
@reads_crm
def effects_calls(data: Any, settings: Settings, by: By = None) -> Result:
    """How many calls in the first 30 days win new business."""
    from training.effects import calls

    return calls(data, settings, by=by, say=say)


@app.command("discount", epilog="Example: perennial effects discount")
@prints("effects.effects")
@reads_crm
def effects_discount(data: Any, settings: Settings, by: By = None) -> Result:
    """How much discount at the first quote wins and renews."""
    from training.effects import discount

    return discount(data, settings, by=by, say=say)
