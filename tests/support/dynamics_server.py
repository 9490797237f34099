# ruff: noqa: E501
"""Dataverse as its developer guide describes it: definitions, pages, delta links, `$batch`, OAuth of Entra ID."""

import re
from email.parser import Parser
from urllib.parse import parse_qs

from api_server import Answer, ApiServer

DATA = "/api/data/v9.2"
LOOKUPS = {
    "ownerid", "parentaccountid", "parentcustomerid", "customerid", "regardingobjectid", "transactioncurrencyid",
    "originatingleadid", "opportunityid_of_quote", "masterid", "parentsystemuserid", "incidentid_of",
}  # fmt: skip
LABELS = {"industrycode": {6: "Energy"}, "prioritycode": {1: "High"}, "leadsourcecode": {8: "Web"},
          "opportunitytypecode": {1: "New"}, "statecode": {}, "statuscode": {4: "Too expensive"},
          "typecode": {3: "Event"}, "new_tier": {1: "Gold"}}  # fmt: skip
BOOLEANS = {"directioncode", "isescalated", "donotbulkemail"}


def key_of(name):
    activities = {"phonecall", "email", "appointment", "task", "incidentresolution"}
    return "activityid" if name in activities else f"{name}id"


class DynamicsServer(ApiServer):
    """Tables are lists of rows: plain values, choices as numbers, lookups as (table, id)."""

    def __init__(self, objects, secret, client_id="app", tenant="contoso", page_rows=3):
        super().__init__()
        self.objects, self.secret, self.client_id, self.tenant = objects, secret, client_id, tenant
        self.page_rows = page_rows
        self.forbidden, self.untracked, self.hidden, self.locked = set(), set(), {}, set()
        self.calculated, self.read_only = {"new_score"}, set()
        self.version, self.changes, self.oldest = 1, [], 0
        self.pages = {}

    def change(self, name, id, /, **values):
        """A row is changed, made, or (without values) deleted, and that is tracked."""
        self.version += 1
        rows = self.objects[name]
        row = next((row for row in rows if row[key_of(name)] == id), None)
        if not values:
            rows.remove(row)
        elif row is None:
            rows.append({key_of(name): id, **values})
        else:
            row.update(values)
        self.changes.append((self.version, name, id))

    def fault(self, status, code, message):
        return Answer({"error": {"code": code, "message": message}}, status)

    def answer(self, method, path, query, body, headers):
        if path == f"/{self.tenant}/oauth2/v2.0/token":
            return self.logged_in(parse_qs(body))
        if not self.is_let_in(headers):
            return Answer(status=401, text="")
        assert headers["OData-Version"] == "4.0"
        place = path.removeprefix(DATA)
        if place == "/$batch":
            return self.batch(body, headers)
        if place == "/EntityDefinitions":
            return Answer({"value": [
                {"LogicalName": name, "EntitySetName": f"{name}s", "PrimaryIdAttribute": key_of(name),
                 "ChangeTrackingEnabled": name not in self.untracked}
                for name in self.objects
            ]})  # fmt: skip
        if match := re.fullmatch(r"/EntityDefinitions\(LogicalName='(\w+)'\)/Attributes", place):
            return Answer({"value": self.attributes(match[1])})
        match = re.fullmatch(r"/(\w+)s", place)
        if match is None or match[1] not in self.objects:
            return self.fault(404, "0x8006088a", f"Resource not records for the segment {place}")
        if match[1] in self.forbidden:
            return self.fault(403, "0x80040220", "missing prvRead privilege")
        return self.rows(match[1], query, headers.get("Prefer", ""))

    def logged_in(self, form):
        assert form["scope"] == [f"{self.url}/.default"]
        if form["client_id"] != [self.client_id] or form["client_secret"] != [self.secret]:
            words = f"AADSTS7000215: Invalid client secret provided {form['client_secret'][0]}"
            return Answer({"error": "invalid_client", "error_description": words}, 401)
        return Answer({"token_type": "Bearer", "expires_in": 3599, "access_token": self.token()})

    def names(self, name):
        listed = dict.fromkeys(each for row in self.objects[name] for each in row)
        return [each for each in listed if each not in self.hidden.get(name, ())]

    def attributes(self, name):
        listed = []
        for each in self.names(name):
            kind = "String"
            if any(isinstance(row.get(each), tuple) for row in self.objects[name]):
                kind = "Lookup"
            elif each in LABELS:
                kind = "Picklist"
            elif each in BOOLEANS:
                kind = "Boolean"
            about = {"LogicalName": each, "AttributeType": kind, "AttributeOf": None,
                     "IsCustomAttribute": each.startswith("new_"), "IsValidForRead": True,
                     "IsValidForUpdate": each not in self.read_only, "SourceType": int(each in self.calculated)}  # fmt: skip
            listed.append(about)
            if kind != "String":  # the twins that hold names and types, which no query may select
                listed.append(
                    about | {"LogicalName": f"{each}name", "AttributeType": "Virtual", "AttributeOf": each}
                )
        return listed

    def rows(self, name, query, prefer):
        selected = query["$select"].split(",")
        known = {f"_{each}_value" if self.is_lookup(name, each) else each for each in self.names(name)}
        if unknown := [each for each in selected if each not in known | {key_of(name)}]:
            return self.fault(400, "0x80060888", f"Could not find a property named '{unknown[0]}'")
        if "$skiptoken" in query:
            records, delta = self.pages.get(query["$skiptoken"], (None, None))
            if records is None:
                return self.fault(400, "0x80040216", "Invalid paging cookie")
        elif "$deltatoken" in query:
            since = int(query["$deltatoken"].partition("!")[0])
            if since < self.oldest:
                return self.fault(400, "0x80044352", "Version stamp associated with the client has expired")
            records, delta = self.changed(name, since, selected), self.version
        else:
            wanted = re.search(r"PropertyName='(\w+)',PropertyValues=\[(.*)\]", query.get("$filter", ""))
            ids = None if wanted is None else re.findall(r"'([^']*)'", wanted[2])
            rows = [row for row in self.objects[name] if ids is None or row[key_of(name)] in ids]
            records = [self.shown(name, row, selected) for row in rows]
            delta = self.version if "odata.track-changes" in prefer else None
            assert delta is None or ids is None
        most = int(re.search(r"odata.maxpagesize=(\d+)", prefer)[1])
        size = min(self.page_rows, most)
        answer = {"@odata.context": f"{self.url}{DATA}/$metadata#{name}s", "value": records[:size]}
        address = f"{self.url}{DATA}/{name}s?$select={query['$select']}"
        if records[size:]:
            token = f"page{len(self.pages)}"
            self.pages[token] = (records[size:], delta)
            answer["@odata.nextLink"] = f"{address}&$skiptoken={token}"
        elif delta is not None:
            answer["@odata.deltaLink"] = f"{address}&$deltatoken={delta}%2108%2f22%2f2017"
        return Answer(answer)

    def is_lookup(self, name, attribute):
        return any(isinstance(row.get(attribute), tuple) for row in self.objects[name])

    def changed(self, name, since, selected):
        by_id = {row[key_of(name)]: row for row in self.objects[name]}
        ids = dict.fromkeys(id for version, of, id in self.changes if of == name and version > since)
        living = [self.shown(name, by_id[id], selected) for id in ids if id in by_id]
        context = f"{self.url}{DATA}/$metadata#{name}s/$deletedEntity"
        gone = [{"@odata.context": context, "id": id, "reason": "deleted"} for id in ids if id not in by_id]
        return living + gone

    def shown(self, name, row, selected):
        record = {"@odata.etag": 'W/"1"', key_of(name): row[key_of(name)]}
        for each in self.names(name):
            value, place = row.get(each), each
            if self.is_lookup(name, each):
                place = f"_{each}_value"
                table, value = value or (None, None)
                if place in selected and value is not None:
                    record[f"{place}@Microsoft.Dynamics.CRM.lookuplogicalname"] = table
                    record[f"{place}@OData.Community.Display.V1.FormattedValue"] = "a name"
            if place in selected:
                record[place] = value
                if each in LABELS and value is not None:
                    label = LABELS[each].get(value, str(value))
                    record[f"{each}@OData.Community.Display.V1.FormattedValue"] = label
        return record

    def batch(self, body, headers):
        """Every part is one PATCH; with `continue-on-error` each has an answer of its own."""
        import json

        assert "odata.continue-on-error" in headers["Prefer"]
        mark = re.search(r"boundary=(\S+)", headers["Content-Type"])[1].strip('"')
        answers = []
        for part in body.split(f"--{mark}")[1:-1]:
            request = Parser().parsestr(part.lstrip("\r\n")).get_payload()
            line, _, rest = request.partition("\r\n")
            given = Parser().parsestr(rest)
            assert given["If-Match"] == "*"  # else a record that is gone would be made anew
            verb, name, id = re.fullmatch(r"(\w+) \S*/(\w+)s\((.+)\) HTTP/1.1", line).groups()
            row = next((row for row in self.objects[name] if row[key_of(name)] == id), None)
            fault = None
            if row is None:
                fault = (
                    404,
                    {"error": {"code": "0x80040217", "message": f"{name} With Id = {id} Does Not Exist"}},
                )
            elif id in self.locked:
                fault = (400, {"error": {"code": "0x80048408", "message": "the record is closed"}})
            else:
                assert verb == "PATCH"
                row.update(json.loads(given.get_payload()))
            answers.append(self.part(fault))
        text = "".join(f"--answer_1\r\n{each}\r\n" for each in answers) + "--answer_1--\r\n"
        return Answer(text=text, headers={"Content-Type": "multipart/mixed; boundary=answer_1"})

    def part(self, fault):
        import json

        head = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        if fault is None:
            return f"{head}HTTP/1.1 204 No Content\r\nOData-Version: 4.0\r\n\r\n"
        status, words = fault
        return f"{head}HTTP/1.1 {status} Bad\r\nContent-Type: application/json\r\n\r\n{json.dumps(words)}"


