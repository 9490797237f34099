"""What experiments found, laid into the estimates from observation: each weighs by its precision.

An experiment about a choice estimates one difference: that choice over what is usually done. For estimates θ
with covariance Σ and the contrast c of that difference, the joint normal law gives θ + K (g − c'θ) with K =
Σc / (c'Σc + v) and Σ − K c'Σ, which is the precision-weighted mean of both on the contrast and carries what
was learned to the other choices (Gelman et al. 2013, ch. 3). Observation can be biased where the draw
cannot: by how much the two differ beyond chance, b² = max(0, (g − c'θ)² − c'Σc − v) (the moment estimate of
DerSimonian & Laird 1986), is added to the doubt of the observed one first.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from training.effects.answer import ALL, Answer
from training.effects.inference import Errors, set_of_best, simultaneous

Z95 = float(stats.norm.isf(0.025))


@dataclass(frozen=True)
class Finding:
    """What an ended experiment found of being treated, over usual practice.

    `low` and `high` hold whenever it was ended; the doubt that goes with them is taken to be their width.
    """

    experiment: str
    outcome: str
    bucket: str
    effect: float
    low: float
    high: float

    @property
    def variance(self) -> float:
        """Of the effect, such that a plain 95 % interval would be as wide."""
        return float(((self.high - self.low) / (2 * Z95)) ** 2)

    @classmethod
    def of(cls, experiment: Mapping[str, Any]) -> "Finding | None":
        """From a row of the store; None where the experiment could not estimate the effect."""
        result = (experiment.get("result") or {}).get("treated") or {}
        estimate, low, high = (result.get(name) for name in ("estimate", "low", "high"))
        if estimate is None or low is None or high is None or low <= -1.0 or high >= 1.0:
            return None
        outcome = (experiment["result"] or {}).get("kind", "renewal")
        return cls(experiment["experiment_id"], outcome, str(experiment["choice"]), estimate, low, high)


def learned(result: Answer, findings: Sequence[Finding], seed: int = 0) -> Answer:
    """An answer with its covariance, updated by what experiments found.

    Rows that change keep what observation alone says as `observed` (estimate, low, high); `experiments` lists
    for each finding and group the difference by observation, by experiment, and by both. For groups the
    finding counts less by how much groups differ (`between`, a standard deviation).
    """
    rows, covariance = [dict(row) for row in result["rows"]], deepcopy(result["covariance"])
    best, alike, listed = dict(result["best"]), dict(result["indistinguishable"]), []
    for outcome, group, matrices in _groups(rows, covariance):
        group_rows = [row for row in rows if (row["outcome"], row["group"]) == (outcome, group)]
        named = f"{outcome}: {group}" if f"{outcome}: {group}" in best else group
        for finding in findings:
            if finding.outcome != outcome:
                continue
            between = 0.0 if group == ALL else result.get("between") or 0.0
            change = _updated(group_rows, matrices[group], finding, between)
            if change is None:
                listed.append({**_drawn(finding), "group": group})
                continue
            matrices[group], line = change
            listed.append({**line, "group": group})
            best[named], alike[named] = _ends(group_rows, matrices[group], alike[named], seed)
    changed = {"rows": rows, "covariance": covariance, "best": best, "indistinguishable": alike}
    return {**result, **changed, "experiments": listed}


def _groups(
    rows: Sequence[Mapping[str, Any]], covariance: dict[str, Any]
) -> list[tuple[str, str, dict[str, Any]]]:
    """(outcome, group, the matrices it stands among): with two outcomes they are kept by outcome first."""
    groups = []
    for outcome, group in dict.fromkeys((row["outcome"], row["group"]) for row in rows):
        matrices = covariance.get(outcome, covariance)
        if group in matrices:
            groups.append((outcome, group, matrices))
    return groups


def _updated(
    group_rows: Sequence[dict[str, Any]], matrix: Mapping[str, Any], finding: Finding, between: float
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Changes the group's rows; its covariance and what to show. None: no estimate of the choice."""
    by_bucket = {row["bucket"]: row for row in group_rows if row["overlap_ok"]}
    buckets = [bucket for bucket in matrix["buckets"] if bucket in by_bucket]
    if finding.bucket not in buckets or len(buckets) < 2:
        return None
    keep = [matrix["buckets"].index(bucket) for bucket in buckets]
    sigma = np.array(matrix["matrix"])[np.ix_(keep, keep)]
    theta = np.array([by_bucket[bucket]["estimate"] for bucket in buckets])
    usual = np.array([by_bucket[bucket]["n"] for bucket in buckets], dtype=float)
    c = np.eye(len(buckets))[buckets.index(finding.bucket)] - usual / usual.sum()
    observed, spread = float(c @ theta), float(c @ sigma @ c)
    v = finding.variance + 2 * between**2
    bias = max(0.0, (finding.effect - observed) ** 2 - spread - v)
    direction = sigma @ c / spread
    sigma = sigma + bias * np.outer(direction, direction)
    gain = sigma @ c / (spread + bias + v)
    theta, sigma = theta + gain * (finding.effect - observed), sigma - np.outer(gain, sigma @ c)
    for bucket, value in zip(buckets, theta, strict=True):
        row = by_bucket[bucket]
        row.setdefault("observed", {name: row[name] for name in ("estimate", "low", "high")})
        row["estimate"] = round(float(np.clip(value, 0.0, 1.0)), 5)
    both = float(c @ theta)
    return {"buckets": buckets, "matrix": sigma.tolist()}, {
        **_drawn(finding),
        "observed": _interval(observed, spread),
        "both": _interval(both, float(c @ sigma @ c)),
        "bias": round(float(np.sqrt(bias)), 5),
    }


def _drawn(finding: Finding) -> dict[str, Any]:
    """What the experiment alone says."""
    result = {"estimate": finding.effect, "low": finding.low, "high": finding.high}
    return {
        "experiment": finding.experiment,
        "bucket": finding.bucket,
        "drawn": result,
        "observed": None,
        "both": None,
        "bias": None,
    }


def _interval(value: float, variance: float) -> dict[str, float]:
    half = Z95 * float(np.sqrt(max(variance, 0.0)))
    return {"estimate": round(value, 5), "low": round(value - half, 5), "high": round(value + half, 5)}


def _ends(
    group_rows: Sequence[dict[str, Any]], matrix: Mapping[str, Any], alike: Sequence[str], seed: int
) -> tuple[str | None, list[str]]:
    """New intervals in the rows; the best bucket, and all that may be it."""
    rows = {row["bucket"]: row for row in group_rows}
    buckets = list(matrix["buckets"])
    theta = np.array([rows[bucket]["estimate"] for bucket in buckets])
    errors = Errors(np.array(matrix["matrix"]), None)
    low, high = simultaneous(theta, errors, seed)
    stays = set_of_best(theta, errors, seed)
    for bucket, lowest, highest in zip(buckets, low, high, strict=True):
        rows[bucket] |= {"low": round(float(lowest), 5), "high": round(float(highest), 5)}
    left = {bucket for bucket, stay in zip(buckets, stays, strict=True) if not stay}
    unestimated = {bucket for bucket in alike if bucket not in buckets}
    remaining = [
        row["bucket"] for row in group_rows if row["bucket"] not in left or row["bucket"] in unestimated
    ]
    best = None if stays.all() else buckets[int(np.argmax(np.where(stays, theta, -np.inf)))]
    return best, remaining
