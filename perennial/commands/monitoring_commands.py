"""The commands that watch served models and close the loop.

The command for unequal treatment, and what could be done about it.

The commands for alerts: list, take, close.
"""

import getpass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from features.settings import Settings
from perennial.command_line import (
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

alerts_app = group("Alerts: list (the default), take, close.")
AlertId = Annotated[str, typer.Argument(metavar="ALERT", help="Its id, or the first letters of it.")]
Person = Annotated[str | None, typer.Option(metavar="NAME", help="Who does this; default: the login name.")]


@prints("monitoring.alerts")
def _alerts_list(
    kind: Annotated[KindName | None, typer.Argument(metavar="[renewal|win]")] = None,
    state: Annotated[
        Literal["standing", "open", "acknowledged", "closed", "all"], typer.Option(help="Which of them.")
    ] = "standing",
) -> Result:
    """List alerts, newest first, and how long they take to be closed."""
    from monitoring.store import open_store

    store = open_store(Settings.from_env())
    alert_rows = store.alerts.read(state=None if state == "all" else state, kind=kind)
    return {"alerts": alert_rows, "figures": store.alerts.figures(kind)}


alerts_app.command("list", epilog="Example: perennial alerts list --state all")(_alerts_list)


@alerts_app.callback(invoke_without_command=True)
def alerts(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="As for `alerts list`.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="As for `alerts list`.")] = None,
) -> None:
    """Alerts: list (the default), take, close."""
    if context.invoked_subcommand is None:
        _alerts_list(json=json, out=out)


@alerts_app.command("ack", epilog="Example: perennial alerts ack 5f3a --owner Ann")
@prints("data.facts")
def alerts_ack(
    alert: AlertId,
    owner: Annotated[str | None, typer.Option(metavar="NAME", help="Who takes it on.")] = None,
    by: Person = None,
) -> Result:
    """Note that somebody has seen an alert and takes it on."""
    from monitoring.store import open_store

    store, who = open_store(Settings.from_env()), by or getpass.getuser()
    alert_id = store.alerts.id_of(alert)
    store.alerts.acknowledge(alert_id, who, owner=owner)
    store.audit.record(who, "alert acknowledged", alert_id, {"owner": owner or who})
    return {"alert": alert_id, "state": "acknowledged", "owner": owner or who}


@alerts_app.command("close", epilog='Example: perennial alerts close 5f3a --because "the export is mended"')
@prints("data.facts")
def alerts_close(
    alert: AlertId,
    because: Annotated[str, typer.Option(metavar="TEXT", help="What became of it.")] = "",
    by: Person = None,
) -> Result:
    """Close an alert; a new one opens if its cause comes again."""
    from monitoring.store import open_store

    store, who = open_store(Settings.from_env()), by or getpass.getuser()
    alert_id = store.alerts.id_of(alert)
    store.alerts.close(alert_id, who, because)
    store.audit.record(who, "alert closed", alert_id, {"because": because})
    return {"alert": alert_id, "state": "closed", "because": because}


app = group("Watching served models, and what is learned from how things ended.")
app.add_typer(alerts_app, name="alerts")


@app.command(epilog="Example: perennial retrain --minutes 20")
@prints("models.retrained")
@reads_crm
def retrain(data: Any, settings: Settings, trials: Trials = None, minutes: Minutes = None) -> Result:
    """Train challengers where it is time to, promote what passes the gates; safe in cron."""
    from monitoring.retrain import retrain

    return retrain(data, settings, trials=trials, minutes=minutes, say=say)


@app.command(epilog="Example: perennial churn-drivers renewal --by industry")
@prints("models.churn_drivers")
@reads_crm(states_money=True)
def churn_drivers(data: Any, settings: Settings, kind: Kind, by: By = None) -> Result:
    """What lost renewals or deals have in common, by money, with the stated reasons beside it."""
    from training.churn_drivers import churn_drivers

    return churn_drivers(kind, data, settings, by=by)


def _nothing_logged(settings: Settings, arguments: dict[str, Any]) -> bool:
    from monitoring.report import nothing_logged

    return nothing_logged(settings, arguments["kind"])


@app.command(epilog="Example: perennial monitor renewal --since 2025-06-01")
@prints("monitoring.monitored")
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
@prints("monitoring.judged")
@reads_crm
def judged(
    data: Any,
    settings: Settings,
    kind: Annotated[KindName | None, typer.Argument(metavar="[renewal|win]")] = None,
) -> Result:
    """Who was right: scores, owners' own forecasts and overrides, on how things ended."""
    from monitoring.forecasters import who_was_right

    return who_was_right(data, settings, kind)


@app.command(epilog="Example: perennial journey --crm exports/crm")
@prints("monitoring.journey")
@reads_crm
def journey(
    data: Any,
    settings: Settings,
    map_only: Annotated[
        bool,
        typer.Option("--map", help="Each persona's touchpoints, what is measured there, what is missing."),
    ] = False,
) -> Result:
    """Where along the journey, from reach to recommendation, a segment is lost."""
    if map_only:
        from monitoring.customer_view import mapped_journey

        return mapped_journey(data, settings, say)
    from monitoring.journey import journey

    return journey(data)


@app.command(epilog="Example: perennial kpis --out kpis.xlsx")
@prints("voice.customer")
@reads_crm
def kpis(data: Any, settings: Settings) -> Result:
    """Customer KPIs over time beside retention and effort, and which touchpoints move them."""
    from monitoring.customer_view import customer_view

    return customer_view(data, settings, say)


@app.command(epilog="Example: perennial outcomes decided.csv")
@prints("data.facts")
def outcomes(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="CSV of contract_id or opportunity_id, outcome, …")
    ],
) -> Result:
    """Report how contracts and deals ended; repeated lines change nothing, contradicting ones are named."""
    from monitoring.store import open_store
    from monitoring.store.outcomes import read_outcomes

    return open_store(Settings.from_env()).outcomes.record(read_outcomes(file))


parity_app = group("Whether a model treats segments of customers alike.")


@parity_app.command(epilog="Example: perennial parity renewal --trials 20 --out parity.xlsx")
@prints("monitoring.options")
@reads_crm
def parity(
    data: Any, settings: Settings, kind: Kind, trials: Trials = None, minutes: Minutes = None
) -> Result:
    """Lay out how segments are treated, what gives them away, and what mending would cost; change nothing."""
    from training.fairness.parity_options import parity_options

    return parity_options(kind, data, settings, trials=trials, minutes=minutes, say=say)
