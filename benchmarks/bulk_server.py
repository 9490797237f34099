"""A Salesforce of many tasks for `benchmarks.incremental`: rows are worked out when they are asked for.

Speaks the Bulk API 2.0 as the tests' own server (`tests/support/salesforce_server.py`), in its own process.
"""

import json
import re
import sys
import tempfile
import threading
from pathlib import Path

import duckdb

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from api_server import Answer, serving
from salesforce_server import SalesforceServer, stamped

PAGE_ROWS = 100_000
ACCOUNTS = 50_000
NEW_SHARE, CHANGED_EVERY, DELETED_EVERY = 0.005, 250, 1000
"""Of the second pull: half a per cent are new, 0.4 % changed, 0.1 % gone."""
SECRET = "secret-of-the-benchmark"
_SECONDS = 3 * 365 * 86_400
_SINCE = re.compile(r"SELECT (.+?) FROM (\w+)(?: WHERE (\w+) >= (\S+))?$")
COLUMNS = (
    "Id", "AccountId", "IsClosed", "TaskSubtype", "ActivityDate", "CompletedDateTime", "CreatedDate",
    "CallDurationInSeconds", "CallDisposition", "OwnerId", "IsDeleted", "SystemModstamp",
)  # fmt: skip


def tasks_sql(activities: int, round: int) -> str:
    """SQL of every task as it stands after so many rounds of changes, with its number `i`."""
    new = int(activities * NEW_SHARE) * round
    moment = f"TIMESTAMP '2021-01-01' + to_seconds(CAST(i::DOUBLE * {_SECONDS} / {activities} AS BIGINT))"
    is_new = f"i >= {activities}"
    at_round = f"TIMESTAMP '2024-02-01' + to_days({round}) + to_seconds(i % 3600)"
    is_touched = (
        f"({round} > 0 AND i < {activities} AND (i % {CHANGED_EVERY} = 7 OR i % {DELETED_EVERY} = 11))"
    )
    return f"""SELECT i, printf('00T%012d', i) AS "Id",
        printf('001%09d', i * 7919 % {ACCOUNTS}) AS "AccountId",
        'true' AS "IsClosed", ['Call', 'Email', 'Task'][1 + i % 3] AS "TaskSubtype",
        strftime(happened, '%Y-%m-%d') AS "ActivityDate",
        strftime(happened, '%Y-%m-%dT%H:%M:%S.000Z') AS "CompletedDateTime",
        strftime(happened, '%Y-%m-%dT%H:%M:%S.000Z') AS "CreatedDate",
        CAST(i * 37 % 3600 AS VARCHAR) AS "CallDurationInSeconds",
        CASE WHEN {is_touched} THEN 'round {round}' ELSE 'reached' END AS "CallDisposition",
        printf('005%09d', i % 200) AS "OwnerId",
        CASE WHEN {is_touched} AND i % {DELETED_EVERY} = 11 THEN 'true' ELSE 'false' END AS "IsDeleted",
        strftime(CASE WHEN {is_touched} OR {is_new} THEN {at_round} ELSE happened END,
            '%Y-%m-%dT%H:%M:%S.000Z') AS "SystemModstamp"
        FROM (SELECT i, CASE WHEN {is_new} THEN {at_round} ELSE {moment} END AS happened
            FROM range({activities + new}) r(i))"""


class BulkServer(SalesforceServer):
    """Tasks by SQL, a page at a time; accounts and users as lists."""

    def __init__(self, activities: int, folder: Path) -> None:
        accounts = [
            stamped(f"001{i:09d}", "01-01", Name=f"Firm {i}", Industry="Energy", OwnerId=f"005{i % 200:09d}")
            for i in range(ACCOUNTS)
        ]
        users = [{"Id": f"005{i:09d}", "Name": f"Rep {i}", "SystemModstamp": "2024-01-01T10:00:00.000Z"}
                 for i in range(200)]  # fmt: skip
        won = {"IsClosed": "true", "IsWon": "true", "Amount": "100", "CloseDate": "2024-01-05"}
        deals = [
            stamped(f"006{i:09d}", "01-02", AccountId=f"001{i:09d}", OwnerId="005000000000", **won)
            for i in range(1000)
        ]
        objects = {"Account": accounts, "User": users, "Opportunity": deals, "Task": []}
        super().__init__(objects, secret=SECRET, page_rows=PAGE_ROWS)
        self.most = 10**9
        self.activities, self.round, self.folder = activities, 0, folder
        self.sql = duckdb.connect(config={"memory_limit": "4GB", "threads": 1})

    def fields(self, name):
        """The columns of an object."""
        return list(COLUMNS) if name == "Task" else super().fields(name)

    def answer(self, method, path, query, body, headers):
        """As SalesforceServer; `/round` lets time pass."""
        if path == "/round":
            self.round += 1
            return Answer({"round": self.round})
        return super().answer(method, path, query, body, headers)

    def new_job(self, wanted):
        """Begin a query; its rows are worked out in the meantime."""
        query = _SINCE.fullmatch(wanted["query"])
        assert query is not None
        names, name, field, since = query.groups()
        if name != "Task":
            return super().new_job(wanted)
        job = f"750{len(self.jobs)}"
        where = f"WHERE \"{field}\" >= '{since}'" if since else ""
        self.jobs[job] = {"names": names.split(", "), "place": self.folder / f"{job}.parquet"}
        rows = f"FROM ({tasks_sql(self.activities, self.round)}) {where}"
        threading.Thread(target=self.work, args=(job, rows)).start()
        return Answer({"id": job, "state": "UploadComplete"})

    def work(self, job, query):
        """Write a job's rows to a file."""
        place = self.jobs[job]["place"]
        with self.sql.cursor() as sql:
            sql.execute(f"COPY ({query}) TO '{place}'")
            (rows,) = sql.execute(f"SELECT count(*) FROM '{place}'").fetchone() or (0,)
        self.jobs[job] |= {"rows": range(rows), "polls": 1}

    def job(self, job):
        """How far a job is."""
        if "rows" not in self.jobs.get(job, {"rows": ()}):
            return Answer({"id": job, "state": "InProgress"})
        return super().job(job)

    def results(self, job, query):
        """A page of a job's rows."""
        place = self.jobs.get(job, {}).get("place")
        if place is None:
            return super().results(job, query)
        begin, rows = int(query.get("locator", "0").removeprefix("MTA")), len(self.jobs[job]["rows"])
        end = min(begin + PAGE_ROWS, rows)
        names = ", ".join(f'"{name}"' for name in self.jobs[job]["names"])
        page = self.folder / f"{job}.{begin}.csv"
        self.sql.cursor().execute(
            f"COPY (SELECT {names} FROM read_parquet('{place}', file_row_number = true)"
            f" WHERE file_row_number >= {begin} AND file_row_number < {end})"
            f" TO '{page}' (FORMAT csv, HEADER, FORCE_QUOTE *)"
        )
        text = page.read_text()
        page.unlink()
        locator = f"MTA{end}" if end < rows else "null"
        return Answer(
            text=text, headers={"Sforce-Locator": locator, "Sforce-NumberOfRecords": str(end - begin)}
        )


def main() -> None:
    """Serve until the input ends: `python -m benchmarks.bulk_server ACTIVITIES`; prints the address."""
    with tempfile.TemporaryDirectory() as work, serving(BulkServer(int(sys.argv[1]), Path(work))) as server:
        print(json.dumps(server.url), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
