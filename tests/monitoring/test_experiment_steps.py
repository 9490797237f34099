"""An experiment from its start to its end, in both databases: drawn once, written whole, seen by arm."""

import threading
from functools import cache

import numpy as np
import pandas as pd
import pytest

from features.crm.load import from_rows
from features.errors import RenewalError
from features.settings import Settings
from monitoring.experiment_draw import code
from monitoring.experiment_plan import Plan
from monitoring.experiment_steps import end, enrol_all, every, find, findings, start, status
from monitoring.store import experiment_log
from serving.arms_shown import arm_of, as_arms_see, effects_shown, is_usual, plan_row, plan_rows
from training.effects.arms import ADVICE, USUAL

BEGIN = pd.Timestamp("2025-01-01")
PLAN = Plan("timing", "61-90", name="try", gap=0.3, seed=5, cluster="account", stratify=[])


def crm_of(customers=160, until=BEGIN, arms=None, effect=0.6):
    """Contracts that end from April 2025 on, one a customer; those drawn for it are called in their window.

    With `arms`, customers drawn for the advice renew more often by `effect`.
    """
    advised = frozenset(account for account, arm in (arms or {}).items() if arm == ADVICE)
    return _crm_of(customers, until, advised, effect)


@cache
def _crm_of(customers, until, advised, effect):
    rng = np.random.default_rng(0)
    accounts, contracts, calls = [], [], []
    for at in range(customers):
        account = f"A{at:03}"
        ends = pd.Timestamp("2025-04-10") + pd.Timedelta(days=int(rng.integers(0, 80)))
        luck = rng.random()
        drawn = account in advised
        accounts.append({"account_id": account, "owner_id": f"O{at % 4}", "created_at": "2023-01-01"})
        over = ends + pd.Timedelta(days=1) < until
        contracts.append(
            {
                "contract_id": f"C{at:03}", "account_id": account, "start_date": "2024-04-01",
                "end_date": str(ends.date()), "annual_value": 1000.0,
                "renewed": bool(luck < 0.3 + effect * drawn) if over else None,
                "decided_at": str(ends.date()) if over else None,
            }
        )  # fmt: skip
        old = {"contract_id": f"P{at:03}", "account_id": account, "start_date": "2023-04-01"}
        contracts.append({**old, "end_date": "2024-03-31", "renewed": luck < 0.5, "decided_at": "2024-03-31"})
        if drawn:
            called = ends - pd.Timedelta(days=75)
            call = {"activity_id": f"K{at}", "account_id": account, "kind": "call", "direction": "outbound"}
            calls.append({**call, "contract_id": f"C{at:03}", "occurred_at": str(called)})
    first = {"activity_id": "K", "account_id": "A000", "contract_id": "P000", "kind": "call"}
    calls.append({**first, "direction": "outbound", "occurred_at": "2024-01-01"})
    known = [call for call in calls if pd.Timestamp(call["occurred_at"]) < until]
    return from_rows({"accounts": accounts, "contracts": contracts, "activities": known}, until)


@pytest.fixture
def begun(store, settings):
    answer = start(store, crm_of(), settings, PLAN, by="ann")
    accounts = store.experiments.accounts("try")
    return answer, dict(zip(accounts["account_id"], accounts["arm"], strict=True))


