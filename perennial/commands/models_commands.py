"""The commands for registered models."""

import getpass
from pathlib import Path
from typing import Annotated

import typer

from features.settings import Settings
from perennial.command_line import Kind, Result, group, prints

Version = Annotated[str, typer.Argument(help="A number, champion or challenger.")]
app = group("Registered models: list (the default), show, compare, promote, roll back.")


@prints("models.models")
def _models_list() -> Result:
    """List the registered versions with their aliases and figures."""
    from training.registry import listing

    return {"models": listing(Settings.from_env())}


app.command("list", epilog="Example: perennial models list")(_models_list)


@app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="As for `models list`.")] = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="As for `models list`.")] = None,
) -> None:
    """Registered models: list (the default), show, compare, promote, roll back."""
    if context.invoked_subcommand is None:
        _models_list(json=json, out=out)


@app.command("show", epilog="Example: perennial models show renewal --version 3")
@prints("models.shown")
def models_show(
    kind: Kind, version: Annotated[str | None, typer.Option(help="Default: the one that scores.")] = None
) -> Result:
    """Show one version: period, figures, gates, barred columns, card."""
    from training.registry import show

    return show(kind, Settings.from_env(), version=version)


@app.command("compare", epilog="Example: perennial models compare renewal 2 3")
@prints("monitoring.compared")
def models_compare(kind: Kind, first: Version, second: Version) -> Result:
    """Compare two versions on their figures, and on outcomes of what both have scored."""
    from features.crm.load import opened
    from features.errors import RenewalError
    from monitoring.forecasters import on_outcomes
    from training.registry import compare

    settings = Settings.from_env()
    comparison = compare(kind, first, second, settings)
    try:
        with opened(settings) as crm:
            outcomes = on_outcomes(kind, first, second, crm, settings)
    except RenewalError:  # nothing was ingested: only outcomes reported to the store are known
        outcomes = on_outcomes(kind, first, second, None, settings)
    return {**comparison, "on_outcomes": outcomes}


@app.command("promote", epilog='Example: perennial models promote renewal 3 --reason "parity waived by …"')
@prints("data.facts")
def models_promote(
    kind: Kind,
    version: Version,
    reason: Annotated[str, typer.Option(help="Written waiver for gates that failed.")] = "",
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who does this; default: the login name.")
    ] = None,
) -> Result:
    """Make a version the champion; gates that failed need a written reason."""
    from training.registry import promote

    return promote(kind, version, Settings.from_env(), reason=reason, by=by or getpass.getuser())


@app.command("rollback", epilog="Example: perennial models rollback renewal")
@prints("data.facts")
def models_rollback(kind: Kind) -> Result:
    """Make the former champion the champion again."""
    from training.registry import rollback

    return rollback(kind, Settings.from_env())
