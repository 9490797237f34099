"""Judge rules on the later period: lifts with simultaneous intervals, and which rules hold up.

Every figure is a mean of accounts' contributions, so its influence by account is known. Intervals are 95 %
for
all rules carried together: the critical value is the 95th percentile of the largest absolute t over all of
them, from a multiplier bootstrap by account (Chernozhukov, Chetverikov & Kato 2013), taken to Student's t
with
the rule's own number of accounts. A lift is the mean inside over everybody's; the score's lift is a weighted
difference from everybody in standard deviations.

Accounts stand in both periods, and what is peculiar to them stays with them: a rule found among lucky
accounts
would be lucky again, on the same accounts and on no others (`luck`). Each lift is therefore worked out a
second time, given how the account fared in the earlier period, and the limits hold for both.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from training.icp.prospect_outcomes import Sample
from training.icp.rule_search import LEAST_ACCOUNTS, LEAST_ROWS
from training.icp.rules import Rule

LEVEL = 0.95
DRAWS = 2000
LEAST_VARIANCE_SHARE = 0.4
RELIABLE_FROM = 2
LEAST_RETURNING = 20
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
    """A mean inside a rule beside everybody's, with influences by account (codes,).

    `given` is the mean inside given the accounts' earlier luck.
    """

    inside: float
    given: float
    everyone: float
    of_inside: np.ndarray
    of_given: np.ndarray
    of_everyone: np.ndarray
    least_error: float
    n: int


@dataclass(frozen=True)
class _Lift:
    """A lift as seen and given luck, with influences and standard errors."""

    observed: float
    given: float
    of_seen: np.ndarray
    of_given: np.ndarray
    error: float
    error_given: float

    def ts(self) -> list[np.ndarray]:
        """Influences in standard errors."""
        pairs = ((self.of_seen, self.error), (self.of_given, self.error_given))
        return [influence / error for influence, error in pairs if error > 0]

    def limits(self, critical: float) -> tuple[float, float]:
        """Limits that hold whichever of the two is right."""
        if not self.error > 0:
            return np.nan, np.nan
        margin, given = critical * self.error, critical * self.error_given
        return min(self.observed - margin, self.given - given), max(
            self.observed + margin, self.given + given
        )


def judge(
    frame: pd.DataFrame,
    rules: Sequence[Rule],
    later: Sequence[Sample],
    scale: dict[str, float],
    weights: dict[str, float],
    seed: int = 0,
    earlier: Sequence[Sample] = (),
) -> list[Judged]:
    """Each rule's lifts on the later period.

    Args:
        frame: the prospects.
        rules: those carried over, fixed beforehand.
        later: the outcomes of the later period.
        scale: standard deviation of each outcome, fixed beforehand.
        weights: by outcome, summing to 1.
        seed: of the bootstrap.
        earlier: the outcomes of the earlier period, for how accounts differ beyond the rules.
    """
    if not rules or not later:
        return []
    codes = np.unique(np.concatenate([s.account for s in later]))
    fared = luck(earlier, codes)
    masks = [rule.covers(frame) for rule in rules]
    means = [{s.name: _mean(s, mask, codes, fared) for s in later} for mask in masks]
    members = [_members(mask, later) for mask in masks]
    scores = [_score(by_outcome, later, scale, weights, len(codes)) for by_outcome in means]
    ratios = [
        {name: _ratio(m) for name, m in by_outcome.items() if m is not None and abs(m.everyone) > 1e-9}
        for by_outcome in means
    ]
    score_t = _critical([one for lift in scores for one in lift.ts()], seed)
    ratio_t = _critical(
        [one for by_outcome in ratios for lift in by_outcome.values() for one in lift.ts()], seed + 1
    )
    judged = []
    for r, rule in enumerate(rules):
        outcomes = {s.name: _measure(means[r][s.name], ratios[r].get(s.name), ratio_t) for s in later}
        low, high = scores[r].limits(_student(score_t, members[r]))
        holds = members[r] >= LEAST_ACCOUNTS and bool(low > 0)
        judged.append(Judged(rule, members[r], scores[r].observed, low, high, outcomes, holds))
    return judged


def luck(earlier: Sequence[Sample], codes: np.ndarray) -> np.ndarray:
    """(codes, outcomes) how each account fared in the earlier period, in standard deviations; 0 if not seen.

    Means of few are drawn to 0, as their reliability is: n / (n + 2).
    """
    columns = []
    for s in earlier:
        if len(s) < LEAST_ROWS or not s.value.std() > 0:
            continue
        place = np.searchsorted(codes, s.account)
        matched = (place < len(codes)) & (codes[np.minimum(place, len(codes) - 1)] == s.account)
        z = (s.value[matched] - s.value.mean()) / s.value.std()
        n = np.bincount(place[matched], minlength=len(codes))
        column = np.bincount(place[matched], weights=z, minlength=len(codes)) / (n + RELIABLE_FROM)
        if (n > 0).sum() >= LEAST_RETURNING and column.std() > 0:
            columns.append(column)
    return np.column_stack(columns) if columns else np.empty((len(codes), 0))


def _members(mask: np.ndarray, later: Sequence[Sample]) -> int:
    return len(np.unique(np.concatenate([s.account[mask[s.row]] for s in later])))


def _mean(s: Sample, mask: np.ndarray, codes: np.ndarray, fared: np.ndarray) -> _Mean | None:
    """The mean inside a rule and among all, None where fewer than eight rows or accounts were seen."""
    inside = mask[s.row]
    n = int(inside.sum())
    if n < LEAST_ROWS or len(np.unique(s.account[inside])) < LEAST_ROWS:
        return None
    place = np.searchsorted(codes, s.account)

    def by_account(off: np.ndarray) -> np.ndarray:
        return np.bincount(place, weights=off, minlength=len(codes))

    value, everyone = float(s.value[inside].mean()), float(s.value.mean())
    of_everyone = by_account((s.value - everyone) / len(s))
    of_inside = by_account(np.where(inside, s.value - value, 0.0) / n)
    given, of_given = value, of_inside
    if fared.shape[1] and n < len(s):
        change, off = _given_luck(s.value, inside, fared[place])
        rest = 1 - n / len(s)
        given, of_given = everyone + rest * change, of_everyone + rest * by_account(off)
    # Few alike rows make a variance near 0 by chance: it is not taken below a share of everybody's.
    least = float(np.sqrt(LEAST_VARIANCE_SHARE * len(s) / n * (of_everyone**2).sum()))
    return _Mean(value, given, everyone, of_inside, of_given, of_everyone, least, n)


def _given_luck(value: np.ndarray, inside: np.ndarray, fared: np.ndarray) -> tuple[float, np.ndarray]:
    """Inside less outside by least squares beside the accounts' luck, and each row's influence on it."""
    D = np.column_stack([np.ones(len(value)), inside.astype(float), fared])
    bread = np.linalg.pinv(D.T @ D)
    coefficients = bread @ (D.T @ value)
    return float(coefficients[1]), (D @ bread[1]) * (value - D @ coefficients)


def _score(
    means: dict[str, _Mean | None],
    later: Sequence[Sample],
    scale: dict[str, float],
    weights: dict[str, float],
    codes: int,
) -> _Lift:
    """The score's lift: weighted differences from everybody in standard deviations."""
    observed, given, least = 0.0, 0.0, 0.0
    of_seen, of_given = np.zeros(codes), np.zeros(codes)
    for s in later:
        mean = means[s.name]
        if mean is None or not scale.get(s.name):
            continue
        factor = weights[s.name] * s.sign / scale[s.name]
        observed += factor * (mean.inside - mean.everyone)
        given += factor * (mean.given - mean.everyone)
        of_seen += factor * (mean.of_inside - mean.of_everyone)
        of_given += factor * (mean.of_given - mean.of_everyone)
        least += (factor * mean.least_error) ** 2
    return _lift(observed, given, of_seen, of_given, float(np.sqrt(least)))


def _ratio(mean: _Mean) -> _Lift:
    """An outcome's lift: inside / everyone."""
    observed, given = mean.inside / mean.everyone, mean.given / mean.everyone
    of_seen = (mean.of_inside - observed * mean.of_everyone) / mean.everyone
    of_given = (mean.of_given - given * mean.of_everyone) / mean.everyone
    return _lift(observed, given, of_seen, of_given, mean.least_error / abs(mean.everyone))


def _lift(observed: float, given: float, of_seen: np.ndarray, of_given: np.ndarray, least: float) -> _Lift:
    errors = [max(_error(influence), least) for influence in (of_seen, of_given)]
    return _Lift(observed, given, of_seen, of_given, *errors)


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


def _measure(mean: _Mean | None, lift: _Lift | None, critical: float) -> Measure:
    if mean is None or lift is None:
        return Measure(None, None, None, None, None, 0 if mean is None else mean.n)
    low, high = lift.limits(_student(critical, mean.n))
    return Measure(mean.inside, mean.everyone, lift.observed, low, high, mean.n)
