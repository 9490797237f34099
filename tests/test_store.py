import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text

from features.errors import RenewalError
from features.settings import Settings
from monitoring.database import connect, migrate
from monitoring.schema import HEAD
from monitoring.store import Store, open_store


@pytest.fixture(params=["sqlite", "postgres"])
def store(request, tmp_path):
    if request.param == "sqlite":
        return open_store(Settings(home=tmp_path))
    url = request.getfixturevalue("postgres_url")
    return open_store(Settings(home=tmp_path, database_url=url))


def rows(n=5, as_of="2025-03-01", shift=0.0, kind="renewal"):
    p = np.clip(np.linspace(0.1, 0.9, n) + shift, 0, 1)
    amount = np.linspace(1000, 5000, n)
    frame = pd.DataFrame(
        {
            "contract_id": [f"c{i}" for i in range(n)],
            "account_id": [f"a{i % 3}" for i in range(n)],
            "owner_id": [f"o{i % 2}" for i in range(n)],
            "region": pd.Categorical(["north" if i % 2 else "south" for i in range(n)]),
            "as_of": pd.Timestamp(as_of),
            "end_date": pd.date_range("2025-04-01", periods=n),
            "lead_days": np.arange(n) + 31.0,
            "probability": p,
            "low": p - 0.05,
            "high": p + 0.05,
            "band": ["at risk" if v < 0.5 else "safe" for v in p],
            "amount": amount,
            "at_risk": (1 - p) * amount,
            "reasons": [
                [{"feature": "calls_90d", "words": "no call", "value": np.float64("nan"), "log_odds": -0.5}]
            ]
            * n,
            "problem": None,
            "product": "basic",
        }
    )
    return (
        frame
        if kind == "renewal"
        else frame.rename(columns={"contract_id": "opportunity_id", "at_risk": "expected"})
    )


def wrote(store, frame, run_id="r1", **more):
    return store.write_scores("renewal", frame, run_id=run_id, model_version="3", **more)


def test_scores_come_back_as_written(store):
    assert wrote(store, rows()) == {"scored": 5, "problems": 0, "gone": 0}
    page = store.scores("renewal")
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
    assert len(store.predictions("renewal")) == 5
    wrote(store, rows(as_of="2025-03-02", shift=-0.05), run_id="r2")
    wrote(store, rows(as_of="2025-03-02", shift=-0.05), run_id="r2")
    assert len(store.predictions("renewal")) == 10
    row = store.scores("renewal", ids=["c2"]).rows[0]
    assert row["previous_probability"] == rows()["probability"][2]
    assert row["previous_as_of"] == pd.Timestamp("2025-03-01")
    assert [r["as_of"].day for r in store.score_history("renewal", "c2")] == [1, 2]
    assert len(store.predictions("renewal", since="2025-03-02")) == 5


def test_undated_rows_are_logged_once_too(store):
    frame = rows().assign(as_of=pd.NaT, end_date=pd.NaT)
    wrote(store, frame)
    wrote(store, frame, run_id="again")
    log = store.predictions("renewal")
    assert len(log) == 5
    assert log["as_of"].isna().all()


def test_a_complete_run_marks_the_rest_gone_and_a_live_one_does_not(store):
    wrote(store, rows(5))
    assert wrote(store, rows(3, as_of="2025-03-05"), run_id="r2", complete=True)["gone"] == 2
    assert {row["subject_id"] for row in store.scores("renewal").rows} == {"c0", "c1", "c2"}
    wrote(store, rows(1, as_of="2025-03-06"), run_id="live")
    assert len(store.scores("renewal").rows) == 3
    wrote(store, rows(5, as_of="2025-03-07"), run_id="r4", complete=True)
    assert len(store.scores("renewal").rows) == 5


def test_an_older_score_replaces_none_of_a_later_day(store):
    wrote(store, rows(as_of="2025-03-05"))
    wrote(store, rows(as_of="2025-03-01", shift=0.1), run_id="old")
    assert {row["as_of"].day for row in store.scores("renewal").rows} == {5}
    wrote(store, rows(as_of="2025-03-09"), run_id="backfill", current=False)
    assert {row["as_of"].day for row in store.scores("renewal").rows} == {5}
    assert len(store.predictions("renewal")) == 15


