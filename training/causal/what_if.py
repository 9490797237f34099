"""What if we acted otherwise: what the model's score would say, and what the estimated effect is, kept apart.

The score repeats what went together in the past; that worried customers are called makes calls look bad to
it. The effect is what the action changes, as far as the data can tell. The two are never mixed into one
figure. Only actions can be changed: the day of the contact, calls, the discount.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.crm import Crm
from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from features.snapshots import asked
from training.causal.answer import ALL, Answer
from training.causal.curve import Curve, curve_for, curves
from training.causal.deals import DISCOUNT_EDGES, DISCOUNTS
from training.causal.frame import BUCKETS
from training.causal.memory import remembered
from training.effects import estimated_discount, estimated_timing
from training.versions import Loaded

LIMITS = {"contact_days_before": (0, 180), "calls_30d": (0, 60), "discount_pct": (0, 90)}
BEFORE = pd.Timedelta(hours=1)


def what_if(
    crm: Crm,
    settings: Settings,
    contract_id: str,
    changes: Mapping[str, float],
    loaded: Loaded | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """Two answers to one question, in words that keep them apart.

    Args:
        crm: the CRM as it stands.
        settings: where models and estimates are kept.
        contract_id: a contract.
        changes: any of contact_days_before (0–180), calls_30d (0–60), discount_pct (0–90).
        loaded: the model, where the caller holds it; else the registry's champion.
        say: told what is being done.

    Returns:
        contract_id, as_of, changes, `score` (now, changed, difference, why) and `effects` (a row a change).

    Raises:
        RenewalError: a change is no action or out of range, or there is no such contract.
    """
    asked_for = checked(changes)
    row = asked(crm, "renewal", pd.DataFrame({"contract_id": [contract_id]}))
    if row["problem"].notna().any() or row["ends_at"].isna().any():
        raise RenewalError(
            expected="the contract_id of a contract with an end date",
            found=repr(contract_id),
            do="Take one from `perennial score renewal`.",
        )
    return {
        "contract_id": contract_id,
        "as_of": str(crm.until.date()),
        "changes": asked_for,
        "score": score_sensitivity(crm, settings, row, asked_for, loaded),
        "effects": [_effect(crm, settings, name, at, say) for name, at in asked_for.items()],
    }


def checked(changes: Mapping[str, float]) -> dict[str, float]:
    """The changes, if all of them are actions within their limits.

    Raises:
        RenewalError: one is not.
    """
    for name, at in changes.items():
        if name not in LIMITS:
            raise RenewalError(
                expected=f"changes of actions: {', '.join(LIMITS)}",
                found=repr(name),
                do="Only what you can do differently can be changed.",
            )
        low, high = LIMITS[name]
        if not isinstance(at, int | float) or isinstance(at, bool) or not low <= at <= high:
            raise RenewalError(
                expected=f"{name} from {low} to {high}", found=repr(at), do="Change the number."
            )
    if not changes:
        raise RenewalError(
            expected=f"at least one change of {', '.join(LIMITS)}", found="none", do="Say what you would do."
        )
    return {name: float(at) for name, at in changes.items()}


def score_sensitivity(
    crm: Crm, settings: Settings, row: pd.DataFrame, changes: Mapping[str, float], loaded: Loaded | None
) -> dict[str, Any]:
    """The score now and as if the actions had just been recorded, on the features that this moves."""
    from features.engine import feature_rows
    from training.registry import champion

    loaded = loaded or champion("renewal", settings)
    if loaded is None:
        return {"now": None, "changed": None, "difference": None, "why": "no model has been trained yet"}
    X = feature_rows(crm, row, "renewal", settings).frame
    with tempfile.TemporaryDirectory(prefix="perennial-what-if-") as folder:
        before = _restated(crm, Path(folder) / "before", row.iloc[0], {})
        after = _restated(crm, Path(folder) / "after", row.iloc[0], changes)
        one, two = (feature_rows(c, row, "renewal", settings).frame for c in (before, after))
    moved = [
        name for name in X if name in two and not one[name].astype(object).equals(two[name].astype(object))
    ]
    changed = X.assign(**{str(name): two[name] for name in moved})
    now, then = float(loaded.model.probability(X)[0]), float(loaded.model.probability(changed)[0])
    seen = [name for name in moved if name in loaded.model.features]
    return {
        "now": round(now, 5),
        "changed": round(then, 5),
        "difference": round(then - now, 5),
        "moved": seen,
        "model_version": loaded.version,
        "why": "what the score would say had this just been recorded: past company of facts, no effect"
        if seen
        else "the model does not look at what this changes",
    }


def _restated(crm: Crm, folder: Path, row: pd.Series, changes: Mapping[str, float]) -> Crm:
    """The CRM with one account's activities and quotes as if the changes had just been recorded."""
    folder.mkdir()
    for table in crm.tables:
        if table not in ("activities", "quotes"):
            (folder / f"{table}.parquet").symlink_to(crm.path(table).resolve())
    for table, restate in (("activities", _activities), ("quotes", _quotes)):
        if crm.has(table):
            only = [("account_id", "=", str(row["account_id"]))] if crm.has(table, "account_id") else None
            own = pq.read_table(crm.path(table), filters=only)
            pq.write_table(restate(own, crm.until, row, changes), folder / f"{table}.parquet")
    return replace(crm, folder=folder, fingerprint=f"{crm.fingerprint} restated")


