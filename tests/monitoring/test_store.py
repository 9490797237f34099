"""Scores in the store: written once, listed, paged, and logged with their features."""

import numpy as np
import pandas as pd
import pytest
from store_case import rows, wrote

from features.errors import RenewalError
from monitoring.store.predictions import Shadow


def test_scores_come_back_as_written(store):
    assert wrote(store, rows()) == {"scored": 5, "problems": 0, "gone": 0}
    page = store.scores.page("renewal")
    assert page.cursor is None
    assert [row["at_risk"] for row in page.rows] == sorted(
        (row["at_risk"] for row in page.rows), reverse=True
    )
    row = next(row for row in page.rows if row["subject_id"] == "c2")
    assert row["probability"] == rows()["probability"][2]
    assert row["product"] == "basic"
    assert row["model_version"] == "3"
    assert row["reasons"] == [{"feature": "calls_90d", "words": "no call", "value": None, "log_odds": -0.5}]
    assert row["end_date"] == pd.Timestamp("2025-04-03")


def test_a_run_repeated_doubles_nothing_and_a_later_one_remembers_the_score_before(store):
    wrote(store, rows())
    wrote(store, rows())
    assert len(store.predictions.read("renewal")) == 5
    wrote(store, rows(as_of="2025-03-02", shift=-0.05), run_id="r2")
    wrote(store, rows(as_of="2025-03-02", shift=-0.05), run_id="r2")
    assert len(store.predictions.read("renewal")) == 10
    row = store.scores.page("renewal", ids=["c2"]).rows[0]
    assert row["previous_probability"] == rows()["probability"][2]
    assert row["previous_as_of"] == pd.Timestamp("2025-03-01")
    assert [r["as_of"].day for r in store.predictions.history("renewal", "c2")] == [1, 2]
    assert len(store.predictions.read("renewal", since="2025-03-02")) == 5


def test_undated_rows_are_logged_once_too(store):
    frame = rows().assign(as_of=pd.NaT, end_date=pd.NaT)
    wrote(store, frame)
    wrote(store, frame, run_id="again")
    log = store.predictions.read("renewal")
    assert len(log) == 5
    assert log["as_of"].isna().all()


def test_a_complete_run_marks_the_rest_gone_and_a_live_one_does_not(store):
    wrote(store, rows(5))
    assert wrote(store, rows(3, as_of="2025-03-05"), run_id="r2", complete=True)["gone"] == 2
    assert {row["subject_id"] for row in store.scores.page("renewal").rows} == {"c0", "c1", "c2"}
    wrote(store, rows(1, as_of="2025-03-06"), run_id="live")
    assert len(store.scores.page("renewal").rows) == 3
    wrote(store, rows(5, as_of="2025-03-07"), run_id="r4", complete=True)
    assert len(store.scores.page("renewal").rows) == 5


def test_an_older_score_replaces_none_of_a_later_day(store):
    wrote(store, rows(as_of="2025-03-05"))
    wrote(store, rows(as_of="2025-03-01", shift=0.1), run_id="old")
    assert {row["as_of"].day for row in store.scores.page("renewal").rows} == {5}
    wrote(store, rows(as_of="2025-03-09"), run_id="backfill", current=False)
    assert {row["as_of"].day for row in store.scores.page("renewal").rows} == {5}
    assert len(store.predictions.read("renewal")) == 15


def test_a_row_with_a_problem_is_shown_last_and_not_logged(store):
    frame = rows()
    frame.loc[4, ["probability", "low", "high", "band", "at_risk"]] = None
    frame.loc[4, "problem"] = "no end date"
    assert wrote(store, frame) == {"scored": 4, "problems": 1, "gone": 0}
    assert store.scores.page("renewal").rows[-1]["problem"] == "no end date"
    assert len(store.predictions.read("renewal")) == 4


@pytest.mark.parametrize("falling", [None, True, False])
@pytest.mark.parametrize("order", ["at_risk", "probability", "amount", "end_date", "account"])
def test_pages_by_key_are_the_whole_listing_in_order_forwards_and_back(store, order, falling):
    frame = rows(57)
    frame.loc[::7, "at_risk"] = 1234.5
    frame.loc[::5, "end_date"] = pd.NaT
    frame.loc[3, "amount"] = frame.loc[3, "at_risk"] = None
    frame["account_name"] = [f"Name {i % 9}" for i in range(57)]
    wrote(store, frame)
    how = {"order": order, "falling": falling}
    listed = store.scores.page("renewal", **how, limit=100).rows
    whole = [row["subject_id"] for row in listed]
    column = {"account": "account_name"}.get(order, order)
    values = [row[column] for row in listed if row[column] is not None]
    falls = order in ("at_risk", "amount") if falling is None else falling
    assert values == sorted(values, reverse=falls)
    if len(values) < len(listed):
        assert all(row[column] is None for row in listed[len(values) :])
    paged, cursor, back = [], None, None
    while True:
        page = store.scores.page("renewal", **how, limit=10, cursor=cursor, with_place=True)
        assert page.before == len(paged)
        paged += [row["subject_id"] for row in page.rows]
        back, cursor = page.previous, page.cursor
        if cursor is None:
            break
    assert paged == whole
    assert len(set(whole)) == 57
    end = 50
    while back is not None:
        page = store.scores.page("renewal", **how, limit=10, cursor=back, with_place=True)
        assert [row["subject_id"] for row in page.rows] == whole[end - 10 : end]
        assert page.before == end - 10
        assert page.cursor is not None
        end, back = end - 10, page.previous
    assert end == 0