def test_a_row_with_a_problem_is_shown_last_and_not_logged(store):
    frame = rows()
    frame.loc[4, ["probability", "low", "high", "band", "at_risk"]] = None
    frame.loc[4, "problem"] = "no end date"
    assert wrote(store, frame) == {"scored": 4, "problems": 1, "gone": 0}
    assert store.scores("renewal").rows[-1]["problem"] == "no end date"
    assert len(store.predictions("renewal")) == 4


@pytest.mark.parametrize("order", ["at_risk", "probability", "amount", "end_date"])
def test_pages_by_key_are_the_whole_listing_in_order(store, order):
    frame = rows(57)
    frame.loc[::7, "at_risk"] = 1234.5
    frame.loc[::5, "end_date"] = pd.NaT
    wrote(store, frame)
    whole = [row["subject_id"] for row in store.scores("renewal", order=order, limit=100).rows]
    paged, cursor = [], None
    while True:
        page = store.scores("renewal", order=order, limit=10, cursor=cursor)
        paged += [row["subject_id"] for row in page.rows]
        cursor = page.cursor
        if cursor is None:
            break
    assert paged == whole
    assert len(set(whole)) == 57


def test_filters_totals_and_ids(store):
    wrote(store, rows(10))
    north = store.scores("renewal", region="north").rows
    assert {row["region"] for row in north} == {"north"}
    assert store.scores("renewal", owner="o1", before="2025-04-05").rows[0]["owner_id"] == "o1"
    assert len(store.scores("renewal", before="2025-04-05").rows) == 4
    totals = store.score_totals("renewal", region="north")
    assert totals["rows"] == 5
    assert totals["at_risk"] == pytest.approx(sum(row["at_risk"] for row in north))
    assert sum(totals["bands"].values()) == 5
    assert [r["subject_id"] for r in store.scores("renewal", ids=["c7", "nobody", "c2"]).rows] == ["c7", "c2"]
    assert store.scores("win").rows == []


def test_bad_order_and_foreign_cursor_are_the_users_mistake(store):
    wrote(store, rows(30))
    cursor = store.scores("renewal", limit=5).cursor
    with pytest.raises(RenewalError, match="order"):
        store.scores("renewal", order="luck")
    for wrong in ("rubbish", cursor[:-4], "e30="):
        with pytest.raises(RenewalError, match="cursor"):
            store.scores("renewal", cursor=wrong)
    with pytest.raises(RenewalError, match="cursor"):
        store.scores("renewal", order="amount", cursor=cursor)


def test_wins_rank_by_expected_value(store):
    store.write_scores("win", rows(kind="win"), run_id="w", model_version="1")
    expected = [row["expected"] for row in store.scores("win").rows]
    assert expected == sorted(expected, reverse=True)
    assert store.scores("win").rows[0]["opportunity_id"]


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
    frame = store.logged_features("renewal")
    assert len(frame) == 10
    np.testing.assert_array_equal(frame["calls_90d"][:5], seen["calls_90d"])
    assert frame["calls_90d"][5:].isna().all()
    assert set(frame["accounts.industry"].cat.categories) == {"a", "b", "c", "z"}
    assert frame["lead_days"][0] == 31
    assert len(store.logged_features("renewal", since="2025-03-15")) == 5
    assert store.logged_features("win").empty


def test_outcomes_are_kept_once(store):
    wrote(store, rows())
    sent = pd.DataFrame(
        {
            "contract_id": ["c0", "c1", "c0", "x9"],
            "outcome": ["renewed", 0, "1", "lost"],
            "decided_at": ["2025-04-01", None, "2025-04-01", None],
        }
    )
    assert store.record_outcomes(sent) == {"new": 3, "repeated": 1, "conflicting": 0, "unknown": 1}
    assert store.record_outcomes(sent) == {"new": 0, "repeated": 4, "conflicting": 0, "unknown": 0}
    other = pd.DataFrame({"contract_id": ["c0", "c1"], "outcome": [0, 0], "decided_at": [None, None]})
    assert store.record_outcomes(other) == {"new": 0, "repeated": 1, "conflicting": 1, "unknown": 0}
    kept = store.outcomes("renewal").set_index("subject_id")
    assert kept["outcome"].to_dict() == {"c0": 1, "c1": 0, "x9": 0}
    assert kept.loc["c0", "decided_at"] == pd.Timestamp("2025-04-01")
    assert kept.loc["c0", "account_id"] == "a0"


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ({"contract_id": ["c"]}, "outcome"),
        ({"outcome": [1]}, "contract_id or opportunity_id"),
        ({"contract_id": ["c"], "outcome": ["maybe"]}, "'maybe' in row 1"),
        ({"contract_id": [None], "outcome": [1]}, "neither"),
        ({"contract_id": ["c"], "opportunity_id": ["d"], "outcome": [1]}, "both"),
        ({"contract_id": ["c"], "outcome": [1], "decided_at": ["the ides"]}, "the ides"),
    ],
)
def test_outcome_files_with_a_mistake_keep_nothing(store, frame, said):
    good = pd.DataFrame({"contract_id": ["ok"], "outcome": [1]})
    with pytest.raises(RenewalError, match=said):
        store.record_outcomes(
            pd.concat([pd.DataFrame(frame), good] if len(frame) > 1 else [pd.DataFrame(frame)])
        )
    assert store.outcomes("renewal").empty


