"""The commands that watch served models and close the loop."""

from pathlib import Path
from typing import Annotated, Any

import typer

from features.settings import Settings
from serving.command_line import (
    By,
    Kind,
    KindName,
    Minutes,
    Result,
    Trials,
    group,
    moment,
    prints,
    reads_crm,
    say,
)
from serving.commands import alerts

app = group("Watching served models, and what is learned from how things ended.")
app.add_typer(alerts.app, name="alerts")


@app.command(epilog="Example: perennial retrain --minutes 20")
@prints("models.retrained")
@reads_crm
def retrain(data: Any, settings: Settings, trials: Trials = None, minutes: Minutes = None) -> Result:
    """Train challengers where it is time to, promote what passes the gates; safe in cron."""
    from monitoring.retrain import retrain

    return retrain(data, settings, trials=trials, minutes=minutes, say=say)


@app.command(epilog="Example: perennial losses renewal --by industry")
@prints("models.losses")
@reads_crm
def losses(data: Any, settings: Settings, kind: Kind, by: By = None) -> Result:
    """What lost renewals or deals have in common, by money, with the stated reasons beside it."""
    from training.losses import losses

    return losses(kind, data, settings, by=by)


def _nothing_logged(settings: Settings, asked: dict[str, Any]) -> bool:
    from monitoring.report import nothing_logged

    return nothing_logged(settings, asked["kind"])


@app.command(epilog="Example: perennial monitor renewal --since 2025-06-01")
@prints("watch.monitored")
@reads_crm(unless=_nothing_logged)
def monitor(
    data: Any,
    settings: Settings,
    kind: Annotated[KindName | None, typer.Argument(metavar="[renewal|win]")] = None,
    since: Annotated[str | None, typer.Option(metavar="DATE", help="Look at scores from then on.")] = None,
) -> Result:
    """Check drift, performance and parity of the served models."""
    from monitoring.report import monitor

    return monitor(data, settings, kind, since=moment(since, "--since"), say=say)


@app.command(epilog="Example: perennial judged renewal")
@prints("watch.judged")
@reads_crm
def judged(
    data: Any,
    settings: Settings,
    kind: Annotated[KindName | None, typer.Argument(metavar="[renewal|win]")] = None,
) -> Result:
    """Who was right: scores, owners' own forecasts and overrides, on how things ended."""
    from monitoring.right import who_was_right

    return who_was_right(data, settings, kind)


@app.command(epilog="Example: perennial journey --crm exports/crm")
@prints("watch.journey")
@reads_crm
def journey(data: Any, settings: Settings) -> Result:
    """Where along the journey, from reach to recommendation, a segment is lost."""
    from monitoring.journey import journey

    return journey(data)


@app.command(epilog="Example: perennial outcomes decided.csv")
@prints("facts.facts")
def outcomes(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV of contract_id or opportunity_id, outcome, …")
    ],
) -> Result:
    """Tell how contracts and deals ended; repeated lines change nothing, contradicting ones are named."""
    from monitoring.outcome_log import read_outcomes
    from monitoring.store import open_store

    return open_store(Settings.from_env()).record_outcomes(read_outcomes(file))