def test_an_experiment_runs_from_the_draw_to_what_the_estimates_learn(store, settings, begun):
    answer, arms = begun
    assert (answer["state"], answer["advice"]) == ("open", "first contact 61 to 90 days before the end")
    assert sorted(arms.values()) == [ADVICE] * 80 + [USUAL] * 80
    assert answer["needed"] > 50
    assert answer["outcomes_known"] == 0
    assert "owners look after customers of both arms" in answer["contamination"]["words"][0]

    later = crm_of(until=pd.Timestamp("2025-09-15"), arms=arms)
    answer = status(store, later, settings)
    assert answer["outcomes_known"] == 160
    assert answer["arms"]["advice"]["treated"] == 1.0
    assert answer["arms"]["usual"]["treated"] == 0.0
    assert answer["drawn"]["low"] > 0.1
    assert answer["drawn"]["low"] < 0.6 < answer["drawn"]["high"]
    assert answer["verdict"] == "the advice is better"
    assert answer["decided_on"] > "2025-05-25"  # no outcome counts before 45 days after the end
    assert answer["history"][-1]["estimate"] == answer["drawn"]["estimate"]
    assert every(store)[0]["drawn"] == answer["drawn"]
    assert findings(store, "timing") == []

    ended = end(store, later, settings, by="ann", because="beyond chance")
    assert (ended["state"], ended["ended_because"]) == ("ended", "beyond chance")
    (found,) = findings(store, "timing")
    assert found.bucket == "61-90"
    assert found.effect == pytest.approx(answer["drawn"]["estimate"], abs=1e-4)
    again = end(store, crm_of(), settings, "try", by="bob", because="no")
    assert (again["ended_by"], again["outcomes_known"]) == ("ann", 160)
    assert arm_of(store, "A000", "timing") is None


def test_the_same_seed_draws_the_same_customers(store, settings, begun):
    _, arms = begun
    end(store, crm_of(), settings, by="ann")
    start(store, crm_of(), settings, Plan("timing", "61-90", name="again", gap=0.3, seed=5, stratify=[],
                                          cluster="account"))  # fmt: skip
    again = store.experiments.accounts("again")
    assert dict(zip(again["account_id"], again["arm"], strict=True)) == arms


def with_later_ones():
    """A month on: one more contract of a drawn customer, and one of a customer who is new."""
    far = crm_of(160, until=pd.Timestamp("2025-02-01"))
    contract = {
        "contract_id": "N1",
        "account_id": "A000",
        "start_date": "2024-08-01",
        "end_date": "2025-07-20",
    }
    fresh = {**contract, "contract_id": "N2", "account_id": "NEW"}
    tables = ("accounts", "contracts", "activities")
    rows = {name: far.frame(name).to_dict("records") for name in tables}
    rows["contracts"] = [{**row, "annual_value": 10.0} for row in rows["contracts"]] + [contract, fresh]
    rows["accounts"] = [*rows["accounts"], {"account_id": "NEW"}]
    return from_rows(rows, pd.Timestamp("2025-02-01"))


def test_whoever_enters_the_run_up_later_joins_and_who_was_drawn_stays(store, settings, begun):
    _, arms = begun
    more = crm_of(240, until=pd.Timestamp("2025-01-20"))
    status(store, more, settings)
    joined = store.experiments.subjects("try")
    assert len(joined) == 160  # ends within 180 days of the start were there to be drawn at the start
    status(store, with_later_ones(), settings)
    subjects = store.experiments.subjects("try").set_index("subject_id")
    assert {"N1", "N2"} <= set(subjects.index)
    assert subjects.loc["N1", "matures_at"] == pd.Timestamp("2025-07-20") + pd.Timedelta(days=45)
    accounts = store.experiments.accounts("try").set_index("account_id")
    assert {a: accounts.loc[a, "arm"] for a in arms} == arms
    assert accounts.loc["NEW", "cluster"] == code("NEW")


def test_one_question_is_tried_once_at_a_time_even_if_two_begin_at_once(store, settings):
    crm, failed = crm_of(), []

    def begin(name):
        try:
            start(store, crm, settings, Plan("timing", "61-90", name=name, gap=0.3, stratify=[],
                                             cluster="account"))  # fmt: skip
        except RenewalError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=begin, args=(name,)) for name in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 2
    assert len(store.experiments.read(is_open=True)) == 1
    assert "end that one first" in failed[0]


def test_killed_while_it_is_written_nothing_is_there(store, settings, monkeypatch):
    calls = []

    def killed(connection, statement, rows):
        calls.append(len(rows))
        if len(calls) == 2:
            raise KeyboardInterrupt
        connection.execute(statement, list(rows))

    monkeypatch.setattr(experiment_log, "put", killed)
    with pytest.raises(KeyboardInterrupt):
        start(store, crm_of(), settings, PLAN)
    assert calls[0] == 160
    assert store.experiments.read() == []
    assert store.experiments.accounts("try").empty
    monkeypatch.undo()
    start(store, crm_of(), settings, PLAN)
    assert len(store.experiments.accounts("try")) == 160


