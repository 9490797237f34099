"""Salesforce: `salesforce://NAME` reads what a connection may see, through Bulk API 2.0, changes only.

Follows the Bulk API 2.0 Developer Guide (query jobs; results by `Sforce-Locator`) and the OAuth 2.0 flows for
client credentials and JWT bearer (RFC 7523). A job's id and locator are kept in the home: a killed pull goes
on with the same job. `queryAll` brings deleted and archived rows too. Fields that Salesforce works out
(formulas) change without a trace in `SystemModstamp`, so they are not read; nor is long text.
"""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pyarrow as pa

from features.errors import RenewalError
from features.progress import Say, checkpoint, silent
from features.sources import web_api
from features.sources.connected import Examined, read_connected
from features.sources.connection_file import (
    Connection,
    login_value,
    secret_of,
)
from features.sources.object_pull import (
    CursorLostError,
    Feed,
    Page,
    Pulled,
    pull_all,
    write_csv_rows,
    write_rows,
)
from features.sources.object_tables import Drafted, draft_tables, history_rows, needed
from features.sources.readers import Raw
from features.sources.salesforce_tables import BY_QUERY, HISTORIES, ROWS, STATIC_RATES
from features.sources.web_api import RefusedError, WebApi, token_from

SCHEMES = ("salesforce",)
ASKS = {"client_id": "consumer key of the connected app"}
"""What a login needs besides the address and the secret: its name → what to call it when asking."""

VERSION = "v60.0"
DATA = f"/services/data/{VERSION}"
OVERLAP = pd.Timedelta(minutes=15)
"""Long transactions commit rows with a stamp from before: changes are asked for from a little earlier."""
PAGE_ROWS = 100_000
MOST_OF_LIMIT = 0.9
"""Of an organisation's calls a day; the rest is left to others."""
_POLL_SECONDS = (1.0, 30.0)
_UNREADABLE = frozenset({"address", "location", "base64", "textarea", "encryptedstring", "complexvalue"})
_HISTORY_FIELDS = ("Id", "Field", "OldValue", "NewValue", "CreatedDate", "IsDeleted")
_STATES_OVER = ("Failed", "Aborted")
_ASSERTION = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def read(
    address: str,
    mapping: Path | None,
    until: pd.Timestamp | None,
    staging: Path,
    *,
    home: Path,
    say: Say = silent,
) -> Raw:
    """Lay down what the organisation holds as raw Parquet.

    Args:
        address: `salesforce://NAME`, the name of a connection.
        mapping: table → SELECT over the objects by name; without it the connection's own, or a drafted one.
        until: not used: what is later is left out when rows are cleaned.
        staging: an empty folder for the raw files.
        home: where connections and what was pulled are kept.
        say: called with each line of progress.

    Raises:
        RenewalError: no such connection, no way in, a limit used up, or nothing readable.
    """

    def bring(connection: Connection, folder: Path) -> list[Pulled]:
        api = opened_api(connection)
        return pull_objects(api, readable_objects(api, connection), folder, say)

    return read_connected(address, mapping, staging, home, bring, draft)


def opened_api(connection: Connection) -> WebApi:
    """The organisation's interface; logged in at the first call."""
    return WebApi(
        connection.name, connection.url, lambda client: _token(connection, client), watch=_leave_some_calls
    )


def _token(connection: Connection, client: httpx.Client) -> str:
    secret = secret_of(connection.name).get_secret_value()
    client_id = login_value(connection, "client_id")
    if connection.login.get("way") == "jwt":
        form = {"grant_type": _ASSERTION, "assertion": _signed(connection, client_id, secret)}
    else:
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
    return token_from(client, f"{connection.url}/services/oauth2/token", form, connection.name)


