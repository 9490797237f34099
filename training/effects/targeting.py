"""Weights of having followed a strategy, and the targeting step that makes estimates doubly robust.

Overlap: who hardly ever follows a strategy, found by the model and by positivity trees.

A model's propensities smooth over hard rules ("whoever opened a case is called at once"). A shallow tree on
the treatment finds groups in which practically nobody, or everybody, was contacted (Danelian et al. 2023,
PoRT).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from training.effects.nuisance import Hazard, decided_or_contacted
from training.effects.trial_arrays import Strategies, Window


@dataclass(frozen=True)
class Stage:
    """One window's weights, arrays (n,).

    Attributes:
        reached: inverse probability of having come uncontacted and undecided to its start; 0 for others.
        stay: `reached` times the inverse probability of getting through it uncontacted, until decided if so.
        arm: `reached` times the weight of the contact in it, or of a decision before that.
    """

    reached: np.ndarray
    stay: np.ndarray
    arm: np.ndarray


def most_weight(n: int) -> float:
    """The largest cumulative weight, √n·ln n / 5 (Gruber, Phillips, Lee & van der Laan 2022)."""
    return float(np.sqrt(n) * np.log(max(n, 2)) / 5)


def stages(windows: Sequence[Window], window_hazards: Sequence[tuple[Hazard, Hazard]]) -> list[Stage]:
    """The weights of every window, cut at `most_weight`."""
    n = len(windows[0].at_risk)
    most, reached = most_weight(n), windows[0].at_risk.astype(float)
    result = []
    for w, (contact, outbound) in zip(windows, window_hazards, strict=True):
        reached = reached * w.at_risk
        through = w.at_risk & ~w.any_contact.hit
        stay = np.where(through, reached / (1 - contact.p) ** contact.shape, 0.0)
        arm = reached * decided_or_contacted(w.outbound, outbound) / outbound.p
        result.append(Stage(reached, np.minimum(stay, most), np.minimum(arm, most)))
        reached = np.where(w.any_contact.decided, 0.0, result[-1].stay)
    return result


def target(
    strategy: int,
    windows: Sequence[Window],
    window_stages: Sequence[Stage],
    Q: Sequence[np.ndarray],
    y: np.ndarray,
    mass: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Target the regressions to one strategy.

    From the last window backwards, each regression is shifted by the intercept that solves its efficient
    score (van der Laan & Gruber 2012, with the inverse weights in the loss).

    Persons count by their mass (n,).

    Returns:
        Uncentred influence values (n,), whose mean is the estimate, and final weights (n,).
    """
    last = min(strategy, len(windows) - 1)
    value, score = y.astype(float), np.zeros(len(y))
    for k in range(last, -1, -1):
        w = windows[k]
        weight = window_stages[k].arm if k == strategy else window_stages[k].stay
        ahead = np.where(w.any_contact.decided, y, value) if k < strategy else value
        offset = logit(np.where(w.at_risk, Q[k][:, strategy], 0.5))
        fitted = expit(offset + intercept_shift(ahead, offset, mass * weight))
        score += np.where(weight > 0, weight * (ahead - fitted), 0.0)
        value = fitted
    return score + value, window_stages[last].arm if last == strategy else window_stages[last].stay


def intercept_shift(y: np.ndarray, offset: np.ndarray, weight: np.ndarray) -> float:
    """The e with Σ weight·(y − expit(offset + e)) = 0: Newton, bisecting where it leaves [−8, 8]."""
    rows = weight > 0
    y, offset, weight = y[rows], offset[rows], weight[rows]
    low, high, e = -8.0, 8.0, 0.0
    for _ in range(60):
        p = expit(offset + e)
        score = float(np.sum(weight * (y - p)))
        low, high = (e, high) if score > 0 else (low, e)
        step = e + score / max(float(np.sum(weight * p * (1 - p))), 1e-12)
        later = step if low < step < high else (low + high) / 2
        if abs(later - e) < 1e-10:
            break
        e = later
    return e