def test_what_begins_or_ends_is_audited_with_it_or_not_at_all(store, settings, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(experiment_log, "note", killed)
        with pytest.raises(KeyboardInterrupt):
            start(store, crm_of(), settings, PLAN)
    assert store.experiments.read() == []
    start(store, crm_of(), settings, PLAN, by="Ann")
    with monkeypatch.context() as dying:
        dying.setattr(experiment_log, "note", killed)
        with pytest.raises(KeyboardInterrupt):
            store.experiments.end("try", "Ben", "tried", {})
    assert len(store.experiments.read(is_open=True)) == 1
    assert store.experiments.end("try", "Ben", "tried", {})
    assert not store.experiments.end("try", "Ben", "again", {})
    noted = [(row["actor"], row["action"], row["details"]) for row in store.audit.read()]
    assert noted == [
        ("Ben", "experiment ended", {"because": "tried"}),
        ("Ann", "experiment started", {"accounts": 160}),
    ]


@pytest.mark.parametrize("where", ["the draw", "who joins", "the look"])
def test_an_enrolment_killed_at_any_write_is_made_whole_once_by_the_next_night(
    store, settings, begun, monkeypatch, where
):
    """Killed at the first or second write, or after both: nobody is lost, doubled or drawn anew."""
    later, (_, arms), whole, writes = with_later_ones(), begun, experiment_log.put, []

    def killed(connection, statement, rows):
        writes.append(len(rows))
        if len(writes) == ("the draw", "who joins").index(where) + 1:
            raise KeyboardInterrupt
        whole(connection, statement, rows)

    def unseen(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        if where == "the look":
            dying.setattr(type(store), "record_run", unseen)
        else:
            dying.setattr(experiment_log, "put", killed)
        with pytest.raises(KeyboardInterrupt):
            enrol_all(store, later, settings)
    joined = 2 if where == "the look" else 0
    assert len(store.experiments.subjects("try")) == 160 + joined
    assert len(store.experiments.accounts("try")) == 160 + joined // 2
    assert enrol_all(store, later, settings) == 2 - joined
    assert enrol_all(store, later, settings) == 0
    subjects, accounts = store.experiments.subjects("try"), store.experiments.accounts("try")
    assert subjects["subject_id"].is_unique
    assert {"N1", "N2"} <= set(subjects["subject_id"])
    drawn = dict(zip(accounts["account_id"], accounts["arm"], strict=True))
    assert len(accounts) == len(drawn) == 161
    assert {account: drawn[account] for account in arms} == arms
    assert every(store)[0]["as_of"] == str(later.until)


def test_each_arm_sees_what_it_was_drawn_for(store, settings, begun):
    _, arms = begun
    usual, advised = (next(a for a, arm in arms.items() if arm == which) for which in (USUAL, ADVICE))
    row = {
        "account_id": usual, "contract_id": "C", "ends_on": "2025-05-01", "days_to_end": 120,
        "window": "31-60", "act_from": "2025-03-01", "act_by": "2025-03-31", 
        "gain": 0.1, "leaning": "31-60", "alike": ["31-60"],
        "contacted_on": None, "why": "First contact …", "worth": 5.0, "curve": "all",
    }  # fmt: skip
    hidden, tried, other = plan_rows(
        store, [row, {**row, "account_id": advised}, {**row, "account_id": "Z"}], {}
    )
    assert hidden["window"] is hidden["gain"] is hidden["curve"] is hidden["worth"] is None
    assert "usual practice in the experiment try" in hidden["why"]
    assert (tried["window"], tried["act_from"], tried["act_by"]) == ("61-90", "2025-01-31", "2025-03-01")
    assert tried["gain"] is None
    assert other == {**row, "account_id": "Z"}
    met = plan_row({**row, "contacted_on": "2025-01-02"}, arm_of(store, advised, "timing"))
    assert met["window"] == "31-60"
    effect = {"bucket": "61-90", "estimate": 0.8, "gain": 0.1, "alike": ["61-90"], "why": "estimated"}
    both = {"contact_days_before": effect, "discount_pct": effect}
    shown = effects_shown(store, usual, both)
    assert shown["contact_days_before"]["estimate"] is None
    assert shown["contact_days_before"]["alike"] == []
    assert shown["discount_pct"] == effect
    assert effects_shown(store, advised, both) == both
    assert as_arms_see(store, [row, {**row, "account_id": "Z"}]) == [hidden, other]
    assert is_usual(arm_of(store, usual, "timing"))


def test_an_erased_customer_is_in_no_experiment(store, settings, begun):
    counts = store.erase("A003")
    assert counts["experiment_accounts"] == counts["experiment_subjects"] == 1
    assert "A003" not in set(store.experiments.accounts("try")["account_id"])


def test_families_are_not_torn_apart_unless_allowed(store, settings):
    crm = crm_of()
    tables = ("accounts", "contracts", "activities")
    rows = {name: crm.frame(name).to_dict("records") for name in tables}
    rows["contracts"] = [{**row, "annual_value": 10.0} for row in rows["contracts"]]
    rows["accounts"] = [{**row, "parent_account_id": "A000"} for row in rows["accounts"][:40]] + rows[
        "accounts"
    ][40:]
    crm = from_rows(rows, BEGIN)
    options = {"gap": 0.3, "stratify": [], "seed": 1}
    with pytest.raises(RenewalError, match="--cluster parent"):
        start(store, crm, settings, Plan("timing", "61-90", name="torn", cluster="account", **options))
    start(store, crm, settings, Plan("timing", "61-90", name="whole", **options))
    drawn = store.experiments.accounts("whole").set_index("account_id")
    assert drawn["arm"][[f"A{at:03}" for at in range(40)]].nunique() == 1


def test_the_hold_out_of_scores_is_an_experiment(store, tmp_path):
    with pytest.raises(RenewalError, match="PERENNIAL_HOLDOUT_SHARE"):
        start(store, crm_of(), Settings(home=tmp_path), Plan("scores", name="held"))
    settings = Settings(home=tmp_path, holdout_share=0.25)
    answer = start(store, crm_of(), settings, Plan("scores", name="held", gap=0.3))
    assert 20 < answer["arms"]["usual"]["accounts"] < 60
    other = Settings(home=tmp_path, holdout_share=0.25, seed=9)
    assert status(store, crm_of(), other, "held")["contamination"]["moved"] > 20


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        ({"question": "luck"}, "an experiment about"),
        ({"question": "calls", "choice": "61-90"}, "--advice"),
        ({"question": "playbook", "choice": "luck"}, "--advice"),
        ({"question": "timing", "choice": "61-90", "gap": 0.9}, "--gap"),
        ({"question": "timing", "choice": "61-90", "share": 1.0}, "--share"),
        ({"question": "timing", "choice": "61-90", "stratify": ["zodiac"], "gap": 0.3}, "--stratify"),
        ({"question": "timing", "choice": "61-90", "cluster": "parent", "gap": 0.3}, "parent_account_id"),
    ],
)
def test_what_cannot_be_tried_is_refused_and_leaves_nothing(store, settings, plan, words):
    with pytest.raises(RenewalError, match=words):
        start(store, crm_of(), settings, Plan(**{"cluster": "account", **plan}))
    assert store.experiments.read() == []
    with pytest.raises(RenewalError, match="experiment start"):
        find(store, None)


def test_what_cannot_be_measured_is_not_begun(store, settings):
    crm = crm_of()
    rows = {name: crm.frame(name).to_dict("records") for name in ("accounts", "contracts")}
    with pytest.raises(RenewalError, match="calls and meetings"):
        start(store, from_rows(rows, BEGIN), settings, PLAN)
    assert store.experiments.read() == []
