"""The commands for access keys."""

from typing import Annotated, Literal

import typer

from features.settings import Settings
from perennial.command_line import Result, group, prints

app = group("Access keys of the service.", no_args_is_help=True)


@app.command("create", epilog="Example: perennial keys create sales --owner O-7 --label Berlin")
@prints("data.key")
def keys_create(
    role: Annotated[Literal["sales", "marketing", "mlops", "admin"], typer.Argument(metavar="ROLE")],
    owner: Annotated[
        str | None, typer.Option(metavar="OWNER", help="See this owner's customers only.")
    ] = None,
    region: Annotated[str | None, typer.Option(metavar="REGION", help="See this region's only.")] = None,
    team: Annotated[
        str | None, typer.Option(metavar="MANAGER", help="See the customers of this manager's team only.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="A name to know it by.")] = None,
) -> Result:
    """Create a key; it is shown this once."""
    from monitoring.store import open_store

    store = open_store(Settings.from_env())
    scope = {"owner_id": owner, "region": region, "manager_id": team}
    plaintext, key = store.access.create_key(role, label=label, **scope)
    facts = {"key": plaintext, "prefix": key.prefix, "role": key.role, "label": label}
    return {**facts, "owner": owner, "region": region, "team": team}


@app.command("revoke", epilog="Example: perennial keys revoke prn_1a2b3c4d")
@prints("data.facts")
def keys_revoke(
    prefix: Annotated[str, typer.Argument(metavar="PREFIX", help="As in `keys list`.")],
) -> Result:
    """Make a key worthless from now on."""
    from monitoring.store import open_store

    open_store(Settings.from_env()).access.revoke_key(prefix)
    return {"revoked": prefix}


@app.command("list", epilog="Example: perennial keys list")
@prints("data.keys")
def keys_list() -> Result:
    """List the keys, without their secrets."""
    from monitoring.store import open_store

    return {"keys": open_store(Settings.from_env()).access.keys()}
