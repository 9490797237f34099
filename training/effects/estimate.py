"""Sequentially doubly robust estimates of 'no contact before this window, the first outbound one in it'.

The target trial assigns each contract, at the start of the first window, a window w for the first contact:

- nobody calls or meets the customer before w; in w somebody of ours does, unless the contract is decided by
  then;
- who decides earlier, uncontacted, followed *every* later strategy and counts with the outcome under each.

A person follows strategy w as long as nothing contradicts it. Two discrete-time hazards say how likely that
was, given what was known at each window's start among those not yet contacted and not yet decided: of any
human contact (which ends 'no contact before'), and of an outbound one (which is the treatment). An inbound
contact in w itself contradicts nothing, one before w does. Decisions end exposure
(`effects_nuisance.Hazard`).

The estimate is a longitudinal targeted minimum loss estimate (van der Laan & Gruber 2012; Bang & Robins
2005) with all nuisances cross-fitted over folds of whole accounts: iterated conditional expectations,
shifted stage by stage so that the efficient score has mean zero and the estimate stays a probability. It is
right if either the hazards or the regressions are.

Thousands of small fits are made, each in less time than several cores take to share it: one core does all.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from training.effects.nuisance import BOUND, CrossFit, Hazard, basis, design, hazards, outcome_regressions
from training.effects.targeting import (
    LEAST_CHANCE,
    LEAST_FOLLOWERS,
    Stage,
    most_weight,
    poor_shares,
    rarely,
    stages,
    target,
)
from training.effects.trial_arrays import NONE, Clock, Strategies, Window

MOST_BOOTSTRAPPED = 5_000
BOOTSTRAPS = 20


@threadpool_limits.wrap(limits=1)
def estimate_strategies(
    windows: Sequence[Window],
    y: np.ndarray,
    cluster: np.ndarray,
    *,
    seed: int = 0,
    folds: int = 5,
    errors: bool = True,
) -> Strategies:
    """Estimate P(y = 1) under every strategy: first contact in each window, and none.

    Args:
        windows: in the order of time, all over the same n persons, everybody at risk in the first.
            Neighbours of one name are stages of one bucket (worry that arises inside a long window is seen
            at the next stage).
        y: (n,) 0 or 1.
        cluster: (n,) account of each person; folds and standard errors go by it.
        seed: of the folds.
        folds: number of cross-fitting folds.
        errors: False skips what only standard errors need.
    """
    bases = design(windows, y)
    cross = CrossFit.over(cluster, folds, seed)
    window_hazards, window_stages, Q = _nuisances(windows, bases, y, cross)
    poor = poor_shares(windows, bases, window_hazards, window_stages)
    whole = merged(targeted(windows, window_stages, Q, poor, y, cluster, cross.mass))
    if not errors:
        return whole
    ones, everybody = np.ones(len(y)), np.ones(len(y), dtype=bool)
    baseline = cross.held_out(cross.probability("baseline", bases[0], y, ones, everybody))
    whole = replace(whole, baseline=baseline)

    def again(other: CrossFit) -> np.ndarray:
        _, stage, q = _nuisances(windows, bases, y, other)
        redone = merged(targeted(windows, stage, q, poor, y, cluster, other.mass))
        return other.mass @ redone.contribution / other.mass.sum()

    return replace(whole, inflation=inflation(whole, again, cross, seed))


def _nuisances(
    windows: Sequence[Window], bases: Sequence[np.ndarray], y: np.ndarray, cross: CrossFit
) -> tuple[list[tuple[Hazard, Hazard]], list[Stage], list[np.ndarray]]:
    window_hazards = [hazards(k, w, A, cross) for k, (w, A) in enumerate(zip(windows, bases, strict=True))]
    return (
        window_hazards,
        stages(windows, window_hazards),
        outcome_regressions(windows, bases, window_hazards, y, cross),
    )


def inflation(
    strategies: Strategies, again: Callable[[CrossFit], np.ndarray], cross: CrossFit, seed: int
) -> np.ndarray:
    """By how much standard errors must exceed those of the influence function, (m,), at least 1.

    Influence functions leave out the noise of the nuisances, which vanishes with n but not at a thousand.
    There the whole procedure is done again with random masses for accounts (Bayesian bootstrap, Rubin 1981).
    """
    if len(cross.fold) > MOST_BOOTSTRAPPED:
        return np.ones(len(strategies.names))
    labels, codes = np.unique(strategies.cluster, return_inverse=True)
    rng = np.random.default_rng([seed, 1])
    draws = []
    for _ in range(BOOTSTRAPS):
        mass = rng.standard_exponential(len(labels))[codes]
        draws.append(again(cross.reweighted(mass / mass.mean())))
    plain = np.zeros((len(labels), len(strategies.names)))
    np.add.at(plain, codes, strategies.influence / len(codes))
    squared = np.var(draws, axis=0, ddof=1) / (plain**2).sum(axis=0)
    finite = np.isfinite(squared)
    if not finite.any():
        return np.ones(len(strategies.names))
    shared = (squared + squared[finite].mean()) / 2
    return np.sqrt(np.maximum(np.where(finite, shared, 1.0), 1.0))


def targeted(
    windows: Sequence[Window],
    window_stages: Sequence[Stage],
    Q: Sequence[np.ndarray],
    poor: np.ndarray,
    y: np.ndarray,
    cluster: np.ndarray,
    mass: np.ndarray,
) -> Strategies:
    """One column a stage and one for none."""
    contacted = [w.at_risk & w.any_contact.hit for w in windows]
    followed = np.column_stack([*(w.at_risk & w.outbound.hit for w in windows), ~np.any(contacted, axis=0)])
    contribution, weight = np.full(followed.shape, np.nan), np.zeros(followed.shape)
    for s in np.flatnonzero(followed.sum(axis=0) >= LEAST_FOLLOWERS):
        contribution[:, s], weight[:, s] = target(int(s), windows, window_stages, Q, y, mass)
    return Strategies((*(w.name for w in windows), NONE), contribution, weight, followed, poor, y, cluster)


def merged(strategies: Strategies) -> Strategies:
    """Stages of one bucket as one strategy: the contact falls in a stage drawn as contacts were seen to fall.

    With shares π of the bucket's contacts, contributions are π-weighted sums; stages without an estimate
    (fewer than 20 contacts) are left out of the draw.
    """
    names = tuple(dict.fromkeys(strategies.names))
    member = np.array([[other == name for name in names] for other in strategies.names])
    estimated = np.isfinite(strategies.contribution[0])[:, None] & member
    usable = np.where(estimated.any(axis=0), estimated, member)
    share = usable * np.maximum(strategies.n, 1)[:, None]
    share = share / share.sum(axis=0)

    def mixed(values: np.ndarray) -> np.ndarray:
        return np.column_stack([values[:, on] @ part[on] for on, part in zip(usable.T, share.T, strict=True)])

    followed = (strategies.followed @ member) > 0
    parts = (mixed(strategies.contribution), mixed(strategies.weight), followed, mixed(strategies.poor))
    return Strategies(names, *parts, strategies.y, strategies.cluster)


@threadpool_limits.wrap(limits=1)
def estimate_arms(
    X: np.ndarray,
    arm: np.ndarray,
    names: Sequence[str],
    y: np.ndarray,
    cluster: np.ndarray,
    *,
    seed: int = 0,
    folds: int = 5,
    errors: bool = True,
) -> Strategies:
    """Estimate P(y = 1) under each level of one treatment given at one moment (calls, a discount band).

    Args:
        X: (n, d) what was known before the treatment, NaN for missing.
        arm: (n,) level of each person, an index into `names`.
        names: the levels.
        y: (n,) 0 or 1.
        cluster: (n,) account of each person.
        seed: of the folds.
        folds: number of cross-fitting folds.
        errors: False skips what only standard errors need.
    """
    n, everyone = len(y), np.ones(len(y), dtype=bool)
    levels = [_level_window(name, X, arm == a) for a, name in enumerate(names)]
    A = basis(X, np.zeros(n), [(y, n), *((w.outbound.hit, n) for w in levels)])(X)
    cross = CrossFit.over(cluster, folds, seed)
    rare = np.column_stack([rarely(A, w.outbound.hit, everyone) for w in levels])
    whole = _arms(levels, A, rare, y, cluster, cross)
    if not errors:
        return whole

    def again(other: CrossFit) -> np.ndarray:
        return other.mass @ _arms(levels, A, rare, y, cluster, other).contribution / other.mass.sum()

    return replace(whole, inflation=inflation(whole, again, cross, seed))


def _arms(
    levels: Sequence[Window],
    A: np.ndarray,
    rare: np.ndarray,
    y: np.ndarray,
    cluster: np.ndarray,
    cross: CrossFit,
) -> Strategies:
    """Every level by itself, side by side."""
    n = len(y)
    everyone, ones = np.ones(n, dtype=bool), np.ones(n)
    hits = [w.outbound.hit * 1.0 for w in levels]
    fits = [cross.probability(f"level {a}", A, hit, ones, everyone) for a, hit in enumerate(hits)]
    P = np.column_stack([cross.held_out(fit) for fit in fits])
    P = P / P.sum(axis=1, keepdims=True)
    columns = []
    for a, (w, hit) in enumerate(zip(levels, hits, strict=True)):
        Q = np.clip(cross.held_out(cross.probability(f"arm {a}", A, y, hit, everyone)), BOUND, 1 - BOUND)
        weight = np.minimum(hit / P[:, a], most_weight(n))
        poor = np.column_stack([rare[:, a] | (P[:, a] < LEAST_CHANCE)] * 2)
        window_stages = [Stage(ones, weight, weight)]
        columns.append(targeted([w], window_stages, [np.column_stack([Q, Q])], poor, y, cluster, cross.mass))

    def side_by_side(field: str) -> np.ndarray:
        return np.column_stack([getattr(one, field)[:, 0] for one in columns])

    parts = {field: side_by_side(field) for field in ("contribution", "weight", "followed", "poor")}
    return Strategies(names=tuple(w.name for w in levels), y=y, cluster=cluster, **parts)


def _level_window(name: str, X: np.ndarray, hit: np.ndarray) -> Window:
    nobody = np.zeros(len(hit), dtype=bool)
    clock = Clock(hit, nobody, np.ones(len(hit)))
    return Window(name, X, ~nobody, clock, clock)
