"""Sequentially doubly robust estimates of 'no contact before this window, the first outbound one in it'.

The target trial assigns each contract, at the start of the first window, a window w for the first contact:

- nobody calls or meets the customer before w; in w somebody of ours does, unless the contract is decided by then;
- who decides earlier, uncontacted, followed *every* later strategy and counts with the outcome under each.

A person follows strategy w as long as nothing contradicts it. Two discrete-time hazards say how likely that was,
given what was known at each window's start among those not yet contacted and not yet decided: of any human contact
(which ends 'no contact before'), and of an outbound one (which is the treatment). An inbound contact in w itself
contradicts nothing, one before w does. Decisions end exposure (`effects_nuisance.Hazard`).

The estimate is a longitudinal targeted minimum loss estimate (van der Laan & Gruber 2012; Bang & Robins 2005) with
all nuisances cross-fitted over folds of whole accounts: iterated conditional expectations, shifted stage by stage so
that the efficient score has mean zero and the estimate stays a probability. It is right if either the hazards or the
regressions are.
"""

from collections.abc import Sequence

import numpy as np

from training.effects_nuisance import (
    arm_regression,
    cross_fit_logistic,
    design,
    grouped_folds,
    hazards,
    outcome_regressions,
)
from training.effects_overlap import LEAST_FOLLOWERS, poor_shares, rarely
from training.effects_targeting import Stage, most_weight, stages, target
from training.effects_trial import NONE, Clock, Strategies, Window


def estimate_strategies(
    windows: Sequence[Window],
    y: np.ndarray,
    cluster: np.ndarray,
    *,
    seed: int = 0,
    folds: int = 5,
    groups: dict[str, np.ndarray] | None = None,
) -> dict[str, Strategies]:
    """Estimate P(y = 1) under every strategy: first contact in window k, for each k, and none.

    Args:
        windows: in the order of time, all over the same n persons, everybody at risk in the first. Neighbours of
            one name are stages of one bucket (worry that arises inside a long window is seen at the next stage).
        y: (n,) 0 or 1.
        cluster: (n,) account of each person; folds and standard errors go by it.
        seed: of the folds.
        folds: number of cross-fitting folds.
        groups: name → (n,) bool; each gets its own targeting on the common nuisances.

    Returns:
        `all` → estimates for everybody, and each group's name → estimates for that group.
    """
    bases = design(windows, y, len(np.unique(cluster)))
    fold = grouped_folds(cluster, folds, seed)
    found = [hazards(w, A, fold) for w, A in zip(windows, bases, strict=True)]
    Q = outcome_regressions(windows, bases, found, y, fold)
    made = stages(windows, found)
    poor = poor_shares(windows, bases, found, made)
    everybody = {"all": np.ones(len(y), dtype=bool), **(groups or {})}
    return {
        name: merged(_targeted(windows, made, Q, poor, y, cluster, who)) for name, who in everybody.items()
    }


def _targeted(
    windows: Sequence[Window],
    made: Sequence[Stage],
    Q: Sequence[np.ndarray],
    poor: np.ndarray,
    y: np.ndarray,
    cluster: np.ndarray,
    who: np.ndarray,
) -> Strategies:
    """One column a stage and one for none: the estimates among `who`."""
    followed = np.column_stack(
        [w.at_risk & w.outbound.hit for w in windows]
        + [~np.any([w.at_risk & w.any_contact.hit for w in windows], axis=0)]
    )
    shape = (int(who.sum()), followed.shape[1])
    estimate, influence, weight = np.full(shape[1], np.nan), np.full(shape, np.nan), np.zeros(shape)
    count = followed[who].sum(axis=0)
    for s in np.flatnonzero(count >= LEAST_FOLLOWERS):
        estimate[s], centred, final = target(int(s), windows, made, Q, y, who)
        influence[:, s], weight[:, s] = centred[who], final[who]
    raw = np.array([y[who & f].mean() if (who & f).any() else np.nan for f in followed.T])
    names = (*(w.name for w in windows), NONE)
    return Strategies(names, estimate, influence, weight, raw, count, poor[who].mean(axis=0), cluster[who])


