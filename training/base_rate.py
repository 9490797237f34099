"""The base rate apart from the ranking: its level in each span of time, and what to expect of the next.

A model's score says how a contract stands against others; how many renew in a quarter is a second thing,
which steps, trends and swings while the ranking stays as it is. The level of a span is the intercept of its
outcomes given the scores. Levels wander and come back with the seasons: they are read as a random walk plus a
curve that repeats each year, seen with the error of counted outcomes (a structural time series; Harvey 1989,
chapter 2; the yearly curve as a Gaussian process, MacKay 1998), and the next one is predicted with its
variance. How far a month moves and how much the season matters is not known and averaged over. What stays
unsure goes into the intervals (`training.intervals`).
"""

from dataclasses import dataclass
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
MOVES = np.linspace(0.002, 0.8, 80)
USUAL_SEASON = 0.15
"""Scale of the half-Cauchy prior of a season's standard deviation over the year, in log-odds."""
SEASONS = np.array([0.0, 0.05, 0.1, 0.2, 0.4, 0.8])
YEAR, QUARTER = 12.0, 3.0
MONTHS_WANTED = 7
PSEUDO_CONTRACTS = 1.0
"""Contracts at the pooled level that are added to each span, so that a single outcome leaves it finite."""
NEWTON_STEPS, CLOSE_ENOUGH = 60, 1e-9
DAY = np.timedelta64(1, "D")


@dataclass(frozen=True)
class Spans:
    """Spans of time: of n rows each one's (0 … s − 1); their middles (s,) and their length, in months."""

    of: np.ndarray
    month: np.ndarray
    length: float = QUARTER


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
    return Spans(of, np.bincount(of, month) / np.bincount(of), float(length))


def next_months(ds: "Dataset", until: np.datetime64) -> np.ndarray:
    """(7,) months whose level is wanted at `until`: those of what is scored over the next quarter."""
    if not ds.dated:
        return np.zeros(1)
    ahead = months(level_times(ds)) - months(ds.snapshots["as_of"].to_numpy("datetime64[us]"))
    first, last = np.quantile(ahead, [0.1, 0.9])
    return float(months(np.array([until]))[0]) + np.linspace(first, last + QUARTER, MONTHS_WANTED)


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


def next_level(
    levels: np.ndarray,
    variances: np.ndarray,
    month: np.ndarray,
    wanted: np.ndarray | float,
    length: float = QUARTER,
) -> Level:
    """The level of the months `wanted`, of which any may be asked about, after spans of these levels.

    One span stands for all later ones. The level at the start is not known at all (a flat prior), so the
    weights of spans sum to one. By how much the months wanted differ is part of the variance.
    """
    if len(levels) == 1:
        return Level(float(levels[0]), float(variances[0]), np.ones(1))
    since, ahead = month - month.min(), np.maximum(np.atleast_1d(wanted) - month.min(), 0.0)
    move, season = (each.ravel() for each in np.meshgrid(MOVES, SEASONS))
    by_move, by_season = move[:, None, None] ** 2, season[:, None, None] ** 2
    covered = by_move * np.minimum.outer(since, since) + np.diag(variances)
    covered = covered + by_season * _season(since[:, None] - since, length, length)
    to_next = by_move * np.minimum.outer(since, ahead)
    to_next = to_next + by_season * _season(since[:, None] - ahead, length, QUARTER)
    ones = np.ones((len(move), len(levels), 1))
    solved = np.linalg.solve(covered, np.concatenate([ones, to_next], axis=2))
    by_one, by_next = solved[:, :, :1], solved[:, :, 1:]
    sure, missed = by_one.sum(axis=1), 1 - by_next.sum(axis=1)
    weights = by_next + by_one * (missed / sure)[:, None, :]
    spread = by_move[:, 0] * ahead + by_season[:, 0] * _season(np.zeros(1), QUARTER, QUARTER)
    spread = spread - (to_next * by_next).sum(axis=1) + missed**2 / sure
    rest = levels - (by_one[:, :, 0] @ levels)[:, None] / sure
    surprise = (rest * np.linalg.solve(covered, rest[..., None])[..., 0]).sum(axis=1)
    log_chance = -0.5 * (np.linalg.slogdet(covered)[1] + np.log(sure[:, 0]) + surprise)
    log_chance -= np.log1p((move / USUAL_MOVE) ** 2) + np.log1p((season / USUAL_SEASON) ** 2)
    chance = np.exp(log_chance - log_chance.max())
    chance /= chance.sum()
    means = np.einsum("gst,s->gt", weights, levels)
    level = float(chance @ means.mean(axis=1))
    variance = float(chance @ (spread + (means - level) ** 2).mean(axis=1))
    return Level(level, variance, chance @ weights.mean(axis=2))


def _season(apart: np.ndarray, length: float, other: float) -> np.ndarray:
    """How alike the seasons of spans are whose middles are `apart` months apart, over their lengths."""
    inside = np.linspace(-0.4, 0.4, 5)
    moved = (length * inside[:, None] - other * inside).ravel()
    return np.exp(-2 * np.sin(np.pi * (apart[..., None] + moved) / YEAR) ** 2).mean(axis=-1)
