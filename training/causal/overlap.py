"""Overlap: for whom a strategy is hardly ever seen, found by the model and by positivity trees.

A model's propensities smooth over hard rules ("whoever opened a case is called at once"). A shallow tree on
the treatment finds groups in which practically nobody, or everybody, was contacted (Danelian et al. 2023,
PoRT).
"""

from collections.abc import Sequence

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from training.causal.nuisance import Hazard
from training.causal.targeting import Stage
from training.causal.trial import Strategies, Window

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
    found: Sequence[tuple[Hazard, Hazard]],
    made: Sequence[Stage],
) -> np.ndarray:
    """(n, m) each person's weight among those with hardly a chance to follow each strategy (none the last).

    Its column means estimate the cohort's share: to follow strategy s one must be able to stay uncontacted in
    every earlier window, and to be contacted in s. The least chance is that of a whole bucket; its stages
    share it.
    """
    names = [w.name for w in windows]
    n, m = len(windows[0].at_risk), len(windows) + 1
    poor, never = np.zeros((n, m)), np.zeros(n)
    for k, (w, A, (contact, outbound), stage) in enumerate(zip(windows, bases, found, made, strict=True)):
        least = LEAST_CHANCE / names.count(w.name)
        uncontacted = (outbound.p < least) | rarely(A, w.outbound.hit, w.at_risk, least)
        poor[:, k] = never + stage.reached * uncontacted * w.at_risk
        cannot_stay = (contact.p > 1 - LEAST_CHANCE) | rarely(A, ~w.any_contact.hit, w.at_risk)
        never = never + stage.reached * cannot_stay * w.at_risk
    poor[:, -1] = never
    return poor


def reasons(found: Strategies) -> list[str | None]:
    """For each strategy why nothing can be told of it, in words, or None where it can."""
    effective, count, poor = found.effective_n(), found.n, found.poor.mean(axis=0)
    words: list[str | None] = []
    for s in range(len(found.names)):
        if count[s] < LEAST_FOLLOWERS:
            few = f"only {count[s]}" if count[s] else "nobody"
            words.append(f"can't tell: {few} did so, {LEAST_FOLLOWERS} are needed")
        elif poor[s] > MOST_POOR_SHARE:
            share = min(poor[s], 1.0)
            words.append(f"can't tell: {share:.0%} of them had hardly any chance of it")
        elif not np.isfinite(found.estimate[s]):
            words.append("can't tell: no estimate")
        elif effective[s] < LEAST_EFFECTIVE:
            words.append(f"can't tell: the {count[s]} who did so weigh no more than {effective[s]:.0f} would")
        else:
            words.append(None)
    return words