def merged(found: Strategies) -> Strategies:
    """Stages of one bucket as one strategy: the contact falls in a stage drawn as contacts were seen to fall.

    With shares π of the bucket's contacts, estimate and influence are the π-weighted sums; stages without an
    estimate (fewer than 20 contacts) are left out of the draw.
    """
    names = tuple(dict.fromkeys(found.names))
    share = np.zeros((len(found.names), len(names)))
    for b, name in enumerate(names):
        inside = np.array([other == name for other in found.names])
        usable = inside & np.isfinite(found.estimate)
        counts = np.where(usable if usable.any() else inside, np.maximum(found.n, 1), 0)
        share[:, b] = counts / counts.sum()
    member = np.array([[other == name for name in names] for other in found.names])
    used = share > 0

    def mixed(values: np.ndarray) -> np.ndarray:
        columns = [values[..., used[:, b]] @ share[used[:, b], b] for b in range(len(names))]
        return np.stack(columns, axis=-1)

    n = found.n @ member
    raw = np.where(n > 0, (np.nan_to_num(found.raw) * found.n) @ member / np.maximum(n, 1), np.nan)
    return Strategies(
        names,
        mixed(found.estimate),
        mixed(found.influence),
        mixed(found.weight),
        raw,
        n,
        mixed(found.poor),
        found.cluster,
    )


def estimate_arms(
    X: np.ndarray,
    arm: np.ndarray,
    names: Sequence[str],
    y: np.ndarray,
    cluster: np.ndarray,
    *,
    seed: int = 0,
    folds: int = 5,
    groups: dict[str, np.ndarray] | None = None,
) -> dict[str, Strategies]:
    """Estimate P(y = 1) under each level of one treatment given at one moment (calls in 30 days, a discount band).

    Args:
        X: (n, d) what was known before the treatment, NaN for missing.
        arm: (n,) level of each person, an index into `names`.
        names: the levels.
        y: (n,) 0 or 1.
        cluster: (n,) account of each person.
        seed: of the folds.
        folds: number of cross-fitting folds.
        groups: name → (n,) bool, as in `estimate_strategies`.
    """
    n, everyone = len(y), np.ones(len(y), dtype=bool)
    levels = [_level_window(name, X, arm == a) for a, name in enumerate(names)]
    A = design(levels, y, len(np.unique(cluster)))[0]
    fold = grouped_folds(cluster, folds, seed)
    P = np.column_stack(
        [cross_fit_logistic(A, w.outbound.hit * 1.0, np.ones(n), everyone, fold) for w in levels]
    )
    P = P / P.sum(axis=1, keepdims=True)
    rare = np.column_stack(
        [(p < 0.01) | rarely(A, w.outbound.hit, everyone) for w, p in zip(levels, P.T, strict=True)]
    )
    answers: dict[str, list[Strategies]] = {}
    for a, w in enumerate(levels):
        Q = _held_out_arm(A, y, w.outbound.hit, fold)
        weight = np.minimum(w.outbound.hit / P[:, a], most_weight(n))
        made = [Stage(np.ones(n), weight, weight)]
        for name, who in {"all": everyone, **(groups or {})}.items():
            one = _targeted([w], made, [np.column_stack([Q, Q])], rare[:, [a, a]] * 1.0, y, cluster, who)
            answers.setdefault(name, []).append(one)
    return {name: _side_by_side(names, found) for name, found in answers.items()}


def _level_window(name: str, X: np.ndarray, hit: np.ndarray) -> Window:
    nobody = np.zeros(len(hit), dtype=bool)
    clock = Clock(hit, nobody, np.ones(len(hit)))
    return Window(name, X, ~nobody, clock, clock)


def _held_out_arm(A: np.ndarray, y: np.ndarray, hit: np.ndarray, fold: np.ndarray) -> np.ndarray:
    Q = np.empty(len(y))
    for f in np.unique(fold):
        Q[fold == f] = arm_regression(A, y, hit * 1.0, fold != f)[fold == f]
    return np.clip(Q, 1e-3, 1 - 1e-3)


def _side_by_side(names: Sequence[str], found: Sequence[Strategies]) -> Strategies:
    def first(field: str) -> np.ndarray:
        return np.stack([getattr(one, field)[..., 0] for one in found], axis=-1)

    fields = ("estimate", "influence", "weight", "raw", "n", "poor")
    return Strategies(tuple(names), *(first(field) for field in fields), cluster=found[0].cluster)
