"""The command that connects a system: its login asked for, tested and noted, without the secret."""

import sys
from dataclasses import replace
from typing import Annotated

import typer

from features.errors import RenewalError
from features.settings import Settings
from perennial.command_line import Result, group, prints

app = group("Connections to other systems.")


@app.command(
    epilog="Example: perennial connect acme --system salesforce --url https://acme.my.salesforce.com"
    " --client-id 3MVG9…"
)
@prints("connections.connected")
def connect(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it: salesforce://NAME.")],
    system: Annotated[
        str | None, typer.Option(metavar="SYSTEM", help="salesforce, hubspot or dynamics.")
    ] = None,
    url: Annotated[str | None, typer.Option(metavar="URL", help="The system's https address.")] = None,
    client_id: Annotated[str | None, typer.Option(metavar="ID", help="Of the app that logs in.")] = None,
    tenant: Annotated[
        str | None, typer.Option(metavar="ID", help="Of the directory that the app is of (Dynamics).")
    ] = None,
    username: Annotated[
        str | None, typer.Option(metavar="USER", help="Log in by JWT, for this user (Salesforce).")
    ] = None,
    write_back: Annotated[
        bool | None,
        typer.Option("--write-back/--no-write-back", help="Whether scores may be written into its fields."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--object", metavar="OBJECT", help="Read these alone; default: all.")
    ] = None,
) -> Result:
    """Test a system's login, say what may be read and what is missing for which answer, and note it.

    The secret is never kept: it is read from PERENNIAL_SECRET_NAME, or the file that
    PERENNIAL_SECRET_NAME_FILE names.
    """
    from features.sources import systems
    from features.sources.connected import answers_of, write_drafted_mapping
    from features.sources.connection_file import (
        Connection,
        checked_name,
        checked_url,
        place_of,
        read_connection,
        write_connection,
    )

    settings, known_systems = Settings.from_env(), systems()
    before = (
        read_connection(name, settings.home) if place_of(checked_name(name), settings.home).exists() else None
    )
    system = system or (
        before.system if before else _asked("--system", f"system ({', '.join(known_systems)})")
    )
    if system not in known_systems:
        raise RenewalError(
            expected=f"a system of {', '.join(known_systems)}",
            found=repr(system),
            do="Name one with --system.",
        )
    source = known_systems[system]
    given = {"client_id": client_id, "tenant": tenant, "username": username}
    login = (dict(before.login) if before else {}) | {key: value for key, value in given.items() if value}
    if username:
        login["way"] = "jwt"
    url = url or (before.url if before else getattr(source, "URL", None)) or _asked("--url", "https address")
    for key, what in source.ASKS.items():
        if not login.get(key):
            login[key] = _asked(f"--{key.replace('_', '-')}", what)
    objects = tuple(only or (before.objects if before else ()))
    fields = before.write_back if before and write_back is None else {}
    connection = Connection(name, system, checked_url(url), login, objects, fields)
    examined = source.examine(connection)
    lacking: list[str] = []
    if write_back:
        from serving.write_back import suggested_fields

        fields, lacking = suggested_fields(connection)
        connection = replace(connection, write_back=fields)
    return {
        "connection": str(write_connection(connection, settings.home)),
        "mapping": str(write_drafted_mapping(examined.drafted, connection, settings.home)),
        "address": f"{system}://{name}",
        "objects": [{"object": each, "fields": len(fields)} for each, fields in examined.fields.items()],
        "not_readable": examined.missing,
        "answers": answers_of(examined.drafted),
        "write_back": connection.write_back,
        "notes": examined.notes
        + [f"not written, as it is not there or not editable: {each}" for each in lacking],
    }


def _asked(option: str, what: str) -> str:
    """What a person at the terminal answers.

    Raises:
        RenewalError: nobody is there to be asked.
    """
    if not sys.stdin.isatty():
        raise RenewalError(expected=f"{option}, the {what}", found="none", do=f"Give {option}.")
    return str(typer.prompt(what[0].upper() + what[1:], err=True)).strip()
