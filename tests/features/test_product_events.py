"""Mixpanel's and Google Analytics' exports: events counted by day into usage, campaigns into touches."""

import gzip
import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.crm.load import load
from features.errors import RenewalError

DAY = 1_704_103_200  # 2024-01-01 10:00


@pytest.fixture
def crm_folder(tmp_path):
    folder = tmp_path / "crm"
    (folder / "events").mkdir(parents=True)
    accounts = [("a1", "Acme", "www.acme.example"), ("a2", "Bolt", "https://bolt.example/"), ("a3", "Co", "")]
    pd.DataFrame(accounts, columns=["account_id", "name", "domain"]).to_csv(
        folder / "accounts.csv", index=False
    )
    contract = {
        "contract_id": ["k1"],
        "account_id": ["a1"],
        "start_date": ["2023-01-01"],
        "end_date": ["2024-06-30"],
    }
    pd.DataFrame(contract).to_csv(folder / "contracts.csv", index=False)
    return folder


@pytest.fixture
def read(crm_folder, tmp_path):
    """A function that reads the folder: its usage and touches."""

    def tables(setting=None):
        if setting:
            (crm_folder / "events" / "events.yaml").write_text(setting)
        crm = load(crm_folder, into=tmp_path / "clean", until=pd.Timestamp("2024-02-01"))
        usage = crm.frame("usage")
        keys = zip(usage["account_id"], usage["used_on"].dt.strftime("%m-%d"), usage["metric"], strict=True)
        counts = dict(zip(keys, usage["value_milli"] / 1000, strict=True))
        return counts, crm.frame("touches") if crm.has("touches") else None, crm.quality.warnings

    return tables


def mixpanel(event, user, at, id, **more):
    return {"event": event, "properties": {"time": at, "distinct_id": user, "$insert_id": id, **more}}


MIXPANEL = [
    mixpanel("Opened", "u1", DAY, "1", company_id="A1 "),
    mixpanel("Opened", "u1", DAY + 60, "2", company_id="a1"),
    mixpanel("Opened", "u1", DAY + 60, "2", company_id="a1"),  # sent twice
    mixpanel("Opened", "u2", DAY + 86_400, "3", company_id="a2", utm_campaign="spring", utm_medium="Email"),
    mixpanel("Saved", "u1", DAY + 90, "4"),  # of u1, who speaks of a1 alone
    mixpanel("Saved", "u9", DAY + 90, "5", company_id="nobody"),
    mixpanel("Saved", "u8", DAY + 90, "6"),
]  # fmt: skip


def write_lines(path, rows):
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.name.endswith(".gz") else text.encode())


@pytest.mark.parametrize("name", ["export.jsonl", "2024-01.json.gz"])
def test_mixpanel_is_counted_by_day(crm_folder, read, name):
    write_lines(crm_folder / "events" / name, MIXPANEL)
    usage, touches, warnings = read("property: company_id\nmatches: account_id\n")
    assert usage == {
        ("a1", "01-01", "Opened"): 2,
        ("a1", "01-01", "Saved"): 1,
        ("a1", "01-01", "active users"): 1,
        ("a2", "01-02", "Opened"): 1,
        ("a2", "01-02", "active users"): 1,
    }
    (touch,) = touches.to_dict("records")
    assert (touch["account_id"], touch["channel"]) == ("a2", "email")
    assert any("4 of 6 events are of known accounts; not of nobody" in line for line in warnings)


def ga4(name, user, at, session, user_id=None, params=(), properties=()):
    """One event as BigQuery exports it: numbers as text in JSON."""
    values = [{"key": "ga_session_id", "value": {"int_value": str(session)}}, *params]
    return {
        "event_date": "20240101", "event_timestamp": str(at * 1_000_000), "event_name": name,
        "event_params": values, "user_id": user_id, "user_pseudo_id": user,
        "user_properties": list(properties),
        "collected_traffic_source": None, "event_bundle_sequence_id": "7", "batch_event_index": "1",
    }  # fmt: skip


def text(key, value):
    return {"key": key, "value": {"string_value": value}}


