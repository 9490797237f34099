"""Whether scores rank outcomes beyond chance, judged as they are used: the one meaning of "signal".

What is compared stood on the list in the same month: deals of all ages and contracts at all lead times, since
whoever works the list ranks them against each other, and a deal's age is skill as any column is. Within a
month the base rate is the same for all, so neither its drift nor a model's own level has a say. The
statistic is the Wilcoxon rank sum over months with van Elteren's weights (1960), written as an AUC; its error
comes from sums over accounts, whose contracts and looks share their luck.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata, t

CONFIDENCE = 0.95
BLIND = 0.5


@dataclass(frozen=True)
class Ranking:
    """AUC within strata with its interval; `is_real` where that lies above a half."""

    auc: float
    low: float
    high: float

    @property
    def is_real(self) -> bool:
        """Whether it is beyond chance."""
        return self.low > BLIND

    def in_words(self) -> str:
        """For the card and the log."""
        interval = f"{CONFIDENCE:.0%} interval {self.low:.3f} to {self.high:.3f}"
        return f"AUC among what was open in the same month {self.auc:.3f}, {interval}"


def ranking(y: np.ndarray, score: np.ndarray, strata: np.ndarray, accounts: np.ndarray) -> Ranking:
    """How well scores of rows that had no say in the model rank their outcomes.

    Args:
        y: (n,) outcomes.
        score: (n,) any monotone measure.
        strata: (n,) codes within which rows are compared.
        accounts: (n,) codes of what shares its luck.
    """
    _, place = np.unique(strata, return_inverse=True)
    n = np.bincount(place).astype(float)
    good = np.bincount(place, y)
    weight = good * (n - good) / n
    if weight.sum() == 0:
        return Ranking(BLIND, 0.0, 1.0)
    order = np.lexsort((score, place))
    rank = np.empty(len(y))
    for rows in np.split(order, np.cumsum(n.astype(int))[:-1]):
        rank[rows] = rankdata(score[rows])
    pull = (rank - (n[place] + 1) / 2) / n[place] * (y - (good / n)[place])
    _, account = np.unique(accounts, return_inverse=True)
    by_account = np.bincount(account, pull)
    squares = float((by_account**2).sum())
    auc = BLIND + float(by_account.sum()) / float(weight.sum())
    if squares == 0:
        return Ranking(auc, 0.0, 1.0)
    freedom = max(1.0, squares**2 / float((by_account**4).sum()))
    error = np.sqrt(squares * freedom / max(freedom - 1, 0.5)) / float(weight.sum())
    reach = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return Ranking(auc, max(0.0, auc - reach), min(1.0, auc + reach))


def strata(as_of: np.ndarray, part: np.ndarray) -> np.ndarray:
    """(n,) codes of the calendar month rows were scored in and of a part of them, such as a fold.

    Args:
        as_of: (n,) moments; undated rows (NaT) share a month.
        part: (n,) codes of rows whose scores come from the same model.
    """
    month = as_of.astype("datetime64[M]").astype(np.int64)
    return np.unique(np.column_stack([month, part]), axis=0, return_inverse=True)[1].ravel()
