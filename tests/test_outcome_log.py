"""Outcomes and live arrivals: kept once, however often they are sent."""

import pandas as pd
import pytest
from store_case import rows, wrote

from features.errors import RenewalError


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
