# ruff: noqa: E501
"""Salesforce as its guides describe it: OAuth, describe, Bulk API 2.0 query jobs, plain queries, limits."""

import csv
import io
import re
from urllib.parse import parse_qs

from api_server import Answer, ApiServer

DATA = "/services/data/v60.0"
TYPES = {"CreatedDate": "datetime", "SystemModstamp": "datetime", "Notes__c": "textarea"}
_SOQL = re.compile(r"SELECT (.+?) FROM (\w+)(?: WHERE (\w+) >= (\S+))?$")


class SalesforceServer(ApiServer):
    """Objects are lists of rows (`self.objects`); every value is text."""

    def __init__(self, objects, client_id="app", secret="client-secret-of-salesforce", page_rows=3):
        super().__init__()
        self.objects, self.client_id, self.secret, self.page_rows = objects, client_id, secret, page_rows
        self.hidden, self.calculated, self.jobs = {}, set(), {}
        self.read_only, self.locked = set(), set()
        self.used, self.most, self.public_key, self.claims = 10, 1000, None, []

    def fields(self, name):
        names = dict.fromkeys(field for row in self.objects[name] for field in row)
        return [field for field in names if field not in self.hidden.get(name, ())]

    def answer(self, method, path, query, body, headers):
        if path == "/services/oauth2/token":
            return self.logged_in(parse_qs(body))
        if not self.is_let_in(headers):
            return Answer([{"errorCode": "INVALID_SESSION_ID", "message": "Session expired"}], 401)
        if self.used >= self.most:
            fault = {"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "TotalRequests Limit exceeded."}
            return Answer([fault], 403)
        answer = self.data(method, path.removeprefix(DATA), query, body)
        answer.headers["Sforce-Limit-Info"] = f"api-usage={self.used}/{self.most}"
        return answer

    def logged_in(self, form):
        grant = form["grant_type"][0]
        if grant == "client_credentials":
            right = form["client_id"] == [self.client_id] and form["client_secret"] == [self.secret]
        else:
            import jwt

            claim = jwt.decode(
                form["assertion"][0], self.public_key, algorithms=["RS256"], options={"verify_aud": False}
            )
            self.claims.append(claim)
            right = claim["iss"] == self.client_id
        if not right:
            sent = form.get("client_secret", [""])[0]
            words = f"client identifier invalid {sent}"
            return Answer({"error": "invalid_client", "error_description": words}, 400)
        return Answer({"access_token": self.token(), "instance_url": self.url})

    def data(self, method, path, query, body):
        import json

        if path == "/sobjects":
            return Answer({"sobjects": [{"name": name, "queryable": True} for name in self.objects]})
        if path == "/limits":
            left = {"Max": self.most, "Remaining": self.most - self.used}
            return Answer(
                {"DailyApiRequests": left, "DailyBulkV2QueryJobs": {"Max": 10000, "Remaining": 9990}}
            )
        if match := re.fullmatch(r"/sobjects/(\w+)/describe", path):
            described = [
                {
                    "name": name,
                    "type": TYPES.get(name, "string"),
                    "calculated": name in self.calculated,
                    "updateable": name not in self.read_only,
                }
                for name in self.fields(match[1])
            ]
            return Answer({"fields": described})
        if path == "/query":
            names, name, *_ = _SOQL.fullmatch(query["q"]).groups()
            records = [{field: row.get(field) for field in names.split(",")} for row in self.objects[name]]
            return Answer({"records": records, "done": True})
        if match := re.fullmatch(r"/composite/sobjects(?:/(\w+))?", path):
            wanted = json.loads(body)
            return self.collected(match[1], wanted) if method == "POST" else self.updated(wanted)
        if path == "/jobs/query":
            return self.new_job(json.loads(body))
        if match := re.fullmatch(r"/jobs/query/(\w+)", path):
            return self.job(match[1])
        if match := re.fullmatch(r"/jobs/query/(\w+)/results", path):
            return self.results(match[1], query)
        return Answer([{"errorCode": "NOT_FOUND", "message": path}], 404)

    def collected(self, name, wanted):
        by_id = {row["Id"]: row for row in self.objects[name]}
        rows = [by_id.get(id) for id in wanted["ids"]]
        return Answer([row and {field: row.get(field) for field in wanted["fields"]} for row in rows])

    def updated(self, wanted):
        assert len(wanted["records"]) <= 200
        answers = []
        for record in wanted["records"]:
            id, name = record.pop("id"), record.pop("attributes")["type"]
            if id in self.locked:
                errors = [{"statusCode": "ENTITY_IS_LOCKED", "message": "locked", "fields": []}]
                answers.append({"id": id, "success": False, "errors": errors})
                continue
            next(row for row in self.objects[name] if row["Id"] == id).update(record)
            answers.append({"id": id, "success": True, "errors": []})
        return Answer(answers)

    def new_job(self, wanted):
        assert wanted["operation"] == "queryAll"
        names, name, field, since = _SOQL.fullmatch(wanted["query"]).groups()
        names = names.split(", ")
        gone = [each for each in names if each not in self.fields(name)]
        if gone:
            words = f"No such column '{gone[0]}' on entity '{name}'"
            return Answer([{"errorCode": "API_ERROR", "message": words}], 400)
        rows = [row for row in self.objects[name] if field is None or row[field] >= since]
        job = f"750{len(self.jobs)}"
        self.jobs[job] = {"names": names, "rows": [dict(row) for row in rows], "polls": 0}
        return Answer({"id": job, "state": "UploadComplete"})

    def job(self, job):
        if job not in self.jobs:
            return Answer([{"errorCode": "NOT_FOUND", "message": "no such job"}], 404)
        self.jobs[job]["polls"] += 1
        done = self.jobs[job]["polls"] > 1
        state = "JobComplete" if done else "InProgress"
        return Answer({"id": job, "state": state, "numberRecordsProcessed": len(self.jobs[job]["rows"])})

    def results(self, job, query):
        if job not in self.jobs:
            return Answer([{"errorCode": "NOT_FOUND", "message": "no such job"}], 404)
        names, rows = self.jobs[job]["names"], self.jobs[job]["rows"]
        begin = int(query.get("locator", "0").removeprefix("MTA"))
        page = rows[begin : begin + self.page_rows]
        text = io.StringIO()
        out = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
        out.writerow(names)
        out.writerows([row.get(name) or "" for name in names] for row in page)
        following = begin + self.page_rows
        locator = f"MTA{following}" if following < len(rows) else "null"
        headers = {"Sforce-Locator": locator, "Sforce-NumberOfRecords": str(len(page))}
        return Answer(text=text.getvalue(), headers=headers)


def stamped(id, day, **fields):
    """A row with what every object has."""
    moment = f"2024-{day}T10:00:00.000Z"
    return {"Id": id, "IsDeleted": "false", "CreatedDate": moment, "SystemModstamp": moment, **fields}


def organisation():
    """A small organisation: 7 accounts, 9 deals with history, tasks, events, contracts, quotes, and the rest."""
    accounts = [
        stamped(
            f"001{i}", f"01-0{i}", Name=f"Firm, {i}\nLtd", Industry="Energy", OwnerId="0051",
            BillingCountry="DE", MasterRecordId="", Tier__c="Gold", Score__c=str(i), Notes__c="long",
            Perennial_Band__c="safe",
        )
        for i in range(1, 8)
    ]  # fmt: skip
    deals = [
        stamped(
            f"006{i}", f"02-0{i}", AccountId=f"001{1 + i % 7}", Amount=str(1000 * i), CloseDate=f"2024-03-0{i}",
            IsClosed="true" if i < 7 else "false", IsWon="true" if i % 2 else "false", StageName="Closed",
            Probability="50", Type="New", LeadSource="Web", OwnerId="0051", ContractId="8001" if i == 1 else "",
        )
        for i in range(1, 10)
    ]  # fmt: skip
    return {
        "Account": accounts,
        "Contact": [stamped("0031", "01-09", AccountId="0011", Email="a@b.example", Title="CFO", MasterRecordId="")],
        "User": [{"Id": "0051", "Name": "Ann Lee", "SystemModstamp": "2024-01-01T10:00:00.000Z", "State": "BY"}],
        "Opportunity": deals,
        "OpportunityHistory": [
            stamped(f"008{i}", f"02-1{i}", OpportunityId=f"006{i}", StageName="Proposal", Amount="10",
                    CloseDate="2024-04-01")
            for i in range(1, 10)
        ],
        "OpportunityFieldHistory": [
            {"Id": "0171", "OpportunityId": "0061", "Field": "Amount", "OldValue": "500", "NewValue": "1000",
             "CreatedDate": "2024-02-20T10:00:00.000Z", "IsDeleted": "false"},
            {"Id": "0172", "OpportunityId": "0061", "Field": "Owner", "OldValue": "Bo", "NewValue": "Ann Lee",
             "CreatedDate": "2024-02-21T10:00:00.000Z", "IsDeleted": "false"},
        ],
        "Task": [
            stamped("00T1", "02-05", AccountId="0012", WhatId="0061", WhoId="0031", IsClosed="true",
                    TaskSubtype="Call", Type="", ActivityDate="2024-02-05", CallDurationInSeconds="600",
                    CompletedDateTime="2024-02-05T09:00:00.000Z", OwnerId="0051"),
            stamped("00T2", "02-06", AccountId="0012", WhatId="0061", WhoId="", IsClosed="false",
                    TaskSubtype="Call", Type="", ActivityDate="2024-02-06", CallDurationInSeconds="",
                    CompletedDateTime="", OwnerId="0051"),
        ],
        "Event": [
            stamped("00U1", "02-07", AccountId="0013", WhatId="", WhoId="", StartDateTime="2024-02-07T09:00:00.000Z",
                    DurationInMinutes="30", IsChild="false", OwnerId="0051", Type="Meeting",
                    ActivityDate="2024-02-07"),
        ],
        "Contract": [
            stamped("8001", "03-01", AccountId="0012", StartDate="2024-03-01", EndDate="2025-02-28",
                    ContractTerm="12", StatusCode="Activated", OwnerId="0051"),
            stamped("8002", "03-02", AccountId="0013", StartDate="2024-04-01", EndDate="2025-03-31",
                    ContractTerm="12", StatusCode="Draft", OwnerId="0051"),
        ],
        "Quote": [
            stamped("0Q01", "02-15", OpportunityId="0061", AccountId="0012", Subtotal="1200", TotalPrice="1000"),
        ],
        "Lead": [stamped("00Q1", "01-05", LeadSource="Web", IsConverted="true", ConvertedDate="2024-01-20",
                         ConvertedAccountId="0012", ConvertedOpportunityId="0061", MasterRecordId="")],
        "Campaign": [stamped("7011", "01-02", Type="Email", StartDate="2024-01-02", ActualCost="50")],
        "CampaignMember": [stamped("00v1", "01-06", CampaignId="7011", LeadId="00Q1", ContactId="",
                                   FirstRespondedDate="2024-01-08")],
        "Case": [stamped("5001", "03-05", AccountId="0012", ClosedDate="", Priority="High", IsEscalated="false")],
    }  # fmt: skip
