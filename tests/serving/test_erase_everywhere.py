"""Erasing a customer who is everywhere: afterwards no table, file or freed page of the home says the name."""

from urllib.parse import urlencode

import pyarrow.parquet as pq
import pytest
from serving_case import client_of, home, night  # noqa: F401 (fixtures)
from sqlalchemy import String, Text, select

from features.settings import Settings
from monitoring.alerts import survey_alerts
from monitoring.closing_the_loop import begin_tasks
from monitoring.store import erase_from_store, open_store
from monitoring.store.database import now, writing
from monitoring.store.list_filter import STATUSES
from monitoring.store.predictions import unpacked
from monitoring.store.tables import feature_batches, metadata
from serving.erase_everywhere import erase

pytestmark = pytest.mark.slow


def names_it(value, ids):
    return any(one in str(value) for one in ids)


def tables_naming(store, ids):
    """Tables with a row that says one of the ids anywhere, blobs opened."""
    found = set()
    with store.engine.connect() as connection:
        for table in metadata.tables.values():
            for row in connection.execute(select(table)).mappings():
                values = dict(row)
                blob = values.pop("arrow_zstd", None)
                if names_it(values, ids) or (blob and names_it(unpacked(blob).to_pydict(), ids)):
                    found.add(table.name)
    return found


def files_naming(folder, ids):
    found = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        answer = pq.read_table(path).to_pandas().to_csv() if path.suffix == ".parquet" else path.read_bytes()
        if any((one if isinstance(answer, str) else one.encode()) in answer for one in ids):
            found.append(str(path.relative_to(folder)))
    return found


def leave_traces(home, store, one, client):  # noqa: F811
    """An event, an alert, an override, an action, outcomes, a report and estimates about a contract."""
    account, contract = one["account_id"], one["contract_id"]
    call = {"activity_id": f"E-{account}", "account_id": account, "kind": "call", "occurred_at": "2026-01-01"}
    for _ in range(10):
        answer = client.post("/v1/events", json={"table": "activities", "rows": [call]})
        if answer.status_code != 504:
            break
    assert answer.status_code == 200, answer.text
    survey_alerts(store, Settings(home=home), [{"account_id": account, "kind": "nps", "score": 1}])
    store.judgements.override(
        "renewal", contract, account_id=account, probability=0.5, reason="x", made_by="me"
    )
    store.audit.record("me", "override", contract, {"probability": 0.5})
    store.judgements.record_action("renewal", contract, "Called", account_id=account, taken_by="me")
    import pandas as pd

    decided = {"contract_id": contract, "outcome": "1", "decided_at": "2026-01-02"}
    store.outcomes.record(pd.DataFrame([decided]))
    begin_tasks(store, Settings(home=home))
    store.work.set_status("renewal", {contract: account}, STATUSES[0], "me")
    store.work.save_view("renewals", "mine", f"search={contract}", "key", False)
    store.work.save_view(
        "renewals", "theirs", urlencode({"search": one["account_name"].lower()}), "key", False
    )
    store.work.save_view("renewals", "others", urlencode({"search": one["account_name"] + "7"}), "key", False)
    store.audit.record("me", "bulk status", None, {"subjects": [contract, "another"]})
    store.audit.record("me", "export", "renewal", {"search": one["account_name"], "as": "csv"})
    in_an_experiment(store, account, contract)
    asked_a_question(store, account)
    for name in ("reports/monitor.html", "effects/plan.json", "worked-out/icp-x.json"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(f"<p>{account} {contract}</p>")


def in_an_experiment(store, account, contract):
    facts = {
        "experiment_id": "try", "question": "calls", "choice": "3-4", "cluster": "account", "strata": [],
        "share": 0.5, "seed": 1, "gap": 0.1, "level": 0.05, "power": 0.8, "followed": 0.8, "needed": 9,
        "as_of": now(), "started_by": "me",
    }  # fmt: skip
    drawn = {"account_id": account, "cluster": "c", "stratum": "all", "arm": "usual"}
    joined = {"subject_id": contract, "account_id": account, "joined_at": now(), "matures_at": now()}
    store.experiments.open(facts, [drawn], [joined])


def asked_a_question(store, account):
    request = {"request_id": "r", "account_id": account, "contact_id": None, "email": None, "kind": "nps"}
    with writing(store.engine) as connection:
        request |= {"touchpoint": "case", "trigger": "case closed"}
        store.surveys.ask(connection, request, contact_days=1, account_days=1, account_most=1)


def test_nothing_says_the_name_afterwards_and_a_running_service_has_let_go_of_it(home):  # noqa: F811
    settings = Settings(home=home, threads=1)
    store = open_store(settings)
    with client_of(home) as client:
        one = client.get("/v1/renewals?limit=1").json()["rows"][0]
        ids = [one["account_id"], one["contract_id"]]
        leave_traces(home, store, one, client)
        kept = client.post("/v1/renewals/score", json={"contract_ids": ids[1:]}).json()["rows"][0]
        assert kept["probability"] is not None
        held = {table.name for table in erase_from_store.OF_ACCOUNTS} | {
            "feature_batches",
            "runs",
            "audit",
            "saved_views",
        }
        assert tables_naming(store, ids) >= held - {"shadow_log"}
        before = store.scores.page("renewal", limit=1_000).rows

        answer = erase(one["account_id"], settings)

        assert set(answer["left"].values()) == {0}
        assert {"store.scores", "store.events", "store.alerts", "store.feature_batches"} <= {
            place for place, rows in answer["removed"].items() if rows
        }
        assert answer["removed"]["reports"] == 1
        assert tables_naming(store, ids) == set()
        assert [view["name"] for view in store.work.views("renewals", "key")] == ["others"]
        noted = {row["action"]: row["details"] for row in store.audit.read()}
        assert noted["bulk status"]["subjects"][1] == "another"
        assert noted["export"] | {"search": ""} == {"search": "", "as": "csv"}
        assert one["account_name"] not in str(noted)
        assert files_naming(home, ids) == []
        others = [row["contract_id"] for row in before if row["account_id"] != one["account_id"]]
        assert [row["contract_id"] for row in store.scores.page("renewal", limit=1_000).rows] == others
        client.app.state.running.live.score_cache.look()
        asked = client.post("/v1/renewals/score", json={"contract_ids": ids[1:]}).json()["rows"][0]
        assert "There is no" in asked["problem"]
    assert [row["action"] for row in store.audit.read()][:1] == ["account erased"]


def test_every_table_that_names_accounts_is_known_to_the_erasure():
    """A new table with ids of customers needs a place in monitoring/erase_from_store.py."""
    about = {
        table.name for table in metadata.tables.values() if {"account_id", "subject_id"} & set(table.c.keys())
    }
    assert about == {table.name for table in erase_from_store.OF_ACCOUNTS}
    free_text = {
        table.name
        for table in metadata.tables.values()
        if any(isinstance(column.type, String | Text) for column in table.c)
    }
    without = {"api_keys", "ended_sessions", "alert_sends", "experiments"}
    assert free_text - about - without == {"audit", "runs", "saved_views", feature_batches.name}
