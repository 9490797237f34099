"""Whether accounts of a profile differ from all others in a figure, beyond chance.

Each account counts once, by the mean of its rows, so that one busy account makes no difference (Welch 1947 on
these means). Skewed quantities are compared by their ranks (Conover and Iman 1981).
"""

import numpy as np
import pandas as pd
from scipy.stats import t


def p_of_difference(
    values: pd.Series, is_in: np.ndarray, account_id: pd.Series, *, ranked: bool = False
) -> float:
    """p-value of the accounts inside having the mean of all others; 1 with fewer than two on a side.

    Args:
        values: (n,) numbers, none missing.
        is_in: (n,) bool, whether a row is of the profile.
        account_id: (n,) the account of each row.
        ranked: compare ranks in place of the values.
    """
    y = (values.rank() if ranked else values).to_numpy(float)
    codes = pd.factorize(account_id)[0]
    inside, others = (_by_account(y[side], codes[side]) for side in (is_in, ~is_in))
    if min(len(inside), len(others)) < 2:
        return 1.0
    spreads = [_variance(part) / len(part) for part in (inside, others)]
    error = float(np.sqrt(sum(spreads)))
    if error <= 0:
        return 1.0 if inside.mean() == others.mean() else 0.0
    freedom = sum(spreads) ** 2 / sum(
        spread**2 / (len(part) - 1) for spread, part in zip(spreads, (inside, others), strict=True)
    )
    return float(2 * t.sf(abs(inside.mean() - others.mean()) / error, freedom))


def _by_account(y: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The mean of each account's rows."""
    _, at = np.unique(codes, return_inverse=True)
    return np.bincount(at, y) / np.maximum(np.bincount(at), 1)


def _variance(means: np.ndarray) -> float:
    """Of the accounts; where all are alike, as if one more were of each kind: that proves little."""
    variance = float(means.var(ddof=1))
    if means.min() >= 0 and means.max() <= 1:
        smooth = (means.sum() + 1) / (len(means) + 2)
        return smooth * (1 - smooth) if variance == 0 else variance
    return variance