def test_events_are_kept_once(store):
    call = {"activity_id": "e1", "account_id": "a1", "kind": "call", "talk": 1.5}
    assert store.record_events("activities", [call, call], "activity_id") == {
        "new": 1,
        "repeated": 1,
        "conflicting": 0,
    }
    changed = {**call, "kind": "mail"}
    assert store.record_events("activities", [changed], "activity_id")["conflicting"] == 1
    assert [event["payload"] for event in store.events("activities")] == [call]
    assert store.events(account_id="a2") == []
    with pytest.raises(RenewalError, match="activity_id"):
        store.record_events("activities", [{"activity_id": "e2"}, {"kind": "call"}], "activity_id")
    assert len(store.events()) == 1


def test_keys_are_shown_once_and_only_their_hash_is_kept(store):
    assert not store.has_keys()
    plaintext, key = store.create_key("sales", label="Ann", owner_id="o1")
    assert store.verify_key(plaintext) == key
    assert store.verify_key(plaintext + "x") is None
    assert store.verify_key("") is None
    with store.engine.connect() as connection:
        schema = "perennial." if store.engine.dialect.name == "postgresql" else ""
        kept = connection.execute(text(f"SELECT * FROM {schema}api_keys")).mappings().one()
    assert plaintext not in map(str, kept.values())
    store.revoke_key(key.prefix)
    store.revoke_key(key.prefix)
    assert store.verify_key(plaintext) is None
    assert store.has_keys()
    assert "sha256" not in store.keys()[0]
    with pytest.raises(RenewalError, match="role"):
        store.create_key("emperor")
    with pytest.raises(RenewalError, match="prefix"):
        store.revoke_key("prn_nothing")


def test_overrides_actions_and_audit(store):
    store.override("renewal", "c1", account_id="a1", probability=0.9, reason="signed by mail", made_by="Ann")
    store.record_action("renewal", "c1", "called", account_id="a1", taken_by="Ann", details={"minutes": 5})
    store.audit("Ann", "looked", "c1")
    assert store.overrides("renewal")["probability"].tolist() == [0.9]
    assert store.actions("renewal")["details"].tolist() == [{"minutes": 5}]
    assert store.audit_log()[0]["actor"] == "Ann"
    with pytest.raises(RenewalError, match="probability"):
        store.override("renewal", "c1", account_id=None, probability=9, reason=None, made_by=None)


def test_erasing_an_account_leaves_no_trace_of_it(store, tmp_path):
    wrote(store, rows(), features=pd.DataFrame({"calls": np.arange(5.0)}))
    store.record_outcomes(pd.DataFrame({"contract_id": ["c0", "c1"], "outcome": [1, 0]}))
    store.record_events("activities", [{"activity_id": "e", "account_id": "a0"}], "activity_id")
    store.override("renewal", "c0", account_id="a0", probability=0.5, reason="", made_by="")
    store.record_action("renewal", "c0", "called", account_id="a0")
    store.open_alert("k", rule="r", title="t", account_id="a0", channels=["x"])
    counts = store.erase("a0")
    assert (counts.pop("scores"), counts.pop("prediction_log"), counts.pop("feature_batches")) == (2, 2, 2)
    assert counts == dict.fromkeys(("outcomes", "alerts", "overrides", "actions", "events"), 1)
    assert set(store.predictions("renewal")["account_id"]) == {"a1", "a2"}
    assert set(store.logged_features("renewal")["account_id"]) == {"a1", "a2"}
    assert store.erase("a0").items() >= {"scores": 0, "feature_batches": 0}.items()
    assert "a0" not in json.dumps(store.audit_log(), default=str).replace("sha256", "")


