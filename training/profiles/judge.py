"""Judge rules on the later period: lifts with simultaneous intervals, and which rules hold up.

Every figure is a mean of accounts' contributions, so its influence by account is known. Intervals are 95 %
for
all rules carried together: the critical value is the 95th percentile of the largest absolute t over all of
them, from a multiplier bootstrap by account (Chernozhukov, Chetverikov & Kato 2013), taken to Student's t
with
the rule's own number of accounts. A lift is the mean inside over everybody's; the score's lift is a weighted
difference from everybody in standard deviations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from training.profiles.conditions import Rule
from training.profiles.rules import LEAST_ACCOUNTS, LEAST_ROWS
from training.profiles.samples import Sample

LEVEL = 0.95
DRAWS = 2000
LEAST_VARIANCE_SHARE = 0.4
CHUNK = 250


@dataclass(frozen=True)
class Measure:
    """One outcome of one rule on the later period; None where too few were seen.

    Attributes:
        value: mean among the rule's members. everyone: mean among all.
        lift: value / everyone.
        low, high: limits of the lift, 95 % for all rules and outcomes together.
        n: deals or contracts seen.
    """

    value: float | None
    everyone: float | None
    lift: float | None
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True)
class Judged:
    """A rule on the later period.

    Attributes:
        rule: the rule.
        accounts: members of it with an outcome there.
        lift, low, high: the score's lift, 95 % for all rules together; NaN where nothing could be measured.
        outcomes: by name.
        holds_up: enough accounts, and the score's lower limit above 0.
    """

    rule: Rule
    accounts: int
    lift: float
    low: float
    high: float
    outcomes: dict[str, Measure]
    holds_up: bool


@dataclass(frozen=True)
class _Mean:
    """A mean inside a rule beside everybody's, with both influences by account (codes,)."""

    inside: float
    everyone: float
    of_inside: np.ndarray
    of_everyone: np.ndarray
    least_error: float
    n: int


def judge(
    frame: pd.DataFrame,
    rules: Sequence[Rule],
    later: Sequence[Sample],
    scale: dict[str, float],
    weights: dict[str, float],
    seed: int = 0,
) -> list[Judged]:
    """Each rule's lifts on the later period.

    Args:
        frame: the prospects.
        rules: those carried over, fixed beforehand.
        later: the outcomes of the later period.
        scale: standard deviation of each outcome, fixed beforehand.
        weights: by outcome, summing to 1.
        seed: of the bootstrap.
    """
    if not rules:
        return []
    codes = np.unique(np.concatenate([s.account for s in later])) if later else np.empty(0, int)
    masks = [rule.covers(frame) for rule in rules]
    means = [{s.name: _mean(s, mask, codes) for s in later} for mask in masks]
    members = [_members(mask, later) for mask in masks]
    scores = [_score(found, later, scale, weights, len(codes)) for found in means]
    ratios = {
        (r, name): _ratio(m) for r, found in enumerate(means) for name, m in found.items() if m is not None
    }
    score_t = _critical([influence / error for _, influence, error in scores if error > 0], seed)
    ratio_t = _critical([i / e for _, i, e in ratios.values() if e > 0], seed + 1)
    judged = []
    for r, rule in enumerate(rules):
        outcomes = {s.name: _measure(means[r][s.name], ratios.get((r, s.name)), ratio_t) for s in later}
        lift, _, error = scores[r]
        margin = _student(score_t, members[r]) * error
        low, high = (lift - margin, lift + margin) if error > 0 else (np.nan, np.nan)
        holds = members[r] >= LEAST_ACCOUNTS and bool(low > 0)
        judged.append(Judged(rule, members[r], lift, low, high, outcomes, holds))
    return judged


def _members(mask: np.ndarray, later: Sequence[Sample]) -> int:
    return len(np.unique(np.concatenate([s.account[mask[s.row]] for s in later])))


def _mean(s: Sample, mask: np.ndarray, codes: np.ndarray) -> _Mean | None:
    """The mean inside a rule and among all, None where fewer than eight rows or accounts were seen."""
    inside = mask[s.row]
    n = int(inside.sum())
    if n < LEAST_ROWS or len(np.unique(s.account[inside])) < LEAST_ROWS:
        return None
    place = np.searchsorted(codes, s.account)
    value, everyone = float(s.value[inside].mean()), float(s.value.mean())
    off = np.where(inside, s.value - value, 0.0) / n
    all_off = (s.value - everyone) / len(s)
    of_all = np.bincount(place, weights=all_off, minlength=len(codes))
    # Few alike rows make a variance near 0 by chance: it is not taken below a share of everybody's.
    least = np.sqrt(LEAST_VARIANCE_SHARE * len(s) / n * (of_all**2).sum())
    return _Mean(
        value, everyone, np.bincount(place, weights=off, minlength=len(codes)), of_all, float(least), n
    )


def _score(
    found: dict[str, _Mean | None],
    later: Sequence[Sample],
    scale: dict[str, float],
    weights: dict[str, float],
    codes: int,
) -> tuple[float, np.ndarray, float]:
    """The score's lift, its influence by account, and its standard error."""
    lift, influence, least = 0.0, np.zeros(codes), 0.0
    for s in later:
        mean = found[s.name]
        if mean is None or not scale.get(s.name):
            continue
        factor = weights[s.name] * s.sign / scale[s.name]
        lift += factor * (mean.inside - mean.everyone)
        influence += factor * (mean.of_inside - mean.of_everyone)
        least += (factor * mean.least_error) ** 2
    return lift, influence, max(_error(influence), float(np.sqrt(least)))


def _ratio(mean: _Mean) -> tuple[float, np.ndarray, float]:
    """The lift inside / everyone, its influence, and its standard error; all 0 where everybody's mean is
    0."""
    if abs(mean.everyone) < 1e-9:
        return np.nan, np.zeros_like(mean.of_inside), 0.0
    lift = mean.inside / mean.everyone
    influence = (mean.of_inside - lift * mean.of_everyone) / mean.everyone
    return lift, influence, max(_error(influence), mean.least_error / abs(mean.everyone))


def _error(influence: np.ndarray) -> float:
    moved = int((influence != 0).sum())
    return float(np.sqrt((influence**2).sum() * moved / max(moved - 1, 1)))


def _critical(ts: list[np.ndarray], seed: int) -> float:
    """The 95th percentile of the largest |t| over all statistics, by multipliers drawn for each account."""
    alone = float(norm.ppf((1 + LEVEL) / 2))
    if not ts:
        return alone
    T, rng = np.column_stack(ts), np.random.default_rng(seed)
    largest = np.concatenate(
        [np.abs(rng.standard_normal((CHUNK, len(T))) @ T).max(axis=1) for _ in range(DRAWS // CHUNK)]
    )
    return max(alone, float(np.quantile(largest, LEVEL)))


def _student(critical: float, accounts: int) -> float:
    """The same tail under Student's t with the accounts of a rule less one as degrees of freedom."""
    return float(t.isf(norm.sf(critical), max(accounts - 1, 1)))


def _measure(mean: _Mean | None, ratio: tuple[float, np.ndarray, float] | None, critical: float) -> Measure:
    if mean is None or ratio is None or not np.isfinite(ratio[0]):
        return Measure(None, None, None, None, None, 0 if mean is None else mean.n)
    lift, _, error = ratio
    margin = _student(critical, mean.n) * error
    low, high = lift - margin, lift + margin
    return Measure(mean.inside, mean.everyone, lift, low, high, mean.n)
