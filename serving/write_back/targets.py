"""How each system takes values back: read what stands, write in batches, and say which records failed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from features.errors import RenewalError
from features.sources import hubspot, salesforce
from features.sources.connection_file import Connection
from features.sources.web_api import RefusedError, WebApi
from serving.write_back.dynamics_target import DynamicsTarget
from serving.write_back.written_log import Values


class Target(Protocol):
    """A system that takes values.

    Attributes:
        batch: how many records one call takes.
        objects: contract table → the system's object.
        prefix: of the fields' names that `perennial connect --write-back` suggests.
    """

    batch: int
    objects: Mapping[str, str]
    prefix: str

    def writable(self, object: str) -> set[str]:
        """Fields of the object that this user may write."""

    def read(self, object: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Values]:
        """Id → field → what stands there; ids that are not there are left out."""

    def write(self, object: str, values: Mapping[str, Values]) -> dict[str, str]:
        """Write a batch; returns id → why for those that were not taken."""


class SalesforceTarget:
    """Salesforce: composite collections of up to 200 records."""

    batch = 200
    objects: Mapping[str, str] = {
        "contracts": "Contract",
        "opportunities": "Opportunity",
        "accounts": "Account",
    }
    prefix = "Perennial_"

    def __init__(self, connection: Connection) -> None:
        self.api: WebApi = salesforce.opened_api(connection)

    def writable(self, object: str) -> set[str]:
        """As in Target."""
        described = self.api.json("GET", f"{salesforce.DATA}/sobjects/{object}/describe")["fields"]
        return {each["name"] for each in described if each.get("updateable")}

    def read(self, object: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Values]:
        """As in Target."""
        place = f"{salesforce.DATA}/composite/sobjects/{object}"
        rows = self.api.json("POST", place, json={"ids": list(ids), "fields": ["Id", *fields]})
        return {row["Id"]: {name: row.get(name) for name in fields} for row in rows if row}

    def write(self, object: str, values: Mapping[str, Values]) -> dict[str, str]:
        """As in Target."""
        records = [{"attributes": {"type": object}, "id": id, **fields} for id, fields in values.items()]
        wanted = {"allOrNone": False, "records": records}
        answers = self.api.json("PATCH", f"{salesforce.DATA}/composite/sobjects", json=wanted)
        return {
            id: _words(answer.get("errors"))
            for id, answer in zip(values, answers, strict=True)
            if not answer["success"]
        }


class HubSpotTarget:
    """HubSpot: batches of up to 100 records; where one is refused, each is tried alone."""

    batch = 100
    objects: Mapping[str, str] = {"opportunities": "deals", "accounts": "companies"}
    prefix = "perennial_"

    def __init__(self, connection: Connection) -> None:
        self.api: WebApi = hubspot.opened_api(connection)

    def writable(self, object: str) -> set[str]:
        """As in Target."""
        described = self.api.json("GET", f"/crm/v3/properties/{object}")["results"]
        return {
            each["name"]
            for each in described
            if not each.get("modificationMetadata", {}).get("readOnlyValue") and not each.get("calculated")
        }

    def read(self, object: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Values]:
        """As in Target."""
        inputs = [{"id": id} for id in ids]
        wanted = {"inputs": inputs, "properties": list(fields), "propertiesWithHistory": []}
        rows = self.api.json("POST", f"/crm/v3/objects/{object}/batch/read", json=wanted)["results"]
        return {row["id"]: {name: row["properties"].get(name) for name in fields} for row in rows}

    def write(self, object: str, values: Mapping[str, Values]) -> dict[str, str]:
        """As in Target."""
        try:
            self._update(object, values)
        except RefusedError as refused:
            if refused.status not in (400, 404) or not values:
                raise
            if len(values) == 1:
                return dict.fromkeys(values, refused.found)
            return {
                id: why for each in values for id, why in self.write(object, {each: values[each]}).items()
            }
        return {}

    def _update(self, object: str, values: Mapping[str, Values]) -> None:
        inputs = [
            {"id": id, "properties": {name: "" if value is None else value for name, value in fields.items()}}
            for id, fields in values.items()
        ]
        self.api.json("POST", f"/crm/v3/objects/{object}/batch/update", json={"inputs": inputs})


TARGETS: Mapping[str, Callable[[Connection], Target]] = {
    "salesforce": SalesforceTarget,
    "hubspot": HubSpotTarget,
    "dynamics": DynamicsTarget,
}


def field_name(target: Target, what: str) -> str:
    """The name that is suggested for a field; an organisation's own prefix may precede it."""
    return f"{target.prefix}{what.title()}__c" if target.prefix[0].isupper() else f"{target.prefix}{what}"


def target_of(connection: Connection) -> Target:
    """The system behind a connection, ready to take values.

    Raises:
        RenewalError: it cannot take any.
    """
    if connection.system not in TARGETS:
        raise RenewalError(
            expected=f"a system that values can be written to ({', '.join(TARGETS)})",
            found=connection.system,
            do="Choose another connection.",
        )
    return TARGETS[connection.system](connection)


def _words(errors: Any) -> str:
    first = errors[0] if errors else {}
    return f"{first.get('statusCode', '')} {first.get('message', '')}".strip()[:200]
