"""Estimates as an answer: rows, the best bucket, and every bucket that cannot be told from it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.effects_inference import Errors, set_of_best, simultaneous
from training.effects_overlap import reasons
from training.effects_pooling import pool
from training.effects_sensitivity import lead_of_best, margins
from training.effects_trial import Strategies

ALL = "all"
LEAST_CELLS = 3
Answer = dict[str, Any]


def answer(
    outcome: str,
    order: Sequence[str],
    found: Mapping[str, Strategies],
    unadjusted: Strategies,
    *,
    missing: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Answer:
    """Rows of §11, `best`, `indistinguishable`, `sensitivity` and `notes` for everybody and each group.

    A bucket of which nothing can be told stays in the set of those not distinguishable from the best: it may be the
    best. Where no bucket stands out, `best` is None and the set is the whole family.

    Args:
        outcome: `renewal` or `win`.
        order: the buckets as they are to be listed; those not in `found` need a reason in `missing`.
        found: `all` and group names → estimates.
        unadjusted: the same for everybody with no covariates.
        missing: bucket → why it was not estimated at all.
        seed: of the simultaneous critical values.
    """
    whole = found[ALL]
    why = reasons(whole)
    usable = np.array([w is None for w in why])
    margin = margins(whole.estimate, unadjusted.estimate, usable)
    low, high, keep = _inferred(whole, usable, seed)
    told: Answer = {"rows": [], "best": {}, "indistinguishable": {}, "sensitivity": None, "notes": []}
    _tell(told, outcome, order, ALL, whole, whole.estimate, low, high, keep, why, margin, dict(missing or {}))
    told["sensitivity"] = lead_of_best(whole.names, whole.estimate, margin, usable)
    groups = {name: one for name, one in found.items() if name != ALL}
    if groups:
        _tell_groups(told, outcome, order, groups, usable, why, margin, dict(missing or {}), seed)
    return told


def _inferred(
    one: Strategies, usable: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    m = len(one.names)
    low, high, keep = np.full(m, np.nan), np.full(m, np.nan), np.ones(m, dtype=bool)
    if usable.any():
        errors = Errors.of(one.influence[:, usable], one.cluster)
        low[usable], high[usable] = simultaneous(one.estimate[usable], errors, seed)
        keep[usable] = set_of_best(one.estimate[usable], errors, seed)
    return low, high, keep


def _tell_groups(
    told: Answer,
    outcome: str,
    order: Sequence[str],
    groups: Mapping[str, Strategies],
    usable: np.ndarray,
    why_all: list[str | None],
    margin: np.ndarray,
    missing: dict[str, str],
    seed: int,
) -> None:
    """Rows of every group; groups with at least three estimable buckets are pooled, smaller ones left open."""
    seen = {name: np.array([w is None for w in reasons(one)]) & usable for name, one in groups.items()}
    large = [name for name in groups if seen[name].sum() >= min(LEAST_CELLS, usable.sum()) and usable.sum() > 1]
    estimates = np.full((len(large), int(usable.sum())), np.nan)
    covariances = []
    for g, name in enumerate(large):
        here = seen[name][usable]
        estimates[g, here] = groups[name].estimate[usable][here]
        influence = np.where(here, groups[name].influence[:, usable], 0.0)
        covariances.append(Errors.of(influence, groups[name].cluster).covariance)
    pooled = pool(estimates, covariances) if len(large) > 1 else None
    if pooled is not None:
        low, high = simultaneous(pooled.estimate.ravel(), pooled.errors, seed)
        told["notes"].append(
            f"groups are pooled: their effects differ by about {pooled.tau:.3f} (standard deviation, probability)"
        )
    for name, one in groups.items():
        m = len(one.names)
        value, ends, keep = np.full(m, np.nan), np.full((2, m), np.nan), np.ones(m, dtype=bool)
        why: list[str | None] = [
            w or f"can't tell: too few here ({len(one.cluster)}); see all" for w in why_all
        ]
        if name in large and pooled is not None:
            g, width = large.index(name), int(usable.sum())
            value[usable] = pooled.estimate[g]
            ends[:, usable] = low[g * width : (g + 1) * width], high[g * width : (g + 1) * width]
            keep[usable] = set_of_best(pooled.estimate[g], pooled.of_group(g), seed, len(large))
            why = _group_reasons(one, why_all)
            value, ends = _blank(value, ends, why)
            keep |= np.isnan(value)
        _tell(told, outcome, order, name, one, value, *ends, keep, why, margin, missing)


def _group_reasons(one: Strategies, why_all: list[str | None]) -> list[str | None]:
    """Why a group's bucket stays open: what holds for all, or that this group hardly ever does so."""
    own = reasons(one)
    lacking = [w if w is not None and "hardly" in w else None for w in own]
    return [a or b for a, b in zip(why_all, lacking, strict=True)]


def _blank(value: np.ndarray, ends: np.ndarray, why: list[str | None]) -> tuple[np.ndarray, np.ndarray]:
    told = np.array([w is None for w in why])
    return np.where(told, value, np.nan), np.where(told, ends, np.nan)


def _tell(
    told: Answer,
    outcome: str,
    order: Sequence[str],
    group: str,
    one: Strategies,
    estimate: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    keep: np.ndarray,
    why: list[str | None],
    margin: np.ndarray,
    missing: dict[str, str],
) -> None:
    """Add one group's rows, best bucket and set."""
    place = {name: b for b, name in enumerate(one.names)}
    effective = one.effective_n()
    for bucket in order:
        row: dict[str, Any] = {"outcome": outcome, "group": group, "bucket": bucket}
        if bucket in place:
            b = place[bucket]
            ok = why[b] is None
            row |= {
                "estimate": _number(estimate[b] if ok else np.nan),
                "low": _number(low[b] if ok else np.nan),
                "high": _number(high[b] if ok else np.nan),
                "raw": _number(one.raw[b]),
                "n": int(one.n[b]),
                "overlap_ok": ok,
                "effective_n": round(float(effective[b]), 1),
                "margin": _number(margin[b] if ok else np.nan),
                "why": why[b],
            }
        else:
            row |= dict.fromkeys(("estimate", "low", "high", "raw", "margin")) | {
                "n": 0,
                "overlap_ok": False,
                "effective_n": 0.0,
                "why": missing.get(bucket, "can't tell: nobody did so"),
            }
        told["rows"].append(row)
    ok = np.array([w is None for w in why])
    stands_out = bool(ok.sum() > 1 and not keep[ok].all())
    best = one.names[int(np.nanargmax(np.where(ok, estimate, np.nan)))] if stands_out else None
    told["best"][group] = best
    told["indistinguishable"][group] = [
        bucket for bucket in order if bucket not in place or keep[place[bucket]]
    ]


def _number(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None
