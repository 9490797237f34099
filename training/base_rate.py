"""The base rate apart from the ranking: its level in each span of time, and what to expect of the next.

A model's score says how a contract stands against others; how many renew in a quarter is a second thing,
which steps, trends and swings while the ranking stays as it is. The level of a span is the intercept of its
outcomes given the scores. Levels wander: they are read as a random walk seen with the error of counted
outcomes (the local-level model; Harvey 1989, section 4.1), and Kalman's filter gives the next one with its
variance. How far a month moves is not known and averaged over. What stays unsure goes into the intervals
(`training.intervals`).
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from training.metrics import losses, to_probability

if TYPE_CHECKING:
    from training.dataset import Dataset

MONTH_DAYS = 30.4375
SPAN_MONTHS = (1, 3, 6, 12)
SPAN_CONTRACTS = 40
"""Contracts a span should hold on average: the shortest spans with as many are taken."""
USUAL_MOVE = 0.15
"""Scale of the half-Cauchy prior (Gelman 2006) of a month's move in log-odds: at 80 %, 9 points a year."""
MOVES = np.linspace(0.002, 0.8, 200)
PSEUDO_CONTRACTS = 1.0
"""Contracts at the pooled level that are added to each span, so that a single outcome leaves it finite."""
NEWTON_STEPS, CLOSE_ENOUGH = 60, 1e-9
DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Spans:
    """Spans of time: which one each of n rows belongs to (0 … s − 1), and their middles in months (s,)."""

    of: np.ndarray
    month: np.ndarray


@dataclass(frozen=True)
class Level:
    """The level expected of a later span, in log-odds, its variance, and by which weights (s,) of spans."""

    mean: float
    variance: float
    weights: np.ndarray


def level_times(ds: "Dataset") -> np.ndarray:
    """(n,) the day each row's base rate belongs to: a contract's end; for deals the day they are scored."""
    as_of = ds.snapshots["as_of"].to_numpy("datetime64[us]")
    if ds.kind == "win":
        return as_of
    lead = np.nan_to_num(ds.snapshots["lead_days"].to_numpy(float))
    return as_of + (lead * DAY.astype("timedelta64[us]").astype(float)).astype("timedelta64[us]")


def months(times: np.ndarray) -> np.ndarray:
    """Moments as months since 1970, with their fractions."""
    return times.astype("datetime64[us]").astype(float) / (MONTH_DAYS * 86_400e6)


def spans_of(ds: "Dataset", rows: np.ndarray | None = None) -> Spans:
    """The spans of rows (n,) of a dataset, or of all; undated data is one span."""
    rows = np.arange(len(ds)) if rows is None else rows
    if not ds.dated:
        return Spans(np.zeros(len(rows), dtype=int), np.zeros(1))
    month = months(level_times(ds))[rows]
    start, contracts = np.floor(month.min()), len(np.unique(ds.subjects[rows]))
    for length in SPAN_MONTHS:
        place = np.floor((month - start) / length).astype(int)
        if contracts / len(np.unique(place)) >= SPAN_CONTRACTS:
            break
    _, of = np.unique(place, return_inverse=True)
    return Spans(of, np.bincount(of, month) / np.bincount(of))


def next_month(ds: "Dataset", until: np.datetime64) -> float:
    """The month whose level is wanted at `until`: the middle of the next quarter, as late as outcomes lie."""
    if not ds.dated:
        return 0.0
    ahead = np.median(months(level_times(ds)) - months(ds.snapshots["as_of"].to_numpy("datetime64[us]")))
    return float(months(np.array([until]))[0] + ahead + 1.5)