def organisation():
    """A small organisation: 7 accounts, 8 opportunities, activities, a contract, and the rest."""
    at = {"createdon": "2024-01-01T10:00:00Z", "ownerid": ("systemuser", "u1")}
    euro = {"transactioncurrencyid": ("transactioncurrency", "eur")}

    def done(id, regarding, **more):
        moment = {"actualend": "2024-02-05T09:00:00Z", "scheduledend": None}
        return {"activityid": id, "statecode": 1, "regardingobjectid": regarding, **at, **moment, **more}

    return {
        "account": [
            {"accountid": f"a{i}", "name": f"Firm, {i}\nLtd", "industrycode": 6, "websiteurl": "https://firm.example",
             "new_tier": 1, "new_score": i, "new_perennial_band": "safe", "new_region": "South",
             "masterid": None, **at, **euro}
            for i in range(1, 8)
        ],
        "contact": [{"contactid": "p1", "parentcustomerid": ("account", "a1"), "emailaddress1": "a@b.example",
                     "jobtitle": "CFO", "donotbulkemail": False, **at}],
        "systemuser": [{"systemuserid": "u1", "fullname": "Ann Lee", "address1_stateorprovince": "BY"}],
        "transactioncurrency": [{"transactioncurrencyid": "eur", "isocurrencycode": "EUR", "exchangerate": 1},
                                {"transactioncurrencyid": "usd", "isocurrencycode": "USD", "exchangerate": 2}],
        "opportunity": [
            {"opportunityid": f"o{i}", "statecode": [1, 2, 0][i % 3], "statuscode": 4, "estimatedvalue": 100 * i,
             "actualvalue": 10 * i, "actualclosedate": f"2024-03-0{i}", "closeprobability": 40, "opportunitytypecode": 1,
             "customerid": ("account", f"a{i - 1 or 7}") if i != 2 else ("contact", "p1"), "parentaccountid": None,
             "originatingleadid": ("lead", "l1") if i == 1 else None, **at, **euro}
            for i in range(1, 9)
        ],
        "phonecall": [done("c1", ("opportunity", "o3"), directioncode=True, actualdurationminutes=10),
                      done("c2", ("account", "a1"), directioncode=True, actualdurationminutes=10) | {"statecode": 0}],
        "email": [done("c3", ("contact", "p1"), directioncode=False, senton="2024-02-06T09:00:00Z")],
        "appointment": [done("c4", ("incident", "i1"), actualstart=None, scheduledstart="2024-02-07T09:00:00Z",
                             actualdurationminutes=None, scheduleddurationminutes=30)],
        "task": [done("c5", ("lead", "l1"))],
        "contract": [{"contractid": "k1", "customerid": ("account", "a2"), "activeon": "2024-01-01",
                      "expireson": "2025-12-30", "totalprice": 2000, "statecode": 2, **at, **euro}],
        "quote": [{"quoteid": "q1", "opportunityid": ("opportunity", "o1"), "customerid": ("account", "a7"),
                   "totallineitemamount": 1100, "totallineitemdiscountamount": 100, "totalamountlessfreight": 1000, **at}],
        "lead": [{"leadid": "l1", "leadsourcecode": 8, "parentaccountid": ("account", "a7"), "masterid": None, **at}],
        "campaign": [{"campaignid": "m1", "typecode": 3, "actualstart": None, "proposedstart": "2024-01-01",
                      "totalactualcost": 50}],
        "incident": [{"incidentid": "i1", "customerid": ("account", "a3"), "prioritycode": 1, "isescalated": True,
                      "statecode": 1, **at}],
        "incidentresolution": [{"activityid": "r1", "incidentid": ("incident", "i1"), "actualend": "2024-01-09T10:00:00Z"}],
    }  # fmt: skip
