"""The live path: stored once, scored at once, equal to the batch, alerts raised."""

import numpy as np
import pandas as pd
import pytest
from serving_case import client_of, home, night  # noqa: F401 (fixtures)

from features.arrays import Coded
from features.crm.load import ingest, opened
from features.engine import feature_rows
from features.settings import Settings
from features.snapshots import snapshots_for
from monitoring.store import open_store
from serving.live.account_features import grounds
from training.encode import texts

pytestmark = pytest.mark.slow


@pytest.fixture
def here(home):  # noqa: F811
    return Settings(home=home, threads=1)


@pytest.fixture
def client(home):  # noqa: F811
    with client_of(home) as asked_of:
        yield asked_of


def first(client):
    return client.get("/v1/renewals").json()["rows"][0]


def call(account, number=1, at="2026-01-01T09:00:00", **more):
    return {
        "activity_id": f"L{number}",
        "account_id": account,
        "kind": "call",
        "direction": "outbound",
        "occurred_at": at,
        **more,
    }


def send(client, table, *rows):
    answer = client.post("/v1/events", json={"table": table, "rows": list(rows)})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("kind", ["renewal", "win"])
def test_a_live_feature_row_equals_the_nightly_one_to_the_bit(here, kind):
    with opened(here) as crm:
        ground = grounds(crm)[kind]
        every = feature_rows(crm, ground.open_subjects, kind, here).frame
        for account in ground.open_subjects["account_id"].drop_duplicates()[:25]:
            seen = ground.subjects_at(account, crm.until)
            live = ground.features(seen, {})
            assert set(live) >= set(every)
            for name in every.columns:
                batch = every[name].iloc[seen.places]
                if isinstance(live[name], Coded):
                    same = texts(live[name]) == batch.astype(object).where(batch.notna(), None).to_numpy()
                else:
                    nightly = batch.to_numpy(float)
                    same = (live[name].view(np.int64) == nightly.view(np.int64)) | np.isnan(nightly)
                    assert (np.isnan(live[name]) == np.isnan(nightly)).all(), (account, name)
                assert same.all(), (account, name)


def test_an_event_scores_as_if_it_had_been_in_the_data(here, client, tmp_path):
    """Send a call live; then load the CRM with that very call in it: the same probability to the bit."""
    row = first(client)
    at = "2026-01-01T09:00:00"
    live = next(
        one for one in send(client, "activities", call(row["account_id"], at=at, duration_minutes=30))["rows"]
        if one["contract_id"] == row["contract_id"]
    )  # fmt: skip
    assert live["as_of"].startswith("2026-01-01T09:00:00.000001")
    with opened(here) as crm:
        folder = tmp_path / "with the call"
        folder.mkdir()
        for table in crm.tables:
            export(crm, table, folder, call(row["account_id"], at=at, duration_minutes=30))
    fresh = Settings(home=tmp_path / "other", threads=1)
    loaded = ingest(folder, fresh, until=pd.Timestamp("2026-01-02"))
    from training.registry import champion

    model = champion("renewal", here).model
    wanted = pd.DataFrame({"contract_id": [row["contract_id"]], "as_of": [live["as_of"]]})
    snapshots = snapshots_for(loaded, "renewal", wanted)
    batch = model.probability(feature_rows(loaded, snapshots, "renewal", fresh).frame)
    assert batch[0] == live["probability"]
    assert live["probability"] != row["probability"]


def export(crm, table, folder, extra):
    """A clean table as a source would give it: money in units, durations in minutes."""
    from features.crm.contract import TABLES, Kind

    frame = crm.frame(table)
    for column in TABLES[table].columns:
        if column.stored in frame and column.kind is Kind.MONEY:
            frame[column.name] = frame[column.stored] / 100
        if column.kind is Kind.DURATION and column.stored in frame:
            frame[column.name] = frame.pop(column.stored) / 60
        if column.kind is Kind.NUMBER and column.stored != column.name and column.stored in frame:
            frame[column.name] = frame.pop(column.stored) / 1000
    if table == "activities":
        frame = pd.concat(
            [frame, pd.DataFrame([extra]).assign(occurred_at=pd.Timestamp(extra["occurred_at"]))]
        )
    frame.to_parquet(folder / f"{table}.parquet", index=False)


