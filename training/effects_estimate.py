"""Sequentially doubly robust estimates of 'no contact before this window, the first outbound one in it'.

The target trial assigns each contract, 180 days before its end, a window w for the first contact. Its two rules:

- nobody calls or meets the customer before w; in w somebody of ours does, unless the contract is decided by then;
- who decides earlier, uncontacted, followed *every* later strategy and counts with the outcome under each.

A person follows strategy w as long as nothing contradicts it. Two discrete-time hazards say how likely that was,
given what was known at each window's start among those not yet contacted and not yet decided: of any human contact
(which ends 'no contact before'), and of an outbound one (which is the treatment). An inbound contact in w itself
contradicts nothing, one before w does. Decisions end exposure: someone decided after a share u of a window had a
chance 1 − (1 − p)^g(u) of having been contacted by then, g being the pooled time shape of contacts in the window.

The estimate is a longitudinal targeted minimum loss estimate (van der Laan & Gruber 2012; Bang & Robins 2005) with
all nuisances cross-fitted over folds of whole accounts: iterated conditional expectations Q, shifted stage by stage
by one intercept weighted with the inverse probability of having followed the strategy, so that the efficient score
has mean zero and the estimate stays a probability. It is right if either the hazards or the regressions are.
Cumulative weights are cut at √n·ln n / 5 (Gruber et al. 2022).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

from training import effects_covariates as covariates
from training.effects_regression import fit_linear, fit_logistic, log_loss, with_intercept

NONE = "none"
RIDGES = (1.0, 10.0, 100.0)
LINEAR_RIDGE = 2.0
BOUND = 1e-3
LEAST_PROBABILITY = 1e-4
LEAST_HITS = 20


@dataclass(frozen=True)
class Clock:
    """What ended the wait for a contact within one window, arrays of length n.

    Attributes:
        hit: the contact came, before any decision.
        decided: the decision came first.
        exposure: the share of the window passed by then, in [0, 1]; 1 if neither came.
    """

    hit: np.ndarray
    decided: np.ndarray
    exposure: np.ndarray


@dataclass(frozen=True)
class Window:
    """One window, arrays over all n persons; rows of those not at risk are ignored.

    Attributes:
        name: the bucket, e.g. `31-60`.
        X: (n, d) float, what was known at the window's start, NaN for missing.
        at_risk: (n,) bool, not contacted since the trial began, and undecided.
        any_contact: the wait for a human contact of either direction.
        outbound: the wait for one that we made.
    """

    name: str
    X: np.ndarray
    at_risk: np.ndarray
    any_contact: Clock
    outbound: Clock


@dataclass(frozen=True)
class Nuisances:
    """Cross-fitted nuisance predictions of one window, (n,) or (n, strategies); NaN where nobody is at risk."""

    any_probability: np.ndarray
    out_probability: np.ndarray
    any_shape: np.ndarray
    out_shape: np.ndarray
    Q: np.ndarray


@dataclass(frozen=True)
class Strategies:
    """Estimates of all strategies, in the order of `names`; NaN for one that too few followed.

    Attributes:
        estimate: (m,) probability of the outcome had everybody followed the strategy.
        influence: (n, m) centred influence function values.
        weight: (n, m) final weight of those who followed the strategy to its end, 0 for others.
        raw: (m,) plain rate among those who did, decided-early ones under `none` only.
        n: (m,) their number.
        thin: (m,) share of the cohort that had hardly a chance (under 1 %) to follow.
        cohort: (n,) bool, who is in the trial.
    """

    names: tuple[str, ...]
    estimate: np.ndarray
    influence: np.ndarray
    weight: np.ndarray
    raw: np.ndarray
    n: np.ndarray
    thin: np.ndarray
    residual: np.ndarray
    cluster: np.ndarray


def estimate_strategies(
    windows: Sequence[Window], y: np.ndarray, cluster: np.ndarray, *, seed: int = 0, folds: int = 5
) -> Strategies:
    """Estimate P(y = 1) under every strategy: first contact in window k, for each k, and none.

    Args:
        windows: in the order of time, all over the same n persons, everybody at risk in the first.
        y: (n,) 0 or 1.
        cluster: (n,) account of each person; folds and standard errors go by it.
        seed: of the folds.
        folds: number of cross-fitting folds.
    """
    bases = design(windows, y, len(np.unique(cluster)))
    fold = grouped_folds(cluster, folds, seed)
    propensities = [_window_propensities(w, A, fold) for w, A in zip(windows, bases, strict=True)]
    Q = _outcome_regressions(windows, bases, propensities, y, fold)
    return _targeted(windows, propensities, Q, y, cluster)


def grouped_folds(cluster: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """A fold number for each row, whole clusters together, folds about equal in size."""
    labels, codes = np.unique(cluster, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    return (np.argsort(order) % folds)[codes]


def design(windows: Sequence[Window], y: np.ndarray, people: int) -> list[np.ndarray]:
    """One regression matrix (n, columns) with intercept a window, on columns chosen over all windows together."""
    pooled = np.vstack([w.X[w.at_risk] for w in windows])
    stratum = np.concatenate([np.full(int(w.at_risk.sum()), k) for k, w in enumerate(windows)])
    targets = [
        np.concatenate([y[w.at_risk] for w in windows]).astype(float),
        np.concatenate([w.any_contact.hit[w.at_risk] for w in windows]).astype(float),
    ]
    if any(np.any(w.any_contact.hit != w.outbound.hit) for w in windows):
        targets.append(np.concatenate([w.outbound.hit[w.at_risk] for w in windows]).astype(float))
    scaling = covariates.Scaling.fit(pooled)
    Z = scaling.apply(pooled)
    chosen = covariates.choose(Z, stratum, targets, people)
    knots = covariates.knots_of(Z[:, chosen])
    return [with_intercept(covariates.with_hinges(scaling.apply(w.X)[:, chosen], knots)) for w in windows]


def time_shape(clock: Clock, at_risk: np.ndarray) -> np.ndarray:
    """The share of a window's contact hazard that has passed at each person's exit: Nelson–Aalen, scaled to 1.

    Without decisions inside the window everybody's exposure is complete as far as weights go, and this is 1.
    """
    shape = np.ones(len(at_risk))
    if not np.any(clock.decided & at_risk) or not np.any(clock.hit & at_risk):
        return shape
    exits = np.sort(clock.exposure[at_risk])
    hits = np.sort(clock.exposure[clock.hit & at_risk])
    waiting = len(exits) - np.searchsorted(exits, hits, side="left")
    hazard = np.cumsum(1.0 / np.maximum(waiting, 1))
    passed = np.searchsorted(hits, clock.exposure, side="left")
    value = np.where(passed > 0, hazard[np.maximum(passed - 1, 0)], 0.0) / hazard[-1]
    return np.where(clock.decided, value, 1.0)


def _window_propensities(w: Window, A: np.ndarray, fold: np.ndarray) -> dict[str, np.ndarray]:
    """Cross-fitted full-window contact probabilities and time shapes for both kinds of contact."""
    found = {}
    same = np.array_equal(w.any_contact.hit, w.outbound.hit)
    for name, clock in (("any", w.any_contact), ("out", w.outbound)):
        if name == "out" and same:
            found["out"], found["out_shape"] = found["any"], found["any_shape"]
            break
        shape = time_shape(clock, w.at_risk)
        found[name] = cross_fit_logistic(A, clock.hit.astype(float), shape, w.at_risk, fold)
        found[f"{name}_shape"] = shape
    return found


def cross_fit_logistic(
    A: np.ndarray, y: np.ndarray, weight: np.ndarray, rows: np.ndarray, fold: np.ndarray
) -> np.ndarray:
    """Out-of-fold probabilities (n,) fitted on `rows`, the ridge chosen by out-of-fold log loss."""
    best, found = np.inf, np.full(len(y), np.average(y[rows], weights=weight[rows] + 1e-12))
    if y[rows].min() == y[rows].max():
        return np.clip(found, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    for ridge in RIDGES:
        p = np.empty(len(y))
        for f in np.unique(fold):
            train = rows & (fold != f)
            p[fold == f] = expit(A[fold == f] @ fit_logistic(A[train], y[train], weight[train], ridge))
        loss = log_loss(y[rows], p[rows], weight[rows])
        if loss < best:
            best, found = loss, p
    return np.clip(found, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)


def _outcome_regressions(
    windows: Sequence[Window],
    bases: Sequence[np.ndarray],
    propensities: Sequence[dict[str, np.ndarray]],
    y: np.ndarray,
    fold: np.ndarray,
) -> list[np.ndarray]:
    """Out-of-fold iterated conditional expectations: per window (n, m), column s for strategy s (last: none)."""
    n, last = len(y), len(windows) - 1
    held = [np.full((n, last + 2), np.nan) for _ in windows]
    for f in np.unique(fold):
        inside, follow = fold == f, np.repeat(y[:, None].astype(float), last + 2, axis=1)
        for k in range(last, -1, -1):
            w, A, p = windows[k], bases[k], propensities[k]
            stay = w.at_risk & ~w.any_contact.hit
            train = stay & ~inside
            ahead = np.where(w.any_contact.decided[:, None], y[:, None], follow)[:, k + 1 :]
            exposed = (1 - p["any"]) ** (1 - p["any_shape"])
            later = A @ fit_linear(A[train], ahead[train], exposed[train], LINEAR_RIDGE)
            now = np.full((n, last + 2), np.nan)
            now[:, k + 1 :] = later
            now[:, k] = _arm_regression(w, A, p, y, ~inside)
            follow = np.clip(now, BOUND, 1 - BOUND)
            held[k][inside] = follow[inside]
    return held


def _arm_regression(
    w: Window, A: np.ndarray, p: dict[str, np.ndarray], y: np.ndarray, train: np.ndarray
) -> np.ndarray:
    """P(y = 1) when contacted in this window if undecided by then, (n,)."""
    weight = np.where(w.outbound.hit, 1.0, w.outbound.decided * _decided_share(p) * p["out"])
    rows = train & w.at_risk & (weight > 0)
    if y[rows].sum() < 5 or (1 - y[rows]).sum() < 5:
        return np.full(len(y), np.average(y[rows], weights=weight[rows]) if rows.any() else 0.5)
    return expit(A @ fit_logistic(A[rows], y[rows].astype(float), weight[rows], 10.0))


def _decided_share(p: dict[str, np.ndarray]) -> np.ndarray:
    """Weight of someone decided, uncontacted, within the window of the strategy.

    P(the strategy's contact would have come later) / P(none had come by then), the strategy spreading contacts
    over the window as they were observed to be spread.
    """
    passed = 1 - (1 - p["out"]) ** p["out_shape"]
    return (1 - passed / p["out"]) / (1 - passed)


def _targeted(
    windows: Sequence[Window],
    propensities: Sequence[dict[str, np.ndarray]],
    Q: Sequence[np.ndarray],
    y: np.ndarray,
    cluster: np.ndarray,
) -> Strategies:
    n, K = len(y), len(windows)
    most = np.sqrt(n) * np.log(n) / 5
    m = K + 1
    estimate, influence = np.full(m, np.nan), np.full((n, m), np.nan)
    weight, residual = np.zeros((n, m)), np.zeros((n, m))
    raw, count, thin = np.full(m, np.nan), np.zeros(m, dtype=int), np.zeros(m)
    reached = [np.ones(n)]
    for w, p in zip(windows, propensities, strict=True):
        stays = w.at_risk & ~w.any_contact.hit & ~w.any_contact.decided
        reached.append(np.minimum(reached[-1] * np.where(stays, 1 / (1 - p["any"]), 0.0), most))
    for s in range(m):
        if s < K:
            w, p = windows[s], propensities[s]
            followed = w.at_risk & w.outbound.hit
            thin[s] = np.sum(reached[s] * w.at_risk * (p["out"] < 0.01)) / n
        else:
            followed = ~np.any([w.at_risk & w.any_contact.hit for w in windows], axis=0)
        count[s] = followed.sum()
        raw[s] = y[followed].mean() if count[s] else np.nan
        if count[s] < LEAST_HITS:
            continue
        phi, value = np.zeros(n), y.astype(float)
        for k in range(min(s, K - 1), -1, -1):
            w, p = windows[k], propensities[k]
            if k == s:
                h = w.outbound.hit / p["out"] + w.outbound.decided * _decided_share(p)
            else:
                stays = ~w.any_contact.hit & ~w.any_contact.decided
                gone = w.any_contact.decided / (1 - p["any"]) ** p["any_shape"]
                h = stays / (1 - p["any"]) + gone
                value = np.where(w.any_contact.decided, y, value)
            h = np.minimum(reached[k] * h * w.at_risk, most)
            if k == min(s, K - 1):
                weight[:, s] = h
            q = logit(np.where(w.at_risk, Q[k][:, s], 0.5))
            value_at = np.where(h > 0, value, 0.0)
            shift = _shift(value_at, q, h)
            q = expit(q + shift)
            phi += h * (value_at - q)
            if k == min(s, K - 1):
                residual[:, s] = value_at - q
            value = q
        estimate[s] = value.mean()
        influence[:, s] = phi + value - estimate[s]
    names = (*(w.name for w in windows), NONE)
    return Strategies(names, estimate, influence, weight, raw, count, thin, residual, cluster)


def _shift(y: np.ndarray, offset: np.ndarray, weight: np.ndarray) -> float:
    """The intercept e that solves Σ weight·(y − expit(offset + e)) = 0, by Newton with halving bounds."""
    rows = weight > 0
    y, offset, weight = y[rows], offset[rows], weight[rows]
    low, high, e = -8.0, 8.0, 0.0
    for _ in range(60):
        p = expit(offset + e)
        score = float(np.sum(weight * (y - p)))
        low, high = (e, high) if score > 0 else (low, e)
        step = e + score / max(float(np.sum(weight * p * (1 - p))), 1e-12)
        after = step if low < step < high else (low + high) / 2
        if abs(after - e) < 1e-10:
            break
        e = after
    return e