GA4 = [
    ga4("session_start", "p1", DAY, 11, "ann@acme.example",
        [text("campaign", "spring"), text("medium", "cpc"), text("source", "google")]),
    ga4("page_view", "p1", DAY + 5, 11, "ann@acme.example",
        [{"key": "engagement_time_msec", "value": {"int_value": "90000"}}]),
    ga4("page_view", "p1", DAY + 6, 12, "ann@acme.example",
        [{"key": "engagement_time_msec", "value": {"int_value": "30000"}}]),
    ga4("page_view", "p2", DAY + 7, 13, "bo@mail.bolt.example"),
    ga4("page_view", "p3", DAY + 8, 14, "cy@bolt.example", [text("campaign", "(organic)")]),
]  # fmt: skip
BY_DOMAIN = "property: user_id\nmatches: domain\n"
GA4_USAGE = {
    ("a1", "01-01", "session_start"): 1,
    ("a1", "01-01", "page_view"): 2,
    ("a1", "01-01", "active users"): 1,
    ("a1", "01-01", "sessions"): 2,
    ("a1", "01-01", "engaged minutes"): 2,
    ("a2", "01-01", "page_view"): 1,
    ("a2", "01-01", "active users"): 1,
    ("a2", "01-01", "sessions"): 1,
}


def test_ga4_in_json_by_the_domain_of_the_users_address(crm_folder, read):
    write_lines(crm_folder / "events" / "events_20240101.json", GA4)
    write_lines(crm_folder / "events" / "events_intraday_20240101.json", GA4[:1])  # gives way
    usage, touches, _ = read(BY_DOMAIN)
    assert usage == GA4_USAGE
    (touch,) = touches.to_dict("records")
    assert (touch["account_id"], touch["channel"], touch["sent_at"]) == (
        "a1",
        "cpc",
        pd.Timestamp("2024-01-01 10:00"),
    )


def test_ga4_in_parquet_says_the_same(crm_folder, read):
    """BigQuery's Parquet: typed values, nested lists; columns that a property never used are not there."""
    rows = json.loads(json.dumps(GA4))
    for row in rows:
        row["event_timestamp"] = int(row["event_timestamp"])
        for each in row["event_params"]:
            value = each["value"]
            number = value.get("int_value")
            each["value"] = {"string_value": value.get("string_value"), "int_value": number and int(number)}
        del row["user_properties"], row["collected_traffic_source"], row["batch_event_index"]
    pq.write_table(pa.Table.from_pylist(rows), crm_folder / "events" / "events_20240101.parquet")
    usage, touches, _ = read(BY_DOMAIN)
    assert usage == GA4_USAGE
    assert len(touches) == 1


def test_usage_that_is_there_already_stays(crm_folder, read):
    (crm_folder / "usage.csv").write_text("Account ID,used_on,metric,value\na3,2024-01-05,logins,4\n")
    write_lines(crm_folder / "events" / "e.jsonl", MIXPANEL)
    usage, _, _ = read("property: company_id\nmatches: account_id\n")
    assert usage[("a3", "01-05", "logins")] == 4
    assert usage[("a1", "01-01", "Opened")] == 2


def test_a_list_of_users(crm_folder, read):
    write_lines(crm_folder / "events" / "e.jsonl", MIXPANEL)
    (crm_folder / "events" / "users.csv").write_text("user_id,account_id\nu8,a3\n")
    usage, _, _ = read("users: users.csv\n")
    assert usage == {("a3", "01-01", "Saved"): 1, ("a3", "01-01", "active users"): 1}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (None, r"properties of the events are company_id, distinct_id, utm_campaign.*property: company_id"),
        ("property: plan\nmatches: account_id\n", "none of 6 .no plan in any of them.*Correct events.yaml"),
        ("property: company_id\nmatches: name\n", r"equals accounts.name; found none of 6 .A1 , a1, a2"),
        ("property: company_id\nmatches: vat\n", "column of accounts .account_id, name, domain.; found vat"),
        ("users: nobody.csv\n", "nobody.csv beside events.yaml"),
        ("user: x\n", "with `property` and `matches`"),
    ],
)
def test_what_is_missing_or_wrong_is_one_line(crm_folder, read, setting, message):
    write_lines(crm_folder / "events" / "e.jsonl", MIXPANEL)
    with pytest.raises(RenewalError, match=message) as error:
        read(setting)
    assert "\n" not in str(error.value)


def test_other_files_are_named_and_a_broken_one_refused(crm_folder, read):
    events = crm_folder / "events"
    write_lines(events / "e.jsonl", MIXPANEL)
    write_lines(events / "other.json", [{"a": 1}])
    assert any(
        "other.json holds no events" in line
        for line in read("property: company_id\nmatches: account_id\n")[2]
    )
    (events / "e.jsonl").write_text((events / "e.jsonl").read_text()[:-30])
    with pytest.raises(RenewalError, match="Export them again"):
        read()
