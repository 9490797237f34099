"""The command for unequal treatment, and what could be done about it."""

from typing import Any

from features.settings import Settings
from serving.command_line import Kind, Minutes, Result, Trials, group, prints, reads_crm, say

app = group("Whether a model treats segments of customers alike.")


@app.command(epilog="Example: perennial parity renewal --trials 20 --out parity.xlsx")
@prints("parity.options")
@reads_crm
def parity(
    data: Any, settings: Settings, kind: Kind, trials: Trials = None, minutes: Minutes = None
) -> Result:
    """Lay out how segments are treated, what gives them away, and what mending would cost; change nothing."""
    from training.parity_options import parity_options

    return parity_options(kind, data, settings, trials=trials, minutes=minutes, say=say)