def span_levels(
    y: np.ndarray, score: np.ndarray, weight: np.ndarray, spans: Spans, subjects: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(s,) each span's level: the intercept of its outcomes given the scores; and (s,) their variances.

    Args:
        y: (n,) outcomes.
        score: (n,) log-odds, each less the mean of its span.
        weight: (n,) row weights that sum to the number of contracts.
        spans: of the rows.
        subjects: (n,) contracts or deals, whose rows share their luck.
    """
    pooled = float(intercepts(y, score, weight, np.zeros(len(y), dtype=int), np.zeros(1))[0])
    start = np.full(len(spans.month), pooled)
    levels = intercepts(y, score, weight, spans.of, start, pooled, PSEUDO_CONTRACTS)
    p = to_probability(levels[spans.of] + score)
    rate = to_probability(np.array(pooled))
    added = PSEUDO_CONTRACTS * rate * (1 - rate)
    information = np.bincount(spans.of, weight * p * (1 - p), len(spans.month)) + added
    _, cluster = np.unique(np.column_stack([spans.of, subjects]), axis=0, return_inverse=True)
    luck = np.bincount(cluster.ravel(), weight * (y - p))
    span = np.zeros(len(luck), dtype=int)
    span[cluster.ravel()] = spans.of
    counted = np.bincount(span, luck**2, len(spans.month)) / information**2
    return levels, np.maximum(counted, 1.0 / information)


def intercepts(
    y: np.ndarray,
    score: np.ndarray,
    weight: np.ndarray,
    of: np.ndarray,
    start: np.ndarray,
    pooled: float = 0.0,
    added: float = 0.0,
) -> np.ndarray:
    """(s,) each span's a with Σ weight · (y − σ(a + score)) = 0, by Newton's method from `start` (s,).

    `of` (n,) says each row's span; `added` rows at the log-odds `pooled` count in each.
    """
    count = len(start)
    a, rate = start.astype(float), to_probability(np.array(pooled))
    for _ in range(NEWTON_STEPS):
        p, at_level = to_probability(a[of] + score), to_probability(a)
        slope = np.bincount(of, weight * (y - p), count) + added * (rate - at_level)
        bend = np.bincount(of, weight * p * (1 - p), count) + added * at_level * (1 - at_level)
        step = np.clip(slope / np.maximum(bend, 1e-12), -1, 1)
        a = a + step
        if np.abs(step).max() < CLOSE_ENOUGH:
            break
    return a


def level_with(y: np.ndarray, margin: np.ndarray, worth: np.ndarray | None = None) -> float:
    """What is to be added to log-odds (n,) so that they fit the mean of outcomes (n,) of this worth (n,)."""
    weight = np.ones(len(y)) if worth is None else worth
    return float(intercepts(y, margin, weight, np.zeros(len(y), dtype=int), np.zeros(1))[0])


def levelled_loss(y: np.ndarray, margin: np.ndarray, worth: np.ndarray | None = None) -> float:
    """Mean log loss of log-odds (n,) with their common level mended: what is judged is ranking and spread."""
    if np.ptp(y) == 0:
        return 0.0
    each = losses(y, to_probability(margin + level_with(y, margin, worth)))
    return float(np.average(each, weights=worth))


def next_level(levels: np.ndarray, variances: np.ndarray, month: np.ndarray, wanted: float) -> Level:
    """The level of the month `wanted` after spans of these levels; one span stands for all later ones."""
    if len(levels) == 1:
        return Level(float(levels[0]), float(variances[0]), np.ones(1))
    order = np.argsort(month)
    weights = np.zeros((len(MOVES), len(levels)))
    weights[:, order[0]] = 1.0
    spread = np.full(len(MOVES), variances[order[0]])
    log_chance = -np.log1p((MOVES / USUAL_MOVE) ** 2)
    for before, at in pairwise(order):
        spread = spread + (month[at] - month[before]) * MOVES**2
        surprise, total = levels[at] - weights @ levels, spread + variances[at]
        log_chance -= 0.5 * (np.log(total) + surprise**2 / total)
        gain = spread / total
        weights *= (1 - gain)[:, None]
        weights[:, at] += gain
        spread = spread * (1 - gain)
    spread = spread + max(wanted - month[order[-1]], 0.0) * MOVES**2
    chance = np.exp(log_chance - log_chance.max())
    chance /= chance.sum()
    mean = weights @ levels
    level = float(chance @ mean)
    return Level(level, float(chance @ (spread + (mean - level) ** 2)), chance @ weights)