def test_customers_held_out_count_by_amount_alone_and_have_no_band_or_rank(store):
    frame = rows(10).assign(held_out=[i == 4 for i in range(10)])
    wrote(store, frame)
    shown = frame[~frame["held_out"]]
    totals = store.scores.totals("renewal")
    assert (totals["rows"], totals["amount"]) == (10, pytest.approx(frame["amount"].sum()))
    assert totals["at_risk"] == pytest.approx(shown["at_risk"].sum())
    assert totals["bands"][""]["rows"] == 1
    for order in ("at_risk", "probability"):
        assert store.scores.page("renewal", order=order).rows[-1]["subject_id"] == "c4"
    assert all(row["subject_id"] != "c4" for row in store.scores.page("renewal", band="at risk").rows)


def test_a_list_is_narrowed_by_words_team_alert_task_and_status_alike_in_rows_and_totals(store):
    frame = rows(10).assign(account_name=[f"Nord_{i} AG" for i in range(10)])
    wrote(store, frame)
    open_alert = {"rule": "jump in risk", "kind": "renewal", "account_id": "a1"}
    store.alerts.open("r1", title="c1 fell", subject_id="c1", **open_alert)
    store.alerts.open("m", title="the model", rule="monitor: drift", kind="renewal")
    store.alerts.open("s", title="low score", rule="low survey score", account_id="a2")
    late, soon = pd.Timestamp("2020-01-01"), pd.Timestamp("2999-01-01")
    store.tasks.give("renewal", {"c3": "a0", "c4": "a1"}, title="call", owner="o1", due_at=late)
    store.tasks.give("renewal", {"c3": "a0", "c5": "a2"}, title="visit", owner="o1", due_at=soon)
    store.tasks.give("renewal", {"c5": "a2"}, title="visit", owner="o1", due_at=soon)
    store.work.set_status("renewal", {"c6": "a0"}, "agreed", "Ann")
    whole_account = {"c2", "c5", "c8"}
    for wanted, expected in (
        ({"text": "nord_7"}, {"c7"}),
        ({"text": "%"}, set()),
        ({"owners": {"o1"}, "text": "c1"}, {"c1"}),
        ({"owners": set()}, set()),
        ({"needs": "alert"}, {"c1"} | whole_account),
        ({"needs": "task"}, {"c3", "c4", "c5"}),
        ({"needs": "late"}, {"c3", "c4"}),
        ({"needs": "nobody", "owners": {"o0"}}, {"c0", "c2", "c6", "c8"}),
        ({"status": "agreed"}, {"c6"}),
        ({"status": "not started", "owners": {"o0"}}, {"c0", "c2", "c4", "c8"}),
    ):
        assert {row["subject_id"] for row in store.scores.page("renewal", **wanted).rows} == expected, wanted
        assert store.scores.totals("renewal", **wanted)["rows"] == len(expected)
    assert len(store.tasks.read()) == 4
    assert [row["subject_id"] for row in store.tasks.about("renewal", ["c3"], ["a0"])] == ["c3", "c3"]
    assert {row["title"] for row in store.alerts.about("renewal", ["c1"], ["a1", "a2"])} == {
        "c1 fell", "low score",
    }  # fmt: skip


def test_a_saved_view_is_replaced_by_its_name_shown_to_others_if_shared_and_dropped_by_its_maker(store):
    first = store.work.save_view("/renewals", "mine", "band=watch", "k1", is_shared=False)
    assert store.work.save_view("/renewals", "mine", "band=safe", "k1", is_shared=True) == first
    store.work.save_view("/renewals", "theirs", "owner=o1", "k2", is_shared=False)
    assert [(v["name"], v["query"], v["is_mine"]) for v in store.work.views("/renewals", "k2")] == [
        ("mine", "band=safe", False), ("theirs", "owner=o1", True),
    ]  # fmt: skip
    assert not store.work.drop_view(first, "k2")
    assert store.work.drop_view(first, "k1")
    assert store.work.views("/renewals", "k1") == []


