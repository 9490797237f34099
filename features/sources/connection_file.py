"""A connection to another system: a small file in the home without secrets; those come from outside."""

import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import SecretStr

from features.errors import RenewalError
from features.scratch import replacing

PULLED = "pulled"
"""The folder of the home for what was pulled from systems."""
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True)
class Connection:
    """How a system is reached.

    Args:
        name: the NAME in `salesforce://NAME`.
        system: the scheme of its addresses.
        url: where it answers.
        login: what a login needs besides the secret (`client_id`, `username`, `way`).
        objects: those to read; empty: all that the system's source knows.
        write_back: contract table → what is written → the system's field; empty: nothing is written.
    """

    name: str
    system: str
    url: str
    login: dict[str, str] = field(default_factory=dict)
    objects: tuple[str, ...] = ()
    write_back: dict[str, dict[str, str]] = field(default_factory=dict)


def checked_name(name: str) -> str:
    """The name, if a connection can be called that.

    Raises:
        RenewalError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise RenewalError(
            expected="a connection's name of small letters, digits, - and _ (like acme)",
            found=repr(name[:40]),
            do="Choose another.",
        )
    return name


def checked_url(url: str) -> str:
    """An address without a slash at the end, if a secret can be sent there.

    Raises:
        RenewalError: it is no https address (http is for this machine alone).
    """
    plain = url.strip().rstrip("/")
    scheme, _, rest = plain.partition("://")
    host = rest.partition("/")[0]
    is_local = scheme == "http" and host.rpartition(":")[0] in _LOOPBACK
    if not (scheme == "https" or is_local) or not host or "@" in host:
        raise RenewalError(
            expected="an address like https://acme.my.salesforce.com",
            found=repr(plain[:80]),
            do="Give the system's https address, without user or password.",
        )
    return plain


def place_of(name: str, home: Path) -> Path:
    """The connection's file."""
    return home / "connections" / f"{checked_name(name)}.yaml"


def mapping_of(name: str, home: Path) -> Path:
    """The connection's mapping, if it has one of its own."""
    return home / "connections" / f"{checked_name(name)}.mapping.yaml"


def pulled_folder(name: str, home: Path) -> Path:
    """Where what was pulled from the system is kept."""
    return home / PULLED / checked_name(name)


def write_connection(connection: Connection, home: Path) -> Path:
    """Write the connection's file, in one step; returns its place."""
    content = {key: value for key, value in asdict(connection).items() if value and key != "name"}
    content["objects"] = list(connection.objects)
    place = place_of(connection.name, home)
    with replacing(place) as part:
        part.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return place


def read_connection(name: str, home: Path) -> Connection:
    """The connection of that name.

    Raises:
        RenewalError: there is none, or its file is damaged.
    """
    place = place_of(name, home)
    try:
        content = yaml.safe_load(place.read_text(encoding="utf-8"))
        content["objects"] = tuple(content.get("objects") or ())
        connection = Connection(name=name, **content)
    except FileNotFoundError as error:
        raise RenewalError(
            expected=f"a connection {name} in {place.parent}",
            found="none",
            do=f"Run `perennial connect {name}` first.",
        ) from error
    except (yaml.YAMLError, TypeError, AttributeError) as error:
        raise RenewalError(
            expected=f"{place} to be a connection",
            found=" ".join(str(error).split())[:200],
            do=f"Correct it, or run `perennial connect {name}` again.",
        ) from error
    checked_url(connection.url)
    return connection


def connections(home: Path) -> list[Connection]:
    """All connections of a home, by name."""
    places = sorted((home / "connections").glob("*.yaml"))
    names = [place.stem for place in places if not place.name.endswith(".mapping.yaml")]
    return [read_connection(name, home) for name in names]


def connection_at(address: str, home: Path) -> Connection:
    """The connection that an address such as `salesforce://acme` names.

    Raises:
        RenewalError: there is none, or it is of another system.
    """
    system, _, name = address.partition("://")
    connection = read_connection(name.strip("/"), home)
    if connection.system != system:
        raise RenewalError(
            expected=f"{connection.system}://{connection.name}",
            found=address[:80],
            do="Name the connection with its system.",
        )
    return connection


def secret_variable(name: str) -> str:
    """The environment variable of a connection's secret; with `_FILE` after it, of the file that holds it."""
    return f"PERENNIAL_SECRET_{name.upper().replace('-', '_')}"


def secret_of(name: str) -> SecretStr:
    """A connection's secret, from the environment or the file that the environment names.

    Raises:
        RenewalError: neither is there.
    """
    variable = secret_variable(name)
    if value := os.environ.get(variable):
        return SecretStr(value.strip())
    file = os.environ.get(f"{variable}_FILE")
    try:
        text = Path(file).read_text(encoding="utf-8").strip() if file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise RenewalError(
            expected=f"a readable file named by {variable}_FILE",
            found=getattr(error, "strerror", None) or "no text",
            do="Check the path and its permissions.",
        ) from error
    if not text:
        raise RenewalError(
            expected=f"the secret of {name} in {variable}, or in the file that {variable}_FILE names",
            found="neither" if not file else "an empty file",
            do="Set one of them; a secret is never kept in the home.",
        )
    return SecretStr(text)


def login_value(connection: Connection, key: str) -> str:
    """A part of the login.

    Raises:
        RenewalError: the connection's file lacks it.
    """
    value: Any = connection.login.get(key)
    if not value:
        raise RenewalError(
            expected=f"{key} in the login of {connection.name}",
            found="none",
            do=f"Run `perennial connect {connection.name}` again and give it.",
        )
    return str(value)
