"""Estimates as an answer: rows, the best bucket, and every bucket that cannot be told from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from training.causal.inference import Errors, set_of_best, simultaneous
from training.causal.overlap import reasons
from training.causal.pooling import pool
from training.causal.sensitivity import lead_of_best, margin
from training.causal.trial import Strategies

ALL = "all"
LEAST_CELLS = 3
FEW = "can't tell: too few in every group, see all"
Answer = dict[str, Any]


@dataclass(frozen=True)
class Inferred:
    """What is said of one group's m buckets: estimates, ends, who may be the best, why nothing is said.

    `covariance` (m, m) is that of the estimates, NaN where nothing is said.
    """

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    keep: np.ndarray
    why: list[str | None]
    covariance: np.ndarray

    @property
    def usable(self) -> np.ndarray:
        """(m,) bool."""
        return np.array([w is None for w in self.why])

    @classmethod
    def nothing(cls, why: list[str | None]) -> "Inferred":
        """No bucket told."""
        none = np.full(len(why), np.nan)
        keep, unknown = np.ones(len(why), dtype=bool), np.full((len(why), len(why)), np.nan)
        return cls(none, none.copy(), none.copy(), keep, why, unknown)


def answer(
    outcome: str,
    order: Sequence[str],
    found: Mapping[str, Strategies],
    unadjusted: Strategies,
    *,
    missing: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Answer:
    """Rows of §11, `best`, `indistinguishable`, `sensitivity`, `covariance` and `notes`, by group.

    A bucket of which nothing can be told stays in the set of those not distinguishable from the best: it
    may be the best. Where no bucket stands out, `best` is None and the set is the whole family.

    Args:
        outcome: `renewal` or `win`.
        order: the buckets as they are to be listed; those not in `found` need a reason in `missing`.
        found: `all` and group names → estimates.
        unadjusted: the same for everybody with no covariates.
        missing: bucket → why it was not estimated at all.
        seed: of the simultaneous critical values.
    """
    whole = found[ALL]
    said = {ALL: infer(whole, seed)}
    usable = said[ALL].usable
    unseen = margin(whole.estimate, unadjusted.estimate, usable)
    groups = {name: one for name, one in found.items() if name != ALL}
    notes: list[str] = []
    if groups:
        said |= infer_groups(groups, said[ALL].why, notes, seed)
    told: Answer = {
        "rows": [],
        "best": {},
        "indistinguishable": {},
        "sensitivity": lead_of_best(whole.names, whole.estimate, unadjusted.estimate, usable),
        "notes": notes,
        "covariance": {group: _matrix(whole.names, one) for group, one in said.items()},
    }
    for group, one in said.items():
        place = {name: b for b, name in enumerate(whole.names)}
        for bucket in order:
            row = {"outcome": outcome, "group": group, "bucket": bucket}
            row |= (
                _row(found[group], one, unseen, place[bucket])
                if bucket in place
                else _empty_row((missing or {}).get(bucket))
            )
            told["rows"].append(row)
        told["best"][group] = _best(whole.names, one)
        told["indistinguishable"][group] = [b for b in order if b not in place or one.keep[place[b]]]
    return told


def infer(one: Strategies, seed: int) -> Inferred:
    """Simultaneous intervals and the set of the best for everybody."""
    said = Inferred.nothing(reasons(one))
    ok = said.usable
    if not ok.any():
        return said
    errors = Errors.of(one.influence[:, ok], one.cluster)
    said.estimate[ok] = one.estimate[ok]
    said.low[ok], said.high[ok] = simultaneous(one.estimate[ok], errors, seed)
    said.keep[ok] = set_of_best(one.estimate[ok], errors, seed)
    said.covariance[np.ix_(ok, ok)] = errors.covariance
    return said


def infer_groups(
    groups: Mapping[str, Strategies], why_all: list[str | None], notes: list[str], seed: int
) -> dict[str, Inferred]:
    """Groups with at least three estimable buckets, partially pooled; smaller ones are left open.

    A bucket too few of a group chose takes the pooled curve at the group's level; one that a group hardly
    ever could choose is left open, and so is one too few chose in every group: nothing is left to pool.
    """
    ok = np.array([w is None for w in why_all])
    seen = {name: np.array([w is None for w in reasons(one)]) & ok for name, one in groups.items()}
    large = [name for name in groups if seen[name].sum() >= min(LEAST_CELLS, ok.sum()) > 1]
    said = {}
    for name, one in groups.items():
        small = f"can't tell: too few here ({len(one.cluster):,}), see all"
        said[name] = Inferred.nothing([w or small for w in why_all])
    if not large:
        return said
    shared = np.any([seen[name] for name in large], axis=0)
    why_all = [w or (None if s else FEW) for w, s in zip(why_all, shared, strict=True)]
    ok = ok & shared
    estimate = np.array([np.where(seen[name], groups[name].estimate, np.nan)[ok] for name in large])
    covariances = [
        Errors.of(np.where(seen[name], groups[name].influence, 0.0)[:, ok], groups[name].cluster).covariance
        for name in large
    ]
    pooled = pool(estimate, covariances)
    notes.append(
        f"groups are pooled; between them effects differ by about {100 * pooled.tau:.1f} points (sd)"
    )
    low, high = (
        ends.reshape(estimate.shape) for ends in simultaneous(pooled.estimate.ravel(), pooled.errors, seed)
    )
    for g, name in enumerate(large):
        found = Inferred.nothing(_why_in_group(groups[name], why_all))
        found.estimate[ok], found.low[ok], found.high[ok] = pooled.estimate[g], low[g], high[g]
        found.keep[ok] = set_of_best(pooled.estimate[g], pooled.of_group(g), seed, len(large))
        found.covariance[np.ix_(ok, ok)] = pooled.of_group(g).covariance
        said[name] = replace(found, keep=found.keep | ~found.usable)
    return said


def _why_in_group(one: Strategies, why_all: list[str | None]) -> list[str | None]:
    lacking = [w if w is not None and "hardly" in w else None for w in reasons(one)]
    return [a or b for a, b in zip(why_all, lacking, strict=True)]


def _best(names: Sequence[str], one: Inferred) -> str | None:
    ok = one.usable
    if ok.sum() < 2 or one.keep[ok].all():
        return None
    return names[int(np.nanargmax(np.where(ok, one.estimate, np.nan)))]


def _row(one: Strategies, said: Inferred, unseen: float, b: int) -> dict[str, Any]:
    ok = bool(said.usable[b])
    return {
        "estimate": _number(said.estimate[b]) if ok else None,
        "low": _number(said.low[b]) if ok else None,
        "high": _number(said.high[b]) if ok else None,
        "raw": _number(one.raw[b]),
        "n": int(one.n[b]),
        "overlap_ok": ok,
        "effective_n": round(float(one.effective_n()[b]), 1),
        "margin": _number(unseen) if ok else None,
        "why": said.why[b],
    }


def _empty_row(why: str | None) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(("estimate", "low", "high", "raw", "margin"))
    return empty | {
        "n": 0,
        "overlap_ok": False,
        "effective_n": 0.0,
        "why": why or "can't tell: nobody did so",
    }


def _matrix(names: Sequence[str], one: Inferred) -> dict[str, Any]:
    """The told buckets of a group and the covariance of their estimates, for what is derived from them."""
    told = np.flatnonzero(one.usable)
    return {"buckets": [names[int(b)] for b in told], "matrix": one.covariance[np.ix_(told, told)].tolist()}


def _number(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None