def _activities(own: pa.Table, now: pd.Timestamp, row: pd.Series, changes: Mapping[str, float]) -> pa.Table:
    """The account's activities with the contact made, and just so many calls in the last 30 days."""
    moments = []
    if "contact_days_before" in changes:
        moments.append(min(row["ends_at"] - pd.Timedelta(days=changes["contact_days_before"]), now - BEFORE))
    if "calls_30d" in changes:
        start = now - pd.Timedelta(days=30)
        frame = own.select(["occurred_at", "kind"]).to_pandas()
        recent = ((frame["kind"].str.lower() == "call") & (frame["occurred_at"] >= start)).to_numpy(bool)
        wanted, there = int(changes["calls_30d"]), int(recent.sum())
        drop = np.flatnonzero(recent)[wanted:]
        own = own.take(pa.array(np.setdiff1d(np.arange(len(own)), drop)))
        more = max(wanted - there, 0)
        moments += [now - BEFORE - pd.Timedelta(days=29) * i / max(more, 1) for i in range(more)]
    rows = [
        {
            "activity_id": f"what-if-{i}",
            "account_id": row["account_id"],
            "occurred_at": moment,
            "recorded_at": moment,
            "kind": "call",
            "contract_id": row["contract_id"],
            "direction": "outbound",
        }
        for i, moment in enumerate(moments)
    ]
    return _with_rows(own, rows, "occurred_at")


def _quotes(own: pa.Table, now: pd.Timestamp, row: pd.Series, changes: Mapping[str, float]) -> pa.Table:
    """The account's quotes with one more at the discount asked for."""
    if "discount_pct" not in changes or pd.isna(row["amount"]):
        return own
    full = int(row["amount"])
    quote = {
        "quote_id": "what-if",
        "account_id": row["account_id"],
        "contract_id": row["contract_id"],
        "quoted_at": now - BEFORE,
        "list_amount": full,
        "net_amount": round(full * (1 - changes["discount_pct"] / 100)),
    }
    return _with_rows(own, [quote], "quoted_at")


def _with_rows(own: pa.Table, rows: list[dict[str, Any]], time: str) -> pa.Table:
    if not rows:
        return own
    given = [{name: row.get(name) for name in own.column_names} for row in rows]
    whole = pa.concat_tables([own, pa.Table.from_pylist(given, schema=own.schema)])
    return whole.sort_by([(time, "ascending")])


def _effect(crm: Crm, settings: Settings, name: str, at: float, say: Say) -> dict[str, Any]:
    """The estimated effect of one change against what is usually done, or why there is none."""
    if name == "calls_30d":
        why = "the effect of the number of calls is estimated for new business only, see `effects calls`"
        return {"change": name, "bucket": None, "estimate": None, "gain": None, "why": why}
    if name == "contact_days_before":
        bucket = next(b for b, low, high in BUCKETS if low <= int(at) <= high)
        told = remembered("timing", estimated_timing, crm, settings, None, say)
        return _against_usual(name, bucket, curve_for(curves(told), ALL), told, "renewal")
    bucket = DISCOUNTS[int(np.searchsorted(DISCOUNT_EDGES, at, side="right"))]
    try:
        told = remembered("discount", estimated_discount, crm, settings, None, say)
    except RenewalError as error:
        return {
            "change": name,
            "bucket": bucket,
            "estimate": None,
            "gain": None,
            "why": f"can't tell: {error}",
        }
    if "renewal" not in told["covariance"]:
        why = "can't tell: no quotes of renewals are linked to contracts"
        return {"change": name, "bucket": bucket, "estimate": None, "gain": None, "why": why}
    return _against_usual(name, bucket, curve_for(curves(_only(told, "renewal")), ALL), told, "renewal")


def _only(told: Answer, outcome: str) -> Answer:
    """One outcome of an answer that holds two, keyed by group as `curves` reads it."""
    prefix = "" if ALL not in told["best"] or f"{outcome}: {ALL}" not in told["best"] else f"{outcome}: "
    return {
        "rows": [row for row in told["rows"] if row["outcome"] == outcome],
        "covariance": told["covariance"][outcome],
        "best": {group: told["best"][prefix + group] for group in told["covariance"][outcome]},
        "indistinguishable": {g: told["indistinguishable"][prefix + g] for g in told["covariance"][outcome]},
    }


def _against_usual(name: str, bucket: str, curve: Curve | None, told: Answer, outcome: str) -> dict[str, Any]:
    wanted = (outcome, ALL, bucket)
    row = next(r for r in told["rows"] if (r["outcome"], r["group"], r["bucket"]) == wanted)
    answer = {"change": name, "bucket": bucket, "estimate": row["estimate"], "margin": row["margin"]}
    if curve is None or bucket not in curve.buckets:
        return answer | {"gain": None, "why": row["why"] or "can't tell: nothing to compare with"}
    weight = np.eye(len(curve.buckets))[curve.buckets.index(bucket)] - curve.chosen / curve.chosen.sum()
    gain, spread = curve.total(weight)
    half = curve.critical() * spread
    return answer | {
        "usual": round(float(curve.estimate @ curve.chosen / curve.chosen.sum()), 5),
        "gain": round(gain, 5),
        "low": round(gain - half, 5),
        "high": round(gain + half, 5),
        "why": "estimated effect on the probability of renewal, against what is usually done",
    }
