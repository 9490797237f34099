import numpy as np
import pandas as pd
import pytest

from features.crm.load import from_rows
from features.errors import RenewalError
from features.kernel import DAY
from training.effects.contacts import FOREVER, first_contacts, human_contacts
from training.effects.deal_questions import CALLS, calls_question, discount_questions
from training.effects.timing_trial import BUCKETS, Stage, _stages, _window, timing_trial

END = pd.Timestamp("2024-12-31")


def day(before: float) -> str:
    return (END - pd.Timedelta(days=before)).strftime("%Y-%m-%d %H:%M:%S")


def call(before, name="c1", **more):
    row = {
        "activity_id": f"{name}-{before}-{len(more)}",
        "account_id": "a1",
        "occurred_at": day(before),
        "kind": "call",
    }
    return row | {"direction": "outbound"} | more


def contracts_frame(**more):
    end = int(np.datetime64(END, "us").astype(np.int64))
    row = {"contract_id": "c1", "account_id": "a1", "end": end, "entry": end - 180 * DAY, "stop": end + DAY}
    return pd.DataFrame([row | more])


def crm_of(activities, opportunities=()):
    tables = {
        "accounts": [{"account_id": "a1"}, {"account_id": "a2"}],
        "contracts": [
            {"contract_id": "c1", "account_id": "a1", "start_date": day(365)[:10], "end_date": day(0)[:10]},
            {"contract_id": "c2", "account_id": "a2", "start_date": day(365)[:10], "end_date": day(3)[:10]},
            {"contract_id": "c3", "account_id": "a1", "start_date": day(365)[:10], "end_date": day(9)[:10]},
        ],
        "activities": list(activities),
    }
    if opportunities:
        tables["opportunities"] = list(opportunities)
    return from_rows(tables, pd.Timestamp("2026-01-01"))


def days_before(at):
    end = np.datetime64(END, "us").astype(np.int64)
    return None if at == FOREVER else round(float((end - at) / DAY), 3)


DEAL = {"opportunity_id": "o1", "account_id": "a1", "created_at": day(300)}


@pytest.mark.parametrize(
    ("activities", "deals", "any_at", "out_at"),
    [
        ([call(70.5)], [], 70.5, 70.5),
        ([call(200), call(40.5)], [], 40.5, 40.5),
        ([call(70.5, direction="inbound"), call(40.5)], [], 70.5, 40.5),
        ([call(70.5, direction="")], [], 70.5, 70.5),
        ([call(70.5, kind="email"), call(20.5, kind="Meeting")], [], 20.5, 20.5),
        ([call(70.5, contract_id="c1"), call(100.5, contract_id="c3")], [], 70.5, 70.5),
        ([call(70.5, opportunity_id="o1")], [DEAL | {"kind": "new"}], None, None),
        ([call(70.5, opportunity_id="o1")], [DEAL | {"kind": "renewal"}], 70.5, 70.5),
        ([call(70.5, opportunity_id="o1")], [DEAL | {"kind": "expansion", "contract_id": "c1"}], 70.5, 70.5),
        ([call(70.5, account_id="a2")], [], None, None),
        ([call(-2)], [], None, None),
    ],
)
def test_which_contacts_count(activities, deals, any_at, out_at):
    contacts = human_contacts(crm_of([*activities, call(400, kind="call", account_id="a2")], deals))
    found = first_contacts(contracts_frame(), contacts)
    assert tuple(days_before(at[0]) for at in found) == (any_at, out_at)


def test_contact_after_the_decision_is_no_treatment():
    decided = int(np.datetime64(END, "us").astype(np.int64)) - 80 * DAY
    contacts = human_contacts(crm_of([call(70.5)]))
    assert first_contacts(contracts_frame(stop=decided), contacts)[0][0] == FOREVER


@pytest.mark.parametrize(
    ("before", "bucket"),
    [
        (180, "121-180"),
        (121, "121-180"),
        (120, "91-120"),
        (61, "61-90"),
        (60, "31-60"),
        (15, "15-30"),
        (14, "0-14"),
        (0, "0-14"),
    ],
)
def test_windows_go_by_calendar_days(before, bucket):
    trial = contracts_frame(decided=np.iinfo(np.int64).min)
    at = np.array([trial["end"][0] - before * DAY + DAY // 2])
    windows = [_window(trial, Stage(*b), at, at) for b in BUCKETS]
    assert [w.name for w in windows if w.at_risk[0] and w.outbound.hit[0]] == [bucket]


def test_who_is_decided_leaves_and_says_when():
    end = contracts_frame()["end"][0]
    trial = contracts_frame(decided=end - 75 * DAY)
    never = np.array([FOREVER])
    windows = {b[0]: _window(trial, Stage(*b), never, never) for b in BUCKETS}
    assert windows["61-90"].any_contact.decided[0]
    assert windows["61-90"].any_contact.exposure[0] == pytest.approx(0.5)
    assert not windows["31-60"].at_risk[0]


def test_buckets_are_cut_where_contacts_are_many():
    lead = np.concatenate([np.repeat([80, 70], 60), np.repeat([40], 60)])
    end = contracts_frame()["end"][0]
    trial = pd.concat([contracts_frame()] * len(lead), ignore_index=True)
    stages = _stages(trial, end - lead * DAY + DAY // 2, BUCKETS)
    assert [(s.low, s.high) for s in stages if s.bucket == "61-90"] == [(76, 90), (61, 75)]
    assert [(s.low, s.high) for s in stages if s.bucket == "31-60"] == [(31, 60)]
    assert [s.high for s in stages] == sorted((s.high for s in stages), reverse=True)


def test_trial_of_the_simulated_crm(simulated_crm, settings):
    trial = timing_trial(simulated_crm, settings)
    first = trial.windows[0]
    assert first.at_risk.all()
    for w, later in zip(trial.windows[:-1], trial.windows[1:], strict=True):
        assert not (later.at_risk & ~w.at_risk).any()
        assert not (later.at_risk & w.any_contact.hit).any()
        assert np.isfinite(w.X[w.at_risk]).any(axis=1).all()
    assert set(trial.y) == {0.0, 1.0}
    assert "matured" in trial.notes[0]


def test_undated_contracts_are_refused(settings):
    crm = from_rows({"contracts": [{"contract_id": "c", "renewed": True}], "activities": [call(3)]}, None)
    with pytest.raises(RenewalError, match="end dates"):
        timing_trial(crm, settings)


@pytest.mark.parametrize("kind", ["email", ""])
def test_without_calls_or_meetings_it_says_so(kind, settings):
    activities = [call(3, kind=kind or "email")] if kind else []
    with pytest.raises(RenewalError, match="call"):
        human_contacts(crm_of(activities))


def test_too_few_contracts_are_refused(settings):
    with pytest.raises(RenewalError, match="at least 50"):
        timing_trial(crm_of([call(300), call(70)]), settings)


def test_calls_count_only_deals_open_at_the_landmark(simulated_crm, settings):
    question = calls_question(simulated_crm, settings)
    rows = question.rows
    assert ((rows["closed"] >= rows["created"] + 30 * DAY) | (rows["closed"] < 0)).all()
    assert question.arm.max() < len(CALLS)
    assert any("left out" in note for note in question.notes)


def test_discounts_are_of_first_quotes_before_the_decision(simulated_crm, settings):
    found = discount_questions(simulated_crm, settings)
    assert set(found) == {"win", "renewal"}
    for question in found.values():
        assert (question.rows["at"] < question.rows["stop"]).all()
        assert not question.rows.duplicated(
            ["opportunity_id" if "created" in question.rows else "contract_id"]
        ).any()
