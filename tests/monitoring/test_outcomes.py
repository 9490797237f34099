"""Outcomes and live arrivals: kept once, however often they are sent."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from store_case import rows, wrote

from features.errors import RenewalError
from features.settings import Settings
from monitoring.store import open_store


def test_outcomes_are_kept_once(store):
    wrote(store, rows())
    sent = pd.DataFrame(
        {
            "contract_id": ["c0", "c1", "c0", "x9"],
            "outcome": ["renewed", 0, "1", "lost"],
            "decided_at": ["2025-04-01", None, "2025-04-01", None],
        }
    )
    clear = {"conflicting": 0, "conflicts": []}
    assert store.outcomes.record(sent) == {"new": 3, "repeated": 1, "unknown": 1, **clear}
    assert store.outcomes.record(sent) == {"new": 0, "repeated": 4, "unknown": 0, **clear}
    other = pd.DataFrame({"contract_id": ["c0", "c1"], "outcome": [0, 0], "decided_at": [None, None]})
    answer = store.outcomes.record(other)
    assert [answer[name] for name in ("new", "repeated", "conflicting", "unknown")] == [0, 1, 1, 0]
    assert answer["conflicts"] == ["c0: renewed on 2025-04-01 is kept, not renewed was sent"]
    kept = store.outcomes.read("renewal").set_index("subject_id")
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
        store.outcomes.record(
            pd.concat([pd.DataFrame(frame), good] if len(frame) > 1 else [pd.DataFrame(frame)])
        )
    assert store.outcomes.read("renewal").empty


def test_events_are_kept_once(store):
    call = {"activity_id": "e1", "account_id": "a1", "kind": "call", "talk": 1.5}
    assert store.events.record("activities", [call, call], "activity_id") == {
        "new": 1,
        "repeated": 1,
        "conflicting": 0,
    }
    changed = {**call, "kind": "mail"}
    assert store.events.record("activities", [changed], "activity_id")["conflicting"] == 1
    assert [event["payload"] for event in store.events.read("activities")] == [call]
    assert store.events.read(account_id="a2") == []
    with pytest.raises(RenewalError, match="activity_id"):
        store.events.record("activities", [{"activity_id": "e2"}, {"kind": "call"}], "activity_id")
    assert len(store.events.read()) == 1


KILLED = """
import sys
import pandas as pd
from features.settings import Settings
from monitoring.store import open_store
store = open_store(Settings(home=sys.argv[1]))
print("ready", flush=True)
for part in range(30):
    ids = [f"c{number}" for number in range(1000 * part, 1000 * part + 1000)]
    store.outcomes.record(pd.DataFrame({"contract_id": ids, "outcome": 1}))
    print(part, flush=True)
"""


@pytest.mark.parametrize("wait", [0.0, 0.2, 0.5])
def test_killed_at_any_moment_a_file_of_outcomes_is_kept_whole_or_not_at_all_and_once(tmp_path, wait):
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        child.stdout.readline()
        time.sleep(wait)
        os.kill(child.pid, signal.SIGKILL)
        answer = len(child.stdout.readlines())
    store = open_store(Settings(home=tmp_path))
    kept = store.outcomes.read("renewal")
    assert len(kept) % 1000 == 0
    assert answer * 1000 <= len(kept) <= (answer + 1) * 1000
    ids = [f"c{number}" for number in range(30_000)]
    counts = store.outcomes.record(pd.DataFrame({"contract_id": ids, "outcome": 1}))
    assert (counts["repeated"], counts["new"]) == (len(kept), 30_000 - len(kept))
    assert store.outcomes.read("renewal")["subject_id"].is_unique
