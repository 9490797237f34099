"""Keys, overrides, actions, audit, and what is left of an account that was erased."""

import json

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text
from store_case import rows, wrote

from features.errors import RenewalError
from monitoring.store.predictions import Shadow


def test_keys_are_shown_once_and_only_their_hash_is_kept(store):
    assert not store.access.has_keys()
    plaintext, key = store.access.create_key("sales", label="Ann", owner_id="o1")
    assert store.access.verify_key(plaintext) == key
    assert store.access.verify_key(plaintext + "x") is None
    assert store.access.verify_key("") is None
    with store.engine.connect() as connection:
        schema = "perennial." if store.engine.dialect.name == "postgresql" else ""
        kept = connection.execute(text(f"SELECT * FROM {schema}api_keys")).mappings().one()
    assert plaintext not in map(str, kept.values())
    store.access.revoke_key(key.prefix)
    store.access.revoke_key(key.prefix)
    assert store.access.verify_key(plaintext) is None
    assert store.access.has_keys()
    assert "sha256" not in store.access.keys()[0]
    with pytest.raises(RenewalError, match="role"):
        store.access.create_key("emperor")
    with pytest.raises(RenewalError, match="prefix"):
        store.access.revoke_key("prn_nothing")


def test_overrides_actions_and_audit(store):
    store.judgements.override(
        "renewal", "c1", account_id="a1", probability=0.9, reason="signed by mail", made_by="Ann"
    )
    store.judgements.record_action(
        "renewal", "c1", "called", account_id="a1", taken_by="Ann", details={"minutes": 5}
    )
    store.audit.record("Ann", "looked", "c1")
    assert store.judgements.overrides("renewal")["probability"].tolist() == [0.9]
    assert store.judgements.actions("renewal")["details"].tolist() == [{"minutes": 5}]
    assert store.audit.read()[0]["actor"] == "Ann"
    with pytest.raises(RenewalError, match="probability"):
        store.judgements.override("renewal", "c1", account_id=None, probability=9, reason=None, made_by=None)


def test_erasing_an_account_leaves_no_trace_of_it(store, tmp_path):
    shadow = Shadow("2", pd.Series(np.full(5, 0.4)))
    wrote(store, rows(), features=pd.DataFrame({"calls": np.arange(5.0)}), shadow=shadow)
    store.outcomes.record(pd.DataFrame({"contract_id": ["c0", "c1"], "outcome": [1, 0]}))
    store.events.record("activities", [{"activity_id": "e", "account_id": "a0"}], "activity_id")
    store.judgements.override("renewal", "c0", account_id="a0", probability=0.5, reason="", made_by="")
    store.judgements.record_action("renewal", "c0", "called", account_id="a0")
    store.alerts.open("k", rule="r", title="t", account_id="a0", channels=["x"])
    counts = store.erase("a0")
    twice = ("scores", "prediction_log", "shadow_log", "feature_batches")
    assert [counts.pop(name) for name in twice] == [2, 2, 2, 2]
    assert [counts[name] for name in ("outcomes", "alerts", "overrides", "actions", "events")] == [1] * 5
    assert set(store.predictions.read("renewal")["account_id"]) == {"a1", "a2"}
    assert set(store.predictions.features("renewal")["account_id"]) == {"a1", "a2"}
    assert store.erase("a0").items() >= {"scores": 0, "feature_batches": 0}.items()
    assert "a0" not in json.dumps(store.audit.read(), default=str).replace("sha256", "")
