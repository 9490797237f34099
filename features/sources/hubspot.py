"""HubSpot: `hubspot://NAME` reads CRM objects with their associations and property history, changes only.

Follows HubSpot's CRM API v3 (lists paged by `after`; search by `hs_lastmodifieddate`, 10,000 results at most
a query) and v4 associations. The first pull lists all; later ones search what changed. What was archived is
listed each time. Properties that HubSpot calculates are not carried, nor is long text.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from features.progress import Say, silent
from features.sources.connected import Examined, read_connected
from features.sources.connection_file import Connection, secret_of
from features.sources.hubspot_tables import ASSOCIATED, CHANGED, HISTORY, OBJECTS, ROWS, history_selects
from features.sources.object_pull import CursorLostError, Page, Pulled, pull_all, write_rows
from features.sources.object_tables import Drafted, draft_tables, needed
from features.sources.readers import Raw
from features.sources.web_api import RefusedError, WebApi

SCHEMES = ("hubspot",)
ASKS: Mapping[str, str] = {}
URL = "https://api.hubapi.com"
OVERLAP_MS = 5 * 60_000
"""The search index lags behind the records: changes are asked for from a little earlier."""
MOST_OF_A_SEARCH = 10_000
MOST_CUSTOM = 150
"""Custom properties that are carried of an object: a list names them in its address."""
_PAGE = 100
_PAGE_WITH_HISTORY = 50
_UNREADABLE = ("textarea", "html", "file", "calculation_equation", "calculation_rollup", "calculation_score")


def read(
    address: str,
    mapping: Path | None,
    until: pd.Timestamp | None,
    staging: Path,
    *,
    home: Path,
    say: Say = silent,
) -> Raw:
    """Lay down what the account holds as raw Parquet; arguments and errors as for Salesforce."""

    def bring(connection: Connection, folder: Path) -> list[Pulled]:
        api = opened_api(connection)
        return pull_objects(api, readable_objects(api, connection)[0], folder, say)

    return read_connected(address, mapping, staging, home, bring, draft)


def opened_api(connection: Connection) -> WebApi:
    """The account's interface, by the token of a private app."""
    return WebApi(
        connection.name, connection.url, lambda client: secret_of(connection.name).get_secret_value()
    )


def readable_objects(api: WebApi, connection: Connection) -> tuple[list[str], list[str]]:
    """Objects that the token may read, and those it may not."""
    wanted = [name for name in OBJECTS if not connection.objects or name in connection.objects]
    readable = []
    for name in wanted:
        try:
            place = "/crm/v3/owners" if name == "owners" else f"/crm/v3/objects/{name}"
            api.json("GET", place, params={"limit": 1})
            readable.append(name)
        except RefusedError as refused:
            if refused.status not in (403, 404):
                raise
    return readable, [name for name in wanted if name not in readable]


def examine(connection: Connection) -> Examined:
    """Log in and see what may be read.

    Raises:
        RenewalError: no way in.
    """
    api = opened_api(connection)
    readable, missing = readable_objects(api, connection)
    fields = {name: _feed(api, name).columns() for name in readable}
    return Examined(fields, missing, draft(fields), [])


def draft(fields: Mapping[str, list[str]]) -> Drafted:
    """The SELECTs of the tables that these properties make."""
    declared = needed(ROWS)
    carried = {
        name: [each for each in names if each not in declared.get(name, ()) and not _is_ours(each, name)]
        for name, names in fields.items()
    }
    drafted = draft_tables(ROWS, fields, carried)
    for table, select in history_selects(fields).items():
        drafted.selects[table] = select
        drafted.missing.pop(table, None)
    return drafted


def _is_ours(column: str, name: str) -> bool:
    return column in ("id", "archived", "history", CHANGED, *ASSOCIATED.get(name, {}).values())


def pull_objects(api: WebApi, names: Iterable[str], folder: Path, say: Say) -> list[Pulled]:
    """Bring every object's table up to date."""
    return pull_all((_feed(api, name) for name in names), folder, say)


def _feed(api: WebApi, name: str) -> "ObjectFeed | OwnerFeed":
    return OwnerFeed(api) if name == "owners" else ObjectFeed(api, name)


