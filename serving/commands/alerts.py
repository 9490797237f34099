"""The commands for alerts: what stands, who takes it, and that it is done with."""

import getpass
from pathlib import Path
from typing import Annotated, Literal

import typer

from features.settings import Settings
from serving.command_line import KindName, Result, group, prints

app = group("Alerts: list (the default), take, close.")
AlertId = Annotated[str, typer.Argument(metavar="ALERT", help="Its id, or the first letters of it.")]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who does this; default: the login name.")]


@prints("watch.alerts")
def _alerts_list(
    kind: Annotated[KindName | None, typer.Argument(metavar="[renewal|win]")] = None,
    state: Annotated[
        Literal["standing", "open", "acknowledged", "closed", "all"], typer.Option(help="Which of them.")
    ] = "standing",
) -> Result:
    """List alerts, newest first, and how long they take to be closed."""
    from monitoring.store import open_store

    store = open_store(Settings.from_env())
    found = store.alerts(state=None if state == "all" else state, kind=kind)
    return {"alerts": found, "figures": store.alert_figures(kind)}


app.command("list", epilog="Example: perennial alerts list --state all")(_alerts_list)


@app.callback(invoke_without_command=True)
def alerts(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="As for `alerts list`.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="As for `alerts list`.")] = None,
) -> None:
    """Alerts: list (the default), take, close."""
    if context.invoked_subcommand is None:
        _alerts_list(json=json, out=out)


@app.command("ack", epilog="Example: perennial alerts ack 5f3a --owner Ann")
@prints("facts.facts")
def alerts_ack(
    alert: AlertId,
    owner: Annotated[str | None, typer.Option(metavar="NAME", help="Who takes it on.")] = None,
    by: By = None,
) -> Result:
    """Note that somebody has seen an alert and takes it on."""
    from monitoring.store import open_store

    store, who = open_store(Settings.from_env()), by or getpass.getuser()
    alert_id = store.alert_id(alert)
    store.acknowledge_alert(alert_id, who, owner=owner)
    store.audit(who, "alert acknowledged", alert_id, {"owner": owner or who})
    return {"alert": alert_id, "state": "acknowledged", "owner": owner or who}


@app.command("close", epilog='Example: perennial alerts close 5f3a --because "the export is mended"')
@prints("facts.facts")
def alerts_close(
    alert: AlertId,
    because: Annotated[str, typer.Option(metavar="TEXT", help="What became of it.")] = "",
    by: By = None,
) -> Result:
    """Close an alert; a new one opens if its cause comes again."""
    from monitoring.store import open_store

    store, who = open_store(Settings.from_env()), by or getpass.getuser()
    alert_id = store.alert_id(alert)
    store.close_alert(alert_id, who, because)
    store.audit(who, "alert closed", alert_id, {"because": because})
    return {"alert": alert_id, "state": "closed", "because": because}
