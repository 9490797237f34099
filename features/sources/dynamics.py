"""Dynamics 365: `dynamics://NAME` reads tables through the Dataverse Web API, changes only.

Follows Microsoft's Dataverse developer guide: OData v4, `Prefer: odata.track-changes` with delta links, which
report deleted rows too, pages by `@odata.nextLink`, and OAuth 2.0 client credentials of an app registration.
A table without change tracking is read in full each time. Attributes that Dataverse calculates are not
carried, nor is long text.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pandas as pd

from features.progress import Say, silent
from features.sources.connected import Examined, read_connected
from features.sources.connection_file import (
    Connection,
    checked_url,
    login_value,
    secret_of,
)
from features.sources.dynamics_tables import DELETED, OBJECTS, ROWS
from features.sources.object_pull import CursorLostError, MarkLostError, Page, Pulled, pull_all, write_rows
from features.sources.object_tables import Drafted, draft_tables, needed
from features.sources.readers import Raw
from features.sources.web_api import RefusedError, WebApi, token_from

SCHEMES = ("dynamics",)
ASKS = {"tenant": "directory (tenant) id", "client_id": "application (client) id"}
DATA = "/api/data/v9.2"
MOST_CUSTOM = 150
"""Custom attributes that are carried of a table: a query names them in its address."""
_PAGE_ROWS = 5_000
_AUTHORITIES = {
    ".crm.dynamics.cn": "https://login.partner.microsoftonline.cn",
    ".crm.appsplatform.us": "https://login.microsoftonline.us",
    ".crm.microsoftdynamics.us": "https://login.microsoftonline.us",
}
_AUTHORITY = "https://login.microsoftonline.com"
_LABEL = "OData.Community.Display.V1.FormattedValue"
_TARGET = "Microsoft.Dynamics.CRM.lookuplogicalname"
_CHOICES = ("Picklist", "State", "Status")
_LOOKUPS = ("Lookup", "Customer", "Owner")
_PLAIN = (
    "String",
    "Integer",
    "BigInt",
    "Decimal",
    "Double",
    "Money",
    "Boolean",
    "DateTime",
    "Uniqueidentifier",
)


@dataclass(frozen=True)
class Definition:
    """A table as Dataverse defines it: its name, its address, its key, and whether it tracks changes."""

    name: str
    place: str
    key: str
    is_tracked: bool


@dataclass(frozen=True)
class Attribute:
    """What is read of a table under one column's name.

    Args:
        selected: the attribute's name in `$select`.
        property: of a record in an answer.
        is_custom: whether the organisation added it.
        is_first: whether it is what the attribute is carried as: a choice's label, not its number.
    """

    selected: str
    property: str
    is_custom: bool
    is_first: bool


def read(
    address: str,
    mapping: Path | None,
    until: pd.Timestamp | None,
    staging: Path,
    *,
    home: Path,
    say: Say = silent,
) -> Raw:
    """Lay down what the organisation holds as raw Parquet; arguments and errors as for Salesforce."""

    def bring(connection: Connection, folder: Path) -> list[Pulled]:
        api = opened_api(connection)
        return pull_objects(api, readable_objects(api, connection)[0], folder, say)

    return read_connected(address, mapping, staging, home, bring, draft)


def opened_api(connection: Connection) -> WebApi:
    """The organisation's interface, by the client credentials of an app registration."""
    headers = {"Accept": "application/json", "OData-MaxVersion": "4.0", "OData-Version": "4.0"}
    return WebApi(
        connection.name, connection.url, lambda client: _log_in(client, connection), headers=headers
    )


def _log_in(client: httpx.Client, connection: Connection) -> str:
    host = connection.url.rpartition("/")[2]
    by_cloud = next((place for end, place in _AUTHORITIES.items() if host.endswith(end)), _AUTHORITY)
    authority = checked_url(connection.login.get("authority") or by_cloud)
    form = {
        "grant_type": "client_credentials",
        "client_id": login_value(connection, "client_id"),
        "client_secret": secret_of(connection.name).get_secret_value(),
        "scope": f"{connection.url}/.default",
    }
    place = f"{authority}/{login_value(connection, 'tenant')}/oauth2/v2.0/token"
    return token_from(client, place, form, connection.name)


def readable_objects(api: WebApi, connection: Connection) -> tuple[list[Definition], list[str]]:
    """Tables that the app's user may read, and the names of those it may not.

    Tables that are only `perennial connect --object` named, not known here, are read for the mapping.
    """
    wanted = list(connection.objects) or list(OBJECTS)
    defined = definitions(api)
    readable = []
    for name in wanted:
        if name not in defined:
            continue
        try:
            feed = TableFeed(api, defined[name])
            feed.probe()
            readable.append(defined[name])
        except RefusedError as refused:
            if refused.status not in (403, 404):
                raise
    names = [each.name for each in readable]
    return readable, [name for name in wanted if name not in names]


def definitions(api: WebApi) -> dict[str, Definition]:
    """Name → definition, of every table."""
    fields = "LogicalName,EntitySetName,PrimaryIdAttribute,ChangeTrackingEnabled"
    listed = api.json("GET", f"{DATA}/EntityDefinitions", params={"$select": fields})["value"]
    return {
        each["LogicalName"]: Definition(
            each["LogicalName"],
            f"{DATA}/{each['EntitySetName']}",
            each["PrimaryIdAttribute"],
            bool(each["ChangeTrackingEnabled"]),
        )
        for each in listed
        if each.get("EntitySetName")
    }