def _signed(connection: Connection, client_id: str, key: str) -> str:
    """The claim that the app may act for the user, signed with its private key; good for three minutes."""
    try:
        import jwt
    except ImportError as error:
        raise RenewalError(
            expected="the extra `salesforce`", found="no jwt", do="Run `pip install perennial[salesforce]`."
        ) from error
    is_sandbox = ".sandbox." in connection.url
    claim = {
        "iss": client_id,
        "sub": login_value(connection, "username"),
        "aud": connection.login.get("audience")
        or f"https://{'test' if is_sandbox else 'login'}.salesforce.com",
        "exp": int(time.time()) + 180,
    }
    try:
        return jwt.encode(claim, key, algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        raise RenewalError(
            expected=f"the private key of {connection.name} in PEM form",
            found="something else",
            do="Give the file that begins with -----BEGIN PRIVATE KEY-----.",
        ) from error


def _leave_some_calls(headers: httpx.Headers) -> None:
    """`Sforce-Limit-Info: api-usage=18/5000` says how many of a day's calls are used."""
    used, _, most = headers.get("Sforce-Limit-Info", "").partition("api-usage=")[2].partition("/")
    most = most.partition(";")[0].partition(",")[0].strip()
    if used.isdigit() and most.isdigit() and int(used) >= MOST_OF_LIMIT * int(most):
        raise RenewalError(
            expected=f"less than {MOST_OF_LIMIT:.0%} of Salesforce's calls a day in use",
            found=f"{used} of {most}",
            do="Run it again later; what came so far is kept and gone on with.",
        )


def wanted_objects() -> list[str]:
    """Every object that is read where it may be, in order."""
    objects = list(dict.fromkeys([*needed(ROWS), *HISTORIES]))
    return [*objects, "CurrencyType"]


def readable_objects(api: WebApi, connection: Connection) -> list[str]:
    """Those of the wanted objects that this user may query."""
    listed = api.json("GET", f"{DATA}/sobjects")["sobjects"]
    names = {each["name"] for each in listed if each.get("queryable")}
    wanted = [name for name in wanted_objects() if name in names]
    if connection.objects:
        wanted = [name for name in wanted if name in connection.objects]
    return [name for name in wanted if name != "CurrencyType" or "DatedConversionRate" not in wanted]


def read_fields(api: WebApi, name: str) -> list[str]:
    """The fields to read of an object: those the tables need, and custom ones where they are carried."""
    described = {each["name"]: each for each in api.json("GET", f"{DATA}/sobjects/{name}/describe")["fields"]}
    if name in HISTORIES:
        wanted = [*_HISTORY_FIELDS, HISTORIES[name][1]]
    else:
        declared = needed((*ROWS, STATIC_RATES))
        wanted = ["Id", *declared[name], "SystemModstamp"]
        if any(rows.object == name and rows.carries for rows in ROWS):
            wanted += sorted(each for each, about in described.items() if _is_carried(each, about))
    return [each for each in dict.fromkeys(wanted) if each in described]


def _is_carried(name: str, described: dict[str, Any]) -> bool:
    """A custom field that is stored, short, and not one that Perennial itself writes."""
    return (
        name.endswith("__c")
        and not name.lower().startswith("perennial_")
        and not described.get("calculated")
        and described["type"] not in _UNREADABLE
    )


def draft(fields: dict[str, list[str]]) -> Drafted:
    """The SELECTs of the tables that these fields make."""
    declared = [*ROWS, STATIC_RATES] if "CurrencyType" in fields else list(ROWS)
    if "CurrencyType" in fields:
        declared = [rows for rows in declared if rows.object != "DatedConversionRate"]
    elif "DatedConversionRate" not in fields:  # one currency: nothing is missing
        declared = [rows for rows in declared if rows.table != "currencies"]
    carried = {name: [each for each in names if each.endswith("__c")] for name, names in fields.items()}
    drafted = draft_tables(declared, fields, carried)
    for table in drafted.missing.values():
        for column in [each for each, names in table.items() if each == "currency"]:
            del table[column]  # an organisation of one currency has no such field
    changes = [
        history_rows(of, name, id_field, table, names)
        for name, (of, id_field, table, names) in HISTORIES.items()
        if _tells_changes(name, fields)
    ]
    if changes:
        drafted.selects["history"] = "\nUNION ALL\n".join(changes)
    return drafted


def _tells_changes(name: str, fields: dict[str, list[str]]) -> bool:
    of, id_field, *_ = HISTORIES[name]
    return {*_HISTORY_FIELDS[:-1], id_field} <= set(fields.get(name, ())) and {"Id", "CreatedDate"} <= set(
        fields.get(of, ())
    )


def pull_objects(api: WebApi, names: list[str], folder: Path, say: Say) -> list[Pulled]:
    """Bring every object's table up to date."""
    return pull_all((_feed(api, name) for name in names), folder, say)


def _feed(api: WebApi, name: str) -> Feed:
    return QueryFeed(api, name) if name in BY_QUERY else BulkFeed(api, name)


class BulkFeed:
    """An object by query jobs of Bulk API 2.0.

    Args:
        api: of the organisation.
        name: of the object.
    """

    key = "Id"
    merged = "MasterRecordId"

    def __init__(self, api: WebApi, name: str) -> None:
        self.api, self.name = api, name
        self.changed, self.deleted = "SystemModstamp", "IsDeleted"
        self._columns: list[str] = []

    def columns(self) -> list[str]:
        """The fields to read, as described right now."""
        self._columns = read_fields(self.api, self.name)
        if "SystemModstamp" not in self._columns:  # histories never change
            self.changed = "CreatedDate" if "CreatedDate" in self._columns else ""
        return self._columns

    def begin(self, since: str | None) -> str:
        """Make the job; the place is its id, the locator and the rows so far."""
        soql = f"SELECT {', '.join(self._columns)} FROM {self.name}"
        if since is not None:
            begin = pd.Timestamp(since) - OVERLAP
            soql += f" WHERE {self.changed} >= {begin.tz_localize(None):%Y-%m-%dT%H:%M:%S.000Z}"
        job = {"operation": "queryAll", "query": soql, "columnDelimiter": "COMMA", "lineEnding": "LF"}
        try:
            answer = self.api.json("POST", f"{DATA}/jobs/query", json=job)
        except RefusedError as refused:
            if refused.status == 400:  # a field went away since it was described
                raise CursorLostError(f"the query was refused ({refused.found})") from refused
            raise
        return json.dumps({"job": answer["id"], "locator": None, "rows": 0})

    def page(self, cursor: str, part: Path) -> Page:
        """Wait for the job, then write the rows at the locator."""
        place = json.loads(cursor)
        job = f"{DATA}/jobs/query/{place['job']}"
        wanted = {"maxRecords": str(PAGE_ROWS)} | ({"locator": place["locator"]} if place["locator"] else {})
        csv = part.with_suffix(".csv")
        try:
            whole = self._completed(job)
            headers, rows = self._rows(f"{job}/results", wanted, csv, part)
        except RefusedError as refused:
            if refused.status in (400, 404, 409):
                raise CursorLostError(f"its job is no longer there ({refused.status})") from refused
            raise
        finally:
            csv.unlink(missing_ok=True)
        locator = headers.get("Sforce-Locator", "null")
        so_far = place["rows"] + rows
        if locator in ("", "null"):
            if so_far != whole:
                raise CursorLostError(f"{so_far:,} rows came of {whole:,}")
            return Page(rows, None)
        return Page(rows, json.dumps({**place, "locator": locator, "rows": so_far}))

    def _completed(self, job: str) -> int:
        """How many rows the job found, once it has."""
        wait, longest = _POLL_SECONDS
        while True:
            answer = self.api.json("GET", job)
            if answer["state"] == "JobComplete":
                return int(answer["numberRecordsProcessed"])
            if answer["state"] in _STATES_OVER:
                raise CursorLostError(f"its job ended as {answer['state']}: {_short(answer)}")
            checkpoint()
            web_api.pause(wait)
            wait = min(wait * 1.5, longest)

    def _rows(self, address: str, wanted: dict[str, str], csv: Path, part: Path) -> tuple[httpx.Headers, int]:
        """Fetch a page until it is whole: as many rows as its header says."""
        fault = ""
        for _ in range(web_api.ATTEMPTS):
            headers = self.api.call("GET", address, to=csv, params=wanted).headers
            try:
                rows = write_csv_rows(csv, part, self._columns)
            except (ValueError, KeyError, pa.ArrowException) as error:
                fault = " ".join(str(error).split())[:120]
                continue
            if rows == int(headers.get("Sforce-NumberOfRecords", rows)):
                return headers, rows
            fault = f"{rows:,} rows in place of {headers['Sforce-NumberOfRecords']}"
        raise RenewalError(
            expected=f"a whole page of {self.name}",
            found=fault,
            do="Run it again later; what came so far is kept and gone on with.",
        )


def _short(answer: dict[str, Any]) -> str:
    return " ".join(str(answer.get("errorMessage", "")).split())[:160]


class QueryFeed:
    """A small object by plain queries, in full each time."""

    key = "Id"
    changed = deleted = merged = ""

    def __init__(self, api: WebApi, name: str) -> None:
        self.api, self.name = api, name
        self._columns: list[str] = []

    def columns(self) -> list[str]:
        """The fields to read, as described right now."""
        self._columns = read_fields(self.api, self.name)
        return self._columns

    def begin(self, since: str | None) -> str:
        """The first page's address."""
        return f"{DATA}/query?q=SELECT+{','.join(self._columns)}+FROM+{self.name}"

    def page(self, cursor: str, part: Path) -> Page:
        """Write one page."""
        try:
            answer = self.api.json("GET", cursor)
        except RefusedError as refused:
            if refused.status in (400, 404):
                raise CursorLostError(f"its query is no longer there ({refused.status})") from refused
            raise
        return Page(write_rows(part, self._columns, answer["records"]), answer.get("nextRecordsUrl"))


def examine(connection: Connection) -> Examined:
    """Log in and see what may be read.

    Raises:
        RenewalError: no way in.
    """
    api = opened_api(connection)
    objects = readable_objects(api, connection)
    fields = {name: read_fields(api, name) for name in objects}
    missing = [name for name in wanted_objects() if name not in objects and name not in BY_QUERY]
    return Examined(fields, missing, draft(fields), limits(api))


def limits(api: WebApi) -> list[str]:
    """What is left of the organisation's limits, in words."""
    answer = api.json("GET", f"{DATA}/limits")
    words = {"DailyApiRequests": "calls", "DailyBulkV2QueryJobs": "query jobs"}
    return [
        f"{answer[name]['Remaining']:,} of {answer[name]['Max']:,} {what} a day are left"
        for name, what in words.items()
        if name in answer
    ]
