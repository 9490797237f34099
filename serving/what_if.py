"""What if we acted otherwise: what the score would say; the estimated effect is another figure.

The score repeats what went together in the past: where worried customers are called, calls look bad to it.
What the action changes is told by `training.causal.what_if`; the two are never mixed into one figure.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from features.arrays import Coded, Column
from features.arriving import Reader
from serving.arrivals import Arrivals
from serving.ground import Ground, Restate, Seen, with_rows
from training.encode import texts
from training.registry import Loaded

BEFORE = pd.Timedelta(hours=1)
RECENT = pd.Timedelta(days=30)
SAYS = "what the score would say had this just been recorded; no effect"
NOT_SEEN = "the model does not look at what this changes"


def score_said(
    arrivals: Arrivals, reader: Reader, loaded: Loaded, row: Mapping[str, Any], changes: Mapping[str, float]
) -> dict[str, Any]:
    """The score now and as if the actions had been recorded by now.

    Args:
        arrivals: what the live path stands on.
        reader: reads rows as events are read.
        loaded: the model.
        row: the contract's current score, with `contract_id` and `account_id`.
        changes: of `contact_days_before`, `calls_30d`, `discount_pct`.

    Returns:
        `now`, `changed`, `difference` (None where it can't be told), `moved` features, version, `why`.
    """
    with arrivals.standing("renewal", row["account_id"]) as stood:
        subject, seen = (None, None) if stood is None else _only(stood[0], stood[1], row["contract_id"])
        if stood is None or subject is None or seen is None or subject["end_date"] is None:
            return unsaid("the contract has no end date, or does not run any more")
        ground, _, arrived = stood
        X = ground.features(seen, arrived)
        otherwise = ground.features(seen, arrived, _restated(subject, seen.as_of, changes, reader))
    moved = [name for name in loaded.model.features if name in X and not _same(X[name], otherwise[name])]
    now, changed = (float(loaded.model.probability(rows)[0]) for rows in (X, otherwise))
    return {
        "now": now,
        "changed": changed,
        "difference": changed - now,
        "moved": moved,
        "model_version": str(loaded.version),
        "why": SAYS if moved else NOT_SEEN,
    }


def unsaid(why: str) -> dict[str, Any]:
    """No score, and why."""
    return {**dict.fromkeys(("now", "changed", "difference")), "moved": [], "model_version": None, "why": why}


def _only(ground: Ground, seen: Seen, contract_id: str) -> tuple[dict[str, Any] | None, Seen | None]:
    """One contract among those seen."""
    for at, place in enumerate(seen.places.tolist()):
        if ground.subjects[place]["contract_id"] == contract_id:
            alone = seen._replace(places=seen.places[[at]], lead_days=seen.lead_days[[at]])
            return ground.subjects[place], alone
    return None, None


def _same(one: Column, other: Column) -> bool:
    if isinstance(one, Coded) and isinstance(other, Coded):
        return bool((texts(one) == texts(other)).all())
    return np.array_equal(np.asarray(one), np.asarray(other), equal_nan=True)


def _restated(
    subject: Mapping[str, Any], now: pd.Timestamp, changes: Mapping[str, float], reader: Reader
) -> Restate:
    """How the account's activities and quotes would read had the actions been taken by now."""
    restate: dict[str, Callable[[pa.Table], pa.Table]] = {}
    if {"contact_days_before", "calls_30d"} & set(changes):
        restate["activities"] = lambda rows: _activities(rows, subject, now, changes, reader)
    if "discount_pct" in changes and subject["amount"] is not None:
        restate["quotes"] = lambda rows: _quotes(rows, subject, now, changes["discount_pct"], reader)
    return restate


def _activities(
    rows: pa.Table,
    subject: Mapping[str, Any],
    now: pd.Timestamp,
    changes: Mapping[str, float],
    reader: Reader,
) -> pa.Table:
    """The account's activities with the contact made, and just so many calls in the last 30 days."""
    moments: list[pd.Timestamp] = []
    if "contact_days_before" in changes:
        day = subject["end_date"] - pd.Timedelta(days=changes["contact_days_before"])
        moments.append(min(day, now - BEFORE))
    if "calls_30d" in changes:
        at = rows["occurred_at"].to_pandas()
        is_call = rows["kind"].cast(pa.string()).to_pandas().str.lower() == "call"
        recent = np.flatnonzero((is_call & (at >= now - RECENT) & (at < now)).to_numpy(bool))
        wanted = max(int(changes["calls_30d"]) - len(moments) * _is_recent(moments, now), 0)
        rows = rows.take(pa.array(np.setdiff1d(np.arange(len(rows)), recent[wanted:])))
        more = max(wanted - len(recent), 0)
        moments += [now - BEFORE - (RECENT - pd.Timedelta(days=1)) * i / max(more, 1) for i in range(more)]
    if not moments:
        return rows
    calls = [
        {**_links(subject), "kind": "call", "direction": "outbound", "occurred_at": at} for at in moments
    ]
    return with_rows(rows, _read("activities", "activity_id", calls, reader))


def _is_recent(moments: list[pd.Timestamp], now: pd.Timestamp) -> bool:
    return bool(moments) and moments[0] >= now - RECENT


def _quotes(
    rows: pa.Table, subject: Mapping[str, Any], now: pd.Timestamp, discount_pct: float, reader: Reader
) -> pa.Table:
    """The account's quotes with one more, at this discount on the annual value."""
    full = subject["amount"]
    quote = {
        **_links(subject),
        "quoted_at": now - BEFORE,
        "list_amount": full,
        "net_amount": round(full * (1 - discount_pct / 100), 2),
    }
    return with_rows(rows, _read("quotes", "quote_id", [quote], reader))


def _links(subject: Mapping[str, Any]) -> dict[str, str]:
    return {name: subject[name] for name in ("account_id", "contract_id")}


def _read(table: str, key: str, rows: list[dict[str, Any]], reader: Reader) -> pa.Table:
    told = [
        {
            key: f"what-if-{i}",
            **{k: v.isoformat() if isinstance(v, pd.Timestamp) else v for k, v in row.items()},
        }
        for i, row in enumerate(rows)
    ]
    return reader.read(table, told)[0]
