"""What was pulled from a connected system, laid down as tables of the contract by a mapping."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from features.errors import RenewalError
from features.scratch import replacing, turn
from features.sources.connection_file import Connection, connection_at, mapping_of, pulled_folder
from features.sources.mapping import read_mapping, run_mapping
from features.sources.object_pull import Pulled
from features.sources.object_tables import Drafted
from features.sources.readers import Raw

_DRAFTED = "# drafted "
ANSWERS = {
    "likelihood to renew": ("contracts.account_id", "contracts.start_date", "contracts.end_date"),
    "money at risk": ("contracts.annual_value",),
    "win probability": ("opportunities.created_at", "opportunities.closed_at", "opportunities.is_won"),
    "when to make contact": ("contracts.end_date", "activities.occurred_at", "activities.kind"),
    "calls to win": ("opportunities.is_won", "activities.kind", "activities.opportunity_id"),
    "discount": ("quotes.quoted_at", "quotes.list_amount", "quotes.net_amount", "quotes.opportunity_id"),
    "customer profiles": ("opportunities.is_won", "accounts.industry", "accounts.country"),
    "profiles without hindsight": ("history.column",),
    "campaigns": ("touches.sent_at", "touches.responded_at"),
    "support": ("cases.opened_at", "cases.closed_at"),
    "product usage": ("usage.metric",),
}
"""Answer → the columns without which it cannot be given, or only poorly."""


@dataclass(frozen=True)
class Examined:
    """What a connection's user may read.

    Args:
        fields: object → its fields that are read.
        missing: objects that are not there, or not for this user.
        drafted: the tables that the fields make.
        notes: limits and the like, in words.
    """

    fields: dict[str, list[str]]
    missing: list[str]
    drafted: Drafted
    notes: list[str]


def answers_of(drafted: Drafted) -> list[dict[str, str]]:
    """For each answer whether the readable columns suffice, and what is missing.

    A missing column is followed by the fields that it would come from.
    """
    rows = []
    for answer, needs in ANSWERS.items():
        lacking = []
        for need in needs:
            table, _, column = need.partition(".")
            has = table in drafted.selects and (
                table not in drafted.columns or column in drafted.columns[table]
            )
            if not has:
                lacks = drafted.missing.get(table, {})
                fields = list(dict.fromkeys(lacks.get(column, lacks.get("*", []))))
                lacking.append(f"{need} ({', '.join(fields)})" if fields else need)
        rows.append(
            {"answer": answer, "state": "not yet" if lacking else "readable", "missing": ", ".join(lacking)}
        )
    return rows


def read_connected(
    address: str,
    mapping: Path | None,
    staging: Path,
    home: Path,
    pull: Callable[[Connection, Path], list[Pulled]],
    draft: Callable[[dict[str, list[str]]], Drafted],
) -> Raw:
    """Lay down what a connected system holds as raw Parquet, one reader of a connection at a time.

    Args:
        address: `SYSTEM://NAME`, the name of a connection.
        mapping: table → SELECT over the objects by name; without it the connection's own, or a drafted one.
        staging: an empty folder for the raw files.
        home: where connections and what was pulled are kept.
        pull: brings the connection's objects up to date in a folder.
        draft: what the objects' columns make.

    Raises:
        RenewalError: no such connection, no way in, a limit used up, or nothing readable.
    """
    connection = connection_at(address, home)
    folder = pulled_folder(connection.name, home)
    with turn(folder / ".lock"):
        pulled = pull(connection, folder)
        drafted = draft({each.name: each.columns for each in pulled})
        return read_pulled(connection, pulled, drafted, mapping, staging, home)


def read_pulled(
    connection: Connection,
    pulled: list[Pulled],
    drafted: Drafted,
    mapping: Path | None,
    staging: Path,
    home: Path,
) -> Raw:
    """Run the mapping over the pulled objects.

    Args:
        connection: whose objects they are.
        pulled: the objects' tables, each named as its object.
        drafted: the SELECTs that the readable fields allow.
        mapping: a file given in its place; without one, the connection's own if somebody changed it.
        staging: an empty folder for the raw files.
        home: where the connection's mapping is.

    Raises:
        RenewalError: nothing can be read, or a SELECT is broken.
    """
    own_mapping = mapping_of(connection.name, home)
    if mapping is None and own_mapping.is_file() and not is_as_drafted(own_mapping):
        mapping = own_mapping
    selects = drafted.selects if mapping is None else read_mapping(mapping)
    if not selects:
        raise RenewalError(
            expected=f"objects of {connection.name} that its user may read",
            found="none",
            do="Give its user the rights that docs/connections.md names, then run"
            f" `perennial connect {connection.name}`.",
        )
    raw = Raw()
    queries = {each.name: each.query for each in pulled}
    run_mapping(selects, pulled_folder(connection.name, home), [], staging, raw, queries)
    raw.warnings += [
        f"{table}: not readable in {connection.name}: {', '.join(dict.fromkeys(columns['*']))}"
        for table, columns in drafted.missing.items()
        if "*" in columns and table not in selects
    ]
    return raw


def write_drafted_mapping(drafted: Drafted, connection: Connection, home: Path) -> Path:
    """Write the drafted SELECTs as the connection's mapping, unless somebody changed it."""
    place = mapping_of(connection.name, home)
    if place.is_file() and not is_as_drafted(place):
        return place
    body = "".join(
        f"\n{table}: |\n" + "".join(f"  {line}\n" for line in select.splitlines())
        for table, select in drafted.selects.items()
    )
    head = (
        f"{_DRAFTED}{_digest(body)} for {connection.system}://{connection.name}. Unchanged, it is redrafted\n"
    )
    head += "# at each reading, as fields come and go; once you change it, it is used as it stands.\n"
    with replacing(place) as part:
        part.write_text(head + body, encoding="utf-8")
    return place


def is_as_drafted(place: Path) -> bool:
    """Whether a mapping is as it was drafted."""
    text = place.read_text(encoding="utf-8")
    first, _, rest = text.partition("\n")
    body = rest.partition("\n")[2]
    return first.startswith(f"{_DRAFTED}{_digest(body)} ")


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