def test_filters_totals_and_ids(store):
    wrote(store, rows(10))
    north = store.scores.page("renewal", region="north").rows
    assert {row["region"] for row in north} == {"north"}
    assert store.scores.page("renewal", owner="o1", before="2025-04-05").rows[0]["owner_id"] == "o1"
    assert len(store.scores.page("renewal", before="2025-04-05").rows) == 4
    totals = store.scores.totals("renewal", region="north")
    assert totals["rows"] == 5
    assert totals["at_risk"] == pytest.approx(sum(row["at_risk"] for row in north))
    assert sum(band["rows"] for band in totals["bands"].values()) == 5
    for name in ("amount", "at_risk"):
        assert sum(band[name] for band in totals["bands"].values()) == pytest.approx(totals[name])
    assert [r["subject_id"] for r in store.scores.page("renewal", ids=["c7", "nobody", "c2"]).rows] == [
        "c7",
        "c2",
    ]
    assert store.scores.page("win").rows == []


def test_bad_order_and_foreign_cursor_are_the_users_mistake(store):
    wrote(store, rows(30))
    cursor = store.scores.page("renewal", limit=5).cursor
    with pytest.raises(RenewalError, match="order"):
        store.scores.page("renewal", order="luck")
    for wrong in ("rubbish", cursor[:-4], "e30="):
        with pytest.raises(RenewalError, match="cursor"):
            store.scores.page("renewal", cursor=wrong)
    with pytest.raises(RenewalError, match="cursor"):
        store.scores.page("renewal", order="amount", cursor=cursor)


def test_wins_rank_by_expected_value(store):
    store.scores.write("win", rows(kind="win"), run_id="w", model_version="1")
    expected = [row["expected"] for row in store.scores.page("win").rows]
    assert expected == sorted(expected, reverse=True)
    assert store.scores.page("win").rows[0]["opportunity_id"]


def test_features_come_back_to_the_bit_with_categories(store):
    seen = pd.DataFrame(
        {
            "calls_90d": [0.1, np.nan, 1 / 3, 2.0, 5.0],
            "accounts.industry": pd.Categorical(["a", None, "b", "a", "c"]),
        }
    )
    wrote(store, rows(), run_id="r1", features=seen)
    wrote(store, rows(), run_id="r1", features=seen)
    more = seen.rename(columns={"calls_90d": "calls_30d"}).assign(
        **{"accounts.industry": pd.Categorical(["z"] * 5)}
    )
    wrote(store, rows(as_of="2025-04-01"), run_id="r2", features=more)
    frame = store.predictions.features("renewal")
    assert len(frame) == 10
    np.testing.assert_array_equal(frame["calls_90d"][:5], seen["calls_90d"])
    assert frame["calls_90d"][5:].isna().all()
    assert set(frame["accounts.industry"].cat.categories) == {"a", "b", "c", "z"}
    assert frame["lead_days"][0] == 31
    assert len(store.predictions.features("renewal", since="2025-03-15")) == 5
    assert store.predictions.features("win").empty


def test_runs(store):
    store.record_run("m1", "monitor", "renewal", {"verdict": "ok"})
    store.record_run("m1", "monitor", "renewal", {"verdict": "alert"})
    assert [run["summary"] for run in store.runs("monitor", "renewal")] == [{"verdict": "alert"}]


def test_what_a_former_champion_would_have_said_is_never_taken_for_a_score(store):
    would = Shadow("2", pd.Series([0.4, np.nan, 0.6, 0.7, 0.8]))
    wrote(store, rows(), shadow=would)
    wrote(store, rows(), shadow=would)
    assert set(store.predictions.read("renewal")["model_version"]) == {"3"}
    assert {row["model_version"] for row in store.scores.page("renewal").rows} == {"3"}
    assert [row["model_version"] for row in store.predictions.history("renewal", "c0")] == ["3"]
    found = store.predictions.shadows("renewal", "2")
    assert found["probability"].tolist() == [0.4, 0.6, 0.7, 0.8]
    assert store.predictions.shadows("renewal", "3").empty


def test_the_owners_forecast_is_logged_as_it_stood_and_not_in_a_look_back(store):
    answer = [0.5, None, 0.7, 0.9, 1.0]
    wrote(store, rows().assign(forecast=answer))
    wrote(store, rows(as_of="2025-02-01").assign(forecast=answer), run_id="back", current=False)
    log = store.predictions.read("renewal").set_index(["as_of", "subject_id"])["forecast"]
    assert log["2025-03-01"].dropna().tolist() == [0.5, 0.7, 0.9, 1.0]
    assert log["2025-02-01"].isna().all()
