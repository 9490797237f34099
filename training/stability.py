"""How often each column proves to say more than a shuffled one: weights for which columns a tree is offered.

Stability selection (Meinshausen & Bühlmann 2010) with boosted trees for the lasso, so that what is predictive
only together with another column counts too, and with shuffled copies of the columns for the threshold (Kursa
& Rudnicki 2010). Idle columns are offered seldom, none is left out: where many columns each add a little,
selecting some of them loses more than it gains.
"""

import numpy as np
import xgboost as xgb

from training.boosting import DEFAULT, booster_params, matrix

DRAWS = 12
MOST_CONTRACTS = 4000
TREES = 40
BINS = 16
IDLE = 0.8
"""Share of the shuffled columns that a column must say more than."""
LEAST = 0.1
"""Weight of a column that never does."""
LOOK = {**DEFAULT, "learning_rate": 0.1, "min_child_weight": 10.0, "gamma": 0.0, "colsample_bytree": 0.5}


def column_weights(E: np.ndarray, y: np.ndarray, subjects: np.ndarray, types: list[str]) -> np.ndarray:
    """(k,) from `LEAST` to 1 + `LEAST`: in which share of the draws a column says more than shuffled ones.

    Each draw takes half of the contracts, one row of each, and grows trees on the columns beside the same
    columns of other rows.

    Args:
        E: (n, k) encoded rows.
        y: (n,) outcomes.
        subjects: (n,) contract or deal codes.
        types: `c` or `q` for each column.
    """
    rng = np.random.default_rng(0)
    _, contract = np.unique(subjects, return_inverse=True)
    wins = np.zeros(E.shape[1])
    for draw in range(DRAWS):
        order = rng.permutation(len(y))
        order = order[(rng.random(contract.max() + 1) < 0.5)[contract[order]]]
        _, first = np.unique(contract[order], return_index=True)
        at = order[first][:MOST_CONTRACTS]
        if len(at):
            wins += _wins(E[at], E[rng.permutation(at)], y[at], types, draw)
    return LEAST + wins / DRAWS


def _wins(E: np.ndarray, shuffled: np.ndarray, y: np.ndarray, types: list[str], seed: int) -> np.ndarray:
    """(k,) whether each column gains more than most of the shuffled ones."""
    k = E.shape[1]
    data = matrix(np.hstack([E, shuffled]), y, np.ones(len(y)), types * 2, threads=1, max_bin=BINS)
    settings = booster_params(LOOK, [0] * 2 * k, seed=seed, threads=1)
    score = xgb.train({**settings, "max_bin": BINS}, data, num_boost_round=TREES).get_score(
        importance_type="total_gain"
    )
    gain = np.array([score.get(f"f{at}", 0.0) for at in range(2 * k)], dtype=float)
    return gain[:k] > np.quantile(gain[k:], IDLE)