def examine(connection: Connection) -> Examined:
    """Log in and see what may be read.

    Raises:
        RenewalError: no way in.
    """
    api = opened_api(connection)
    readable, missing = readable_objects(api, connection)
    fields = {each.name: TableFeed(api, each).columns() for each in readable}
    untracked = [each.name for each in readable if not each.is_tracked]
    notes = [f"read in full each time, as they do not track changes: {', '.join(untracked)}"]
    return Examined(fields, missing, draft(fields), notes if untracked else [])


def draft(fields: Mapping[str, list[str]]) -> Drafted:
    """The SELECTs of the tables that these attributes make."""
    declared = needed(ROWS)
    carried = {
        name: [each for each in names if each not in declared.get(name, ())] for name, names in fields.items()
    }
    return draft_tables(ROWS, fields, carried)


def pull_objects(api: WebApi, tables: Iterable[Definition], folder: Path, say: Say) -> list[Pulled]:
    """Bring every table up to date."""
    return pull_all((TableFeed(api, table) for table in tables), folder, say)


def described(api: WebApi, name: str) -> list[dict[str, Any]]:
    """A table's attributes as they are defined right now."""
    fields = (
        "LogicalName,AttributeType,AttributeOf,IsCustomAttribute,IsValidForRead,IsValidForUpdate,SourceType"
    )
    place = f"{DATA}/EntityDefinitions(LogicalName='{name}')/Attributes"
    listed: list[dict[str, Any]] = api.json("GET", place, params={"$select": fields})["value"]
    return listed


class TableFeed:
    """A table by its delta link: all of it at first, then what changed and what was deleted.

    Args:
        api: of the organisation.
        table: its definition.
    """

    changed, deleted, merged = "", DELETED, ""

    def __init__(self, api: WebApi, table: Definition) -> None:
        self.api, self.table = api, table
        self.name, self.key = table.name, table.key
        self._columns: dict[str, Attribute] = {}

    def columns(self) -> list[str]:
        """The attributes to read, as defined right now, under the names that Dataverse's own tools give."""
        offered = _offered(described(self.api, self.name))
        declared = needed(ROWS).get(self.name)
        if declared is None:
            wanted = [name for name, about in offered.items() if about.is_first]
        else:
            wanted = [name for name in declared if name in offered]
        if any(rows.object == self.name and rows.carries for rows in ROWS):
            custom = (name for name, about in offered.items() if about.is_custom and about.is_first)
            wanted += sorted(custom)[:MOST_CUSTOM]
        self._columns = {name: offered[name] for name in dict.fromkeys([self.key, *wanted])}
        return [*self._columns, DELETED]

    def probe(self) -> None:
        """Ask for one row.

        Raises:
            RefusedError: the user may not read the table, or not all of it, as tracking changes needs.
        """
        self._get(f"{self.table.place}?$select={self.key}", self.table.is_tracked, rows=1)

    def begin(self, since: str | None) -> str:
        """The first page's address: the delta link of the last time, or all rows."""
        if since is not None and not self.table.is_tracked:
            raise MarkLostError("it does not track changes")
        if since is not None:
            return json.dumps({"address": since, "is_delta": True})
        selected = dict.fromkeys(each.selected for each in self._columns.values())
        return json.dumps({"address": f"{self.table.place}?$select={','.join(selected)}", "is_delta": False})

    def page(self, cursor: str, part: Path) -> Page:
        """Write one page; the last one brings the delta link of the next time."""
        place = json.loads(cursor)
        try:
            answer = self._get(place["address"], self.table.is_tracked and not place["is_delta"])
        except RefusedError as refused:
            if refused.status not in (400, 404, 410):
                raise
            lost = MarkLostError if place["is_delta"] else CursorLostError
            raise lost(f"the page was refused ({refused.found})") from refused
        rows = write_rows(part, [*self._columns, DELETED], map(self._row, answer["value"]))
        following = answer.get("@odata.nextLink")
        cursor = json.dumps({**place, "address": following})
        return Page(rows, cursor if following else None, answer.get("@odata.deltaLink"))

    def _get(self, address: str, is_tracking: bool, rows: int = _PAGE_ROWS) -> Any:
        wanted = [f"odata.maxpagesize={rows}", f'odata.include-annotations="{_LABEL},{_TARGET}"']
        if is_tracking:
            wanted.append("odata.track-changes")
        return self.api.json("GET", address, headers={"Prefer": ",".join(wanted)})

    def _row(self, record: dict[str, Any]) -> dict[str, Any]:
        if record.get("@odata.context", "").endswith("/$deletedEntity"):
            return {self.key: record["id"], DELETED: "true"}
        row = {name: record.get(each.property) for name, each in self._columns.items()}
        return {**row, DELETED: "false"}


def _offered(attributes: Iterable[dict[str, Any]]) -> dict[str, Attribute]:
    """Column → how it is read: a choice also has its label (`…name`), a lookup its table (`…type`)."""
    columns: dict[str, Attribute] = {}
    listed = [each for each in attributes if each["IsValidForRead"] and not each.get("AttributeOf")]
    names = {each["LogicalName"] for each in listed}
    for each in listed:
        name, kind = each["LogicalName"], each["AttributeType"]
        is_calculated = (each.get("SourceType") or 0) != 0 or name.removesuffix("_base") in names - {name}
        is_custom = each["IsCustomAttribute"] and not is_calculated and "perennial_" not in name
        if kind in _LOOKUPS:
            reference = f"_{name}_value"
            columns[name] = Attribute(reference, reference, is_custom, True)
            columns[f"{name}type"] = Attribute(reference, f"{reference}@{_TARGET}", is_custom, False)
        elif kind in _CHOICES:
            columns[name] = Attribute(name, name, is_custom, False)
            columns[f"{name}name"] = Attribute(name, f"{name}@{_LABEL}", is_custom, True)
        elif kind in _PLAIN:
            columns[name] = Attribute(name, name, is_custom, True)
    return columns