class ObjectFeed:
    """An object of the CRM: all of it by its list, changes by search, the archived ones by their list.

    Args:
        api: of the account.
        name: of the object, as in its address.
    """

    key, changed, deleted, merged = "id", CHANGED, "archived", ""

    def __init__(self, api: WebApi, name: str) -> None:
        self.api, self.name = api, name
        self.place = f"/crm/v3/objects/{name}"
        self.history = HISTORY.get(name, ())
        self._properties: list[str] = []

    def columns(self) -> list[str]:
        """The properties to read, as described right now, and what goes with each record."""
        listed = self.api.json("GET", f"/crm/v3/properties/{self.name}")["results"]
        described = {each["name"]: each for each in listed}
        custom = sorted(each for each, about in described.items() if _is_carried(about))[:MOST_CUSTOM]
        wanted = [each for each in needed(ROWS).get(self.name, ()) if each in described]
        self._properties = list(dict.fromkeys([*wanted, *(custom if self._carries() else [])]))
        return self._all()

    def _carries(self) -> bool:
        return any(rows.object == self.name and rows.carries for rows in ROWS)

    def _all(self) -> list[str]:
        linked = ASSOCIATED.get(self.name, {}).values()
        return ["id", "archived", CHANGED, *linked, *self._properties, *(["history"] if self.history else [])]

    def begin(self, since: str | None) -> str:
        """The first page: of the list, or of a search from a little before the mark."""
        if since is None:
            return json.dumps({"step": "list", "after": None})
        begin = int(pd.Timestamp(since).timestamp() * 1000) - OVERLAP_MS
        return json.dumps({"step": "search", "after": None, "since": begin})

    def page(self, cursor: str, part: Path) -> Page:
        """Write one page; after the last of the living come the archived."""
        place = json.loads(cursor)
        try:
            records, following = self._searched(place) if place["step"] == "search" else self._listed(place)
        except RefusedError as refused:
            if refused.status == 400:
                raise CursorLostError(f"the page was refused ({refused.found})") from refused
            raise
        rows = write_rows(part, self._all(), map(self._row, records))
        if following is None and place["step"] != "archived":
            following = {"step": "archived", "after": None}
        return Page(rows, None if following is None else json.dumps(following))

    def _listed(self, place: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        is_archived = place["step"] == "archived"
        query = {
            "limit": _PAGE_WITH_HISTORY if self.history else _PAGE,
            "properties": ",".join(self._properties),
            "archived": str(is_archived).lower(),
        }
        if not is_archived:
            query["associations"] = ",".join(ASSOCIATED.get(self.name, {}))
            query["propertiesWithHistory"] = ",".join(self.history)
        if place["after"]:
            query["after"] = place["after"]
        given = {key: value for key, value in query.items() if value != ""}
        answer = self.api.json("GET", self.place, params=given)
        after = answer.get("paging", {}).get("next", {}).get("after")
        return answer["results"], {**place, "after": after} if after else None

    def _searched(self, place: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
        """Records that changed; past the most that one search gives, the next begins at the last change."""
        field = "lastmodifieddate" if self.name == "contacts" else "hs_lastmodifieddate"
        changed_since = {"propertyName": field, "operator": "GTE", "value": str(place["since"])}
        limit = _PAGE_WITH_HISTORY if self.history else _PAGE
        wanted = {
            "limit": limit,
            "filterGroups": [{"filters": [changed_since]}],
            "sorts": [{"propertyName": field, "direction": "ASCENDING"}],
            "properties": [field],
        }
        if place["after"]:
            wanted["after"] = place["after"]
        answer = self.api.json("POST", f"{self.place}/search", json=wanted)
        after = answer.get("paging", {}).get("next", {}).get("after")
        following: dict[str, Any] | None = {**place, "after": after} if after else None
        if after and int(after) + limit > MOST_OF_A_SEARCH:
            last = int(pd.Timestamp(answer["results"][-1]["updatedAt"]).timestamp() * 1000)
            following = {"step": "search", "after": None, "since": max(last, place["since"] + 1)}
        return self._read_by_id([each["id"] for each in answer["results"]]), following

    def _read_by_id(self, ids: list[str]) -> list[dict[str, Any]]:
        """Records with history and associations, which a search does not give."""
        if not ids:
            return []
        inputs = [{"id": each} for each in ids]
        wanted = {
            "inputs": inputs,
            "properties": self._properties,
            "propertiesWithHistory": list(self.history),
        }
        records = self.api.json("POST", f"{self.place}/batch/read", json=wanted)["results"]
        by_id = {record["id"]: record for record in records}
        for other in ASSOCIATED.get(self.name, {}):
            place = f"/crm/v4/associations/{self.name}/{other}/batch/read"
            for pair in (self.api.json("POST", place, json={"inputs": inputs}) or {}).get("results", []):
                linked = [{"id": str(each["toObjectId"])} for each in pair["to"]]
                record = by_id.get(str(pair["from"]["id"]), {})
                record.setdefault("associations", {})[other] = {"results": linked}
        return records

    def _row(self, record: dict[str, Any]) -> dict[str, Any]:
        """A record as a row; of several linked records the one with the lowest id counts."""
        row = {**record.get("properties", {}), "id": record["id"], CHANGED: record.get("updatedAt")}
        row["archived"] = bool(record.get("archived"))
        for other, column in ASSOCIATED.get(self.name, {}).items():
            linked = record.get("associations", {}).get(other, {}).get("results", [])
            ids = [str(each["id"]) for each in linked]
            row[column] = min(ids, key=lambda each: (len(each), each), default=None)
        if self.history:
            changes = record.get("propertiesWithHistory") or {}
            row["history"] = [
                {"property": name, "value": each.get("value"), "at": each["timestamp"]}
                for name, versions in changes.items()
                for each in versions
            ]
        return row


def _is_carried(described: dict[str, Any]) -> bool:
    """A custom property that is stored, short, and not one that Perennial itself writes."""
    return (
        not described.get("hubspotDefined")
        and not described.get("calculated")
        and not described["name"].startswith("perennial_")
        and described.get("fieldType") not in _UNREADABLE
    )


class OwnerFeed:
    """Owners, in full each time."""

    name, key = "owners", "id"
    changed = deleted = merged = ""

    def __init__(self, api: WebApi) -> None:
        self.api = api

    def columns(self) -> list[str]:
        """What is kept of an owner."""
        return ["id", "firstName", "lastName"]

    def begin(self, since: str | None) -> str:
        """The first page's place."""
        return ""

    def page(self, cursor: str, part: Path) -> Page:
        """Write one page."""
        query = {"limit": str(_PAGE)} | ({"after": cursor} if cursor else {})
        answer = self.api.json("GET", "/crm/v3/owners", params=query)
        after = answer.get("paging", {}).get("next", {}).get("after")
        return Page(write_rows(part, self.columns(), answer["results"]), after)
