"""Dynamics 365 takes values: a `$batch` of PATCH requests, each record's answer its own.

Follows "Execute batch operations using the Web API" of the Dataverse developer guide.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from email.parser import BytesParser

from features.errors import RenewalError
from features.sources import dynamics
from features.sources.connection_file import Connection
from features.sources.web_api import WebApi
from serving.write_back.written_log import Values

_DONE = ("200", "204")


class DynamicsTarget:
    """Dynamics 365: batches of up to 100 records, of which the refused ones do not hinder the others."""

    batch = 100
    objects: Mapping[str, str] = {
        "contracts": "contract",
        "opportunities": "opportunity",
        "accounts": "account",
    }
    prefix = "perennial_"

    def __init__(self, connection: Connection) -> None:
        self.api: WebApi = dynamics.opened_api(connection)
        self._defined: dict[str, dynamics.Definition] = {}

    def writable(self, object: str) -> set[str]:
        """As in Target."""
        if object not in self._definitions():
            return set()
        described = dynamics.described(self.api, object)
        return {each["LogicalName"] for each in described if each.get("IsValidForUpdate")}

    def read(self, object: str, ids: Sequence[str], fields: Sequence[str]) -> dict[str, Values]:
        """As in Target."""
        table = self._table(object)
        listed = ",".join(f"'{id}'" for id in ids)
        chosen = f"Microsoft.Dynamics.CRM.In(PropertyName='{table.key}',PropertyValues=[{listed}])"
        place = table.place
        query: dict[str, str] | None = {"$select": ",".join([table.key, *fields]), "$filter": chosen}
        values: dict[str, Values] = {}
        while place:
            headers = {"Prefer": f"odata.maxpagesize={self.batch}"}
            answer = self.api.json("GET", place, params=query, headers=headers)
            values |= {row[table.key]: {name: row.get(name) for name in fields} for row in answer["value"]}
            place, query = answer.get("@odata.nextLink"), None
        return values

    def write(self, object: str, values: Mapping[str, Values]) -> dict[str, str]:
        """As in Target."""
        if not values:
            return {}
        place, mark = self._table(object).place, f"batch_{uuid.uuid4()}"
        parts = [self._part(f"{place}({id})", fields) for id, fields in values.items()]
        body = "".join(f"--{mark}\r\n{part}\r\n" for part in parts) + f"--{mark}--\r\n"
        headers = {
            "Content-Type": f'multipart/mixed; boundary="{mark}"',
            "Prefer": "odata.continue-on-error",
        }
        answer = self.api.call("POST", f"{dynamics.DATA}/$batch", content=body.encode(), headers=headers)
        faults = _faults(answer.headers["Content-Type"], answer.content)
        if len(faults) != len(values):
            raise RenewalError(
                expected=f"{len(values)} answers in a batch of {self.api.called}",
                found=str(len(faults)),
                do="Run it again.",
            )
        return {id: fault for id, fault in zip(values, faults, strict=True) if fault}

    def _part(self, place: str, fields: Values) -> str:
        """One record's PATCH; `If-Match` keeps a deleted one from being created again."""
        lines = [
            "Content-Type: application/http",
            "Content-Transfer-Encoding: binary",
            "",
            f"PATCH {place} HTTP/1.1",
            "Content-Type: application/json",
            "If-Match: *",
            "",
            json.dumps(fields),
        ]
        return "\r\n".join(lines)

    def _definitions(self) -> dict[str, dynamics.Definition]:
        self._defined = self._defined or dynamics.definitions(self.api)
        return self._defined

    def _table(self, object: str) -> dynamics.Definition:
        if object not in self._definitions():
            raise RenewalError(
                expected=f"the table {object} in {self.api.called}",
                found="none",
                do="Take it out of write_back in the connection's file.",
            )
        return self._defined[object]


def _faults(content_type: str, body: bytes) -> list[str]:
    """Why each part of a batch was refused, in order; "" where it was not."""
    message = BytesParser().parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    faults = []
    for part in message.walk():
        if part.get_content_type() != "application/http":
            continue
        head, _, rest = str(part.get_payload()).replace("\r\n", "\n").partition("\n\n")
        status = [*head.split(), "", ""][1]
        faults.append("" if status in _DONE else f"{status} {_words(rest)}".strip())
    return faults


def _words(body: str) -> str:
    try:
        return str(json.loads(body)["error"]["message"])[:200]
    except (ValueError, KeyError, TypeError):
        return ""
