# ruff: noqa: E501
"""HubSpot as its reference describes it: lists, search, batch reads, associations, archived records."""

import json
import re
from datetime import datetime

from api_server import Answer, ApiServer

OWNED = {"owners"}


def ms(moment):
    return int(datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp() * 1000)


class HubSpotServer(ApiServer):
    """Objects are lists of records: `id`, `updatedAt`, `archived`, `properties`, `history`, `links`."""

    def __init__(self, objects, secret, page_rows=2):
        super().__init__()
        self.objects, self.valid, self.page_rows = objects, secret, page_rows
        self.forbidden, self.custom = set(), {}

    def answer(self, method, path, query, body, headers):
        if not self.is_let_in(headers):
            return Answer({"status": "error", "category": "INVALID_AUTHENTICATION", "message": "wrong"}, 401)
        if path == "/crm/v3/owners":
            return self.page(self.objects["owners"], query, lambda row: row)
        if match := re.fullmatch(r"/crm/v3/properties/(\w+)", path):
            return self.properties(match[1])
        if match := re.fullmatch(r"/crm/v4/associations/(\w+)/(\w+)/batch/read", path):
            return self.associations(match[1], match[2], json.loads(body))
        match = re.fullmatch(r"/crm/v3/objects/(\w+)(/search|/batch/read|/batch/update)?", path)
        if match is None or match[1] not in self.objects:
            return Answer({"message": "no such object", "category": "OBJECT_NOT_FOUND"}, 404)
        if match[1] in self.forbidden:
            return Answer({"message": "scope missing", "category": "MISSING_SCOPES"}, 403)
        records = self.objects[match[1]]
        if match[2] is None:
            return self.listed(records, query)
        return {"/search": self.search, "/batch/read": self.batch, "/batch/update": self.update}[match[2]](
            records, json.loads(body)
        )

    def properties(self, name):
        names = dict.fromkeys(each for record in self.objects[name] for each in record["properties"])
        custom = self.custom.get(name, set())
        return Answer({"results": [
            {"name": each, "hubspotDefined": each not in custom, "fieldType": "text"} for each in names
        ]})  # fmt: skip

    def page(self, rows, query, shown):
        begin = int(query.get("after") or 0)
        page = rows[begin : begin + min(self.page_rows, int(query["limit"]))]
        following = begin + len(page)
        paging = {"paging": {"next": {"after": str(following)}}} if following < len(rows) else {}
        return Answer({"results": [shown(row) for row in page], **paging})

    def listed(self, records, query):
        archived = query.get("archived") == "true"
        names = query.get("properties", "").split(",")
        wanted = [name for name in query.get("propertiesWithHistory", "").split(",") if name]
        linked = [name for name in query.get("associations", "").split(",") if name]
        rows = [record for record in records if record.get("archived", False) == archived]
        return self.page(rows, query, lambda record: self.shown(record, names, wanted, linked))

    def shown(self, record, names, with_history=(), linked=()):
        shown = {
            "id": record["id"],
            "updatedAt": record["updatedAt"],
            "archived": record.get("archived", False),
        }
        shown["properties"] = {name: record["properties"].get(name) for name in names}
        if with_history:
            history = record.get("history", {})
            shown["propertiesWithHistory"] = {name: history.get(name, []) for name in with_history}
        shown["associations"] = {
            other: {"results": [{"id": each, "type": "x"} for each in record["links"][other]]}
            for other in linked
            if other in record.get("links", {})
        }
        return shown

    def search(self, records, wanted):
        (condition,) = wanted["filterGroups"][0]["filters"]
        rows = [
            record
            for record in records
            if ms(record["updatedAt"]) >= int(condition["value"]) and not record.get("archived")
        ]
        rows.sort(key=lambda record: record["updatedAt"])
        return self.page(rows, wanted, lambda record: self.shown(record, wanted["properties"]))

    def batch(self, records, wanted):
        ids = [each["id"] for each in wanted["inputs"]]
        assert len(ids) <= 50
        chosen = [record for record in records if record["id"] in ids]
        with_history = wanted["propertiesWithHistory"]
        return Answer({"results": [self.shown(each, wanted["properties"], with_history) for each in chosen]})

    def associations(self, name, other, wanted):
        results, errors = [], []
        for each in wanted["inputs"]:
            record = next(record for record in self.objects[name] if record["id"] == each["id"])
            links = record.get("links", {}).get(other, [])
            to = [{"toObjectId": int(link), "associationTypes": []} for link in links]
            (results if to else errors).append({"from": {"id": each["id"]}, "to": to})
        return Answer({"results": results, "errors": errors}, 207 if errors else 200)

    def update(self, records, wanted):
        by_id = {record["id"]: record for record in records}
        if wanted["inputs"] and any(each["id"] not in by_id for each in wanted["inputs"]):
            return Answer({"status": "error", "category": "OBJECT_NOT_FOUND", "message": "no such id"}, 404)
        for each in wanted["inputs"]:
            by_id[each["id"]]["properties"] |= each["properties"]
        return Answer({"status": "COMPLETE", "results": [{"id": each["id"]} for each in wanted["inputs"]]})


def record(id, day, links=None, history=None, **properties):
    moment = f"2024-{day}T10:00:00Z"
    given = {"createdate": moment, "hs_createdate": moment, **properties}
    return {
        "id": id,
        "updatedAt": moment,
        "properties": given,
        "links": links or {},
        "history": history or {},
    }


def account():
    """A small account: companies, contacts, deals with history, engagements, tickets, owners."""
    to = {"companies": ["11"], "deals": ["31"], "contacts": ["21"]}
    return {
        "companies": [record(f"1{i}", f"01-0{i}", name=f"Firm {i}", industry="ENERGY", tier="gold",
                             perennial_band="safe") for i in range(1, 6)],
        "owners": [{"id": "1", "firstName": "Ann", "lastName": "Lee"}],
        "contacts": [record("21", "01-06", {"companies": ["11"]}, email="a@b.example", jobtitle="CFO")],
        "deals": [
            record(
                f"3{i}", f"02-0{i}", {"companies": ["12", f"1{i}"]} if i > 1 else {"companies": ["11"]},
                {"dealstage": [{"value": "closedwon", "timestamp": "2024-03-01T10:00:00Z"},
                               {"value": "offer", "timestamp": f"2024-02-0{i}T10:00:00Z"}],
                 "amount": [{"value": "100", "timestamp": f"2024-02-0{i}T10:00:00Z"}]},
                amount=f"{i}00", closedate="2024-03-01T10:00:00Z", hs_is_closed="true" if i < 4 else "false",
                hs_is_closed_won="true" if i % 2 else "false", dealtype="newbusiness", hubspot_owner_id="1",
            )
            for i in range(1, 6)
        ],
        "calls": [record("41", "02-10", to, hs_timestamp="2024-02-10T09:00:00Z", hs_call_duration="600000",
                         hs_call_direction="OUTBOUND")],
        "emails": [record("42", "02-11", to, hs_timestamp="2024-02-11T09:00:00Z", hs_email_direction="EMAIL")],
        "meetings": [record("43", "02-12", to, hs_timestamp="2024-02-12T09:00:00Z",
                            hs_meeting_start_time="2024-02-12T09:00:00Z",
                            hs_meeting_end_time="2024-02-12T09:30:00Z")],
        "tickets": [record("51", "03-01", {"companies": ["11"]}, hs_ticket_priority="HIGH")],
    }  # fmt: skip