def test_runs(store):
    store.record_run("m1", "monitor", "renewal", {"verdict": "ok"})
    store.record_run("m1", "monitor", "renewal", {"verdict": "alert"})
    assert [run["summary"] for run in store.runs("monitor", "renewal")] == [{"verdict": "alert"}]


def test_a_hundred_thousand_scores_take_seconds(store):
    frame = rows(100_000)
    started = time.monotonic()
    wrote(store, frame, complete=True)
    took = time.monotonic() - started
    assert len(store.predictions("renewal")) == 100_000
    assert took < 60, took  # 6 s alone; the rest is for busy machines


def test_readers_see_the_old_or_the_new_never_half(store):
    wrote(store, rows(400), complete=True)
    seen, done = set(), threading.Event()

    def read():
        while not done.is_set():
            found = store.scores("renewal", limit=1000).rows
            seen.add((len(found), len({row["as_of"] for row in found})))

    reader = threading.Thread(target=read)
    reader.start()
    for day in range(2, 8):
        wrote(store, rows(400 if day % 2 else 300, as_of=f"2025-03-0{day}"), run_id=f"r{day}", complete=True)
    done.set()
    reader.join()
    assert seen <= {(400, 1), (300, 1)}


def _open(url, queue):
    queue.put(open_store(Settings(database_url=url)).runs("score"))


def test_many_openers_of_a_new_database_at_once(request, tmp_path):
    for url in (f"sqlite:///{tmp_path}/new/p.db", request.getfixturevalue("postgres_url")):
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        openers = [context.Process(target=_open, args=(url, queue)) for _ in range(4)]
        for opener in openers:
            opener.start()
        assert [queue.get(timeout=60) for _ in openers] == [[]] * 4
        for opener in openers:
            opener.join()


def test_head_is_the_newest_migration_and_migrations_make_the_declared_tables(tmp_path):
    from alembic.autogenerate import compare_metadata
    from alembic.config import Config
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from monitoring import schema

    config = Config()
    config.set_main_option("script_location", "monitoring/migrations")
    assert ScriptDirectory.from_config(config).get_current_head() == HEAD
    engine = connect(f"sqlite:///{tmp_path}/p.db")
    migrate(engine)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), schema.metadata) == []


def test_a_store_of_a_newer_perennial_is_refused(tmp_path):
    engine = connect(f"sqlite:///{tmp_path}/p.db")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(RenewalError, match="Upgrade Perennial"):
        connect(f"sqlite:///{tmp_path}/p.db")


def test_unusable_databases_are_told_in_one_line(tmp_path):
    (tmp_path / "perennial.db").write_text("this is not a database, but a text of some length" * 30)
    with pytest.raises(RenewalError, match="SQLite"):
        open_store(Settings(home=tmp_path))
    for url in ("mysql://x/y", "nonsense", "postgresql://nobody@127.0.0.1:1/none"):
        with pytest.raises(RenewalError) as told:
            connect(url)
        assert "\n" not in str(told.value)


def test_sqlite_is_opened_in_wal_with_foreign_keys(tmp_path):
    store = open_store(Settings(home=tmp_path))
    with store.engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 30_000


KILLED = """
import sys
sys.path[:0] = ["tests"]
from test_store import open_store, Settings, rows, wrote
store = open_store(Settings(home=sys.argv[1]))
print("ready", flush=True)
for day in range(10, 29):
    wrote(store, rows(3000, as_of=f"2025-03-{day}"), run_id=f"r{day}", complete=True)
"""


@pytest.mark.parametrize("wait", [0.05, 0.3, 0.7])
def test_killed_at_any_moment_every_run_is_there_whole_or_not_at_all(tmp_path, wait):
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    time.sleep(wait)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    store: Store = open_store(Settings(home=tmp_path))
    log = store.predictions("renewal")
    assert set(log.groupby("run_id").size()) <= {3000}
    assert len(log) == 3000 * len(store.runs("score"))
    assert len({row["run_id"] for row in store.scores("renewal", limit=5000).rows}) <= 1
    with sqlite3.connect(tmp_path / "perennial.db") as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