def test_a_repeated_event_changes_nothing(client, here):
    row = first(client)
    once = send(client, "activities", call(row["account_id"]))
    again = send(client, "activities", call(row["account_id"]))
    assert (once["stored"], once["repeated"]) == (1, 0)
    assert (again["stored"], again["repeated"]) == (0, 1)
    assert {**once, "stored": 0, "repeated": 1, "rows": None} == {**again, "rows": None}
    assert [one["probability"] for one in once["rows"]] == [one["probability"] for one in again["rows"]]
    assert len(open_store(here).events.read()) == 1
    other = send(client, "activities", call(row["account_id"], at="2026-01-01T10:00:00"))
    assert "other content" in other["refused"][0]["why"]


def test_the_next_answer_and_page_hold_the_new_score(client):
    row = first(client)
    client.post("/v1/renewals/score", json={"contract_ids": [row["contract_id"]]})
    fresh = send(client, "activities", call(row["account_id"]))["rows"]
    mine = next(one for one in fresh if one["contract_id"] == row["contract_id"])
    answered = client.post("/v1/renewals/score", json={"contract_ids": [row["contract_id"]]}).json()["rows"][
        0
    ]
    assert answered["probability"] == mine["probability"]
    assert answered["as_of"] == mine["as_of"]
    assert "Call, by us" in client.get(f"/accounts/{row['account_id']}").text


def test_a_low_survey_score_raises_an_alert_once(client, here):
    row = first(client)
    low = {"account_id": row["account_id"], "kind": "nps", "score": 1, "answered_at": "2026-01-01T08:00:00"}
    answer = send(client, "surveys", {"response_id": "S1", "asked_at": "2026-01-01T07:00:00", **low})
    assert len(answer["alerts"]) >= 1
    assert [alert["rule"] for alert in open_store(here).alerts.read(state="open")].count(
        "low survey score"
    ) == 1
    send(client, "surveys", {"response_id": "S1", "asked_at": "2026-01-01T07:00:00", **low})
    assert [alert["rule"] for alert in open_store(here).alerts.read(state="open")].count(
        "low survey score"
    ) == 1


def test_what_does_not_fit_is_refused_with_its_reason_and_the_rest_is_taken(client):
    row = first(client)
    answer = send(
        client,
        "activities",
        call(row["account_id"], 1),
        call("nobody", 2),
        call(row["account_id"], 3, at="yesterday"),
        {"activity_id": "L4", "account_id": row["account_id"], "occurred_at": "2026-01-01"},
    )
    assert answer["stored"] == 1
    assert [(one["row"], one["why"].split(":")[0]) for one in answer["refused"]] == [
        (1, "account_id"), (2, "occurred_at"), (3, "kind"),
    ]  # fmt: skip


def test_an_event_finds_its_account_through_its_contract(client):
    row = first(client)
    quote = {
        "quote_id": "Q1",
        "quoted_at": "2026-01-01T09:00:00",
        "list_amount": 100,
        "net_amount": 80,
        "contract_id": row["contract_id"],
    }
    answer = send(client, "quotes", quote)
    assert answer["stored"] == 1
    assert row["contract_id"] in {one["contract_id"] for one in answer["rows"]}


def test_a_planned_meeting_is_stored_but_does_not_move_the_clock(client):
    row = first(client)
    answer = send(client, "activities", call(row["account_id"], at="2199-01-01T09:00:00"))
    assert answer["stored"] == 1
    assert all(one["as_of"] == row["as_of"] for one in answer["rows"])


def test_a_scoped_key_cannot_write_about_others(home, here):  # noqa: F811
    store = open_store(here)
    every = store.scores.page("renewal", limit=1_000).rows
    mine = every[0]["region"]
    other = next(row for row in every if row["region"] != mine)
    key, _ = store.access.create_key("sales", region=mine)
    with client_of(home, key=key) as client:
        answer = send(client, "activities", call(other["account_id"]))
        assert answer["stored"] == 0
        assert "no account" in answer["refused"][0]["why"]
        assert answer["rows"] == []


def test_without_an_ingested_crm_the_answer_says_what_to_do(settings):
    with client_of(settings.home) as client:
        answer = client.post("/v1/events", json={"table": "activities", "rows": [call("A1")]})
        assert answer.status_code == 422
        assert "perennial ingest" in answer.json()["detail"]