LEAST_CHANCE = 0.01
LEAST_LEAF = 30
LEAST_LEAF_SHARE = 0.03
EXPECTED_IN_EMPTY_LEAF = 10.0
MOST_POOR_SHARE = 0.15
LEAST_EFFECTIVE = 25.0
LEAST_FOLLOWERS = 20


def rarely(
    X: np.ndarray, event: np.ndarray, rows: np.ndarray, least_chance: float = LEAST_CHANCE
) -> np.ndarray:
    """(n,) bool: rows in a leaf where the event never, or surely too rarely, happens."""
    from sklearn.tree import DecisionTreeClassifier

    poor = np.zeros(len(event), dtype=bool)
    share = event[rows].mean() if rows.any() else 0.0
    least = max(LEAST_LEAF, int(LEAST_LEAF_SHARE * rows.sum()))
    if not 0 < share < 1 or rows.sum() < 2 * least:
        return poor
    tree = DecisionTreeClassifier(max_depth=3, min_samples_leaf=least, random_state=0)
    leaf = tree.fit(X[rows], event[rows]).apply(X[rows])
    count, hits = np.bincount(leaf), np.bincount(leaf, weights=event[rows])
    empty = (hits == 0) & (count * share >= EXPECTED_IN_EMPTY_LEAF)
    rare = (hits + 2 * np.sqrt(hits) + 3) / np.maximum(count, 1) < least_chance
    poor[np.flatnonzero(rows)[(empty | rare)[leaf]]] = True
    return poor


def poor_shares(
    windows: Sequence[Window],
    bases: Sequence[np.ndarray],
    window_hazards: Sequence[tuple[Hazard, Hazard]],
    window_stages: Sequence[Stage],
) -> np.ndarray:
    """(n, m) each person's weight among those with hardly a chance to follow each strategy (none the last).

    Its column means estimate the cohort's share: to follow strategy s one must be able to stay uncontacted in
    every earlier window, and to be contacted in s. The least chance is that of a whole bucket; its stages
    share it.
    """
    names = [w.name for w in windows]
    n, m = len(windows[0].at_risk), len(windows) + 1
    poor, never = np.zeros((n, m)), np.zeros(n)
    for k, (w, A, (contact, outbound), stage) in enumerate(
        zip(windows, bases, window_hazards, window_stages, strict=True)
    ):
        least = LEAST_CHANCE / names.count(w.name)
        uncontacted = (outbound.p < least) | rarely(A, w.outbound.hit, w.at_risk, least)
        poor[:, k] = never + stage.reached * uncontacted * w.at_risk
        cannot_stay = (contact.p > 1 - LEAST_CHANCE) | rarely(A, ~w.any_contact.hit, w.at_risk)
        never = never + stage.reached * cannot_stay * w.at_risk
    poor[:, -1] = never
    return poor


def reasons(strategies: Strategies) -> list[str | None]:
    """For each strategy why it has no estimate, in words, or None where it has one."""
    effective, count, poor = strategies.effective_n(), strategies.n, strategies.poor.mean(axis=0)
    words: list[str | None] = []
    for s in range(len(strategies.names)):
        if count[s] < LEAST_FOLLOWERS:
            few = f"only {count[s]}" if count[s] else "nobody"
            words.append(f"can't tell: {few} did so, {LEAST_FOLLOWERS} are needed")
        elif poor[s] > MOST_POOR_SHARE:
            share = min(poor[s], 1.0)
            words.append(f"can't tell: {share:.0%} of them had hardly any chance of it")
        elif not np.isfinite(strategies.estimate[s]):
            words.append("can't tell: no estimate")
        elif effective[s] < LEAST_EFFECTIVE:
            words.append(f"can't tell: the {count[s]} who did so weigh no more than {effective[s]:.0f} would")
        else:
            words.append(None)
    return words
