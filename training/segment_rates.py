"""The primary metric of each segment and of the rest, under any number of resamplings of accounts."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from training.dataset import Dataset
from training.group_metrics import METRICS
from training.model import BAND_SHARES
from training.parity import DECLARED, MIN_SIZE, segment_shares


def cut_share(kind: str) -> float:
    """The share of rows under the threshold at which rows are selected."""
    return BAND_SHARES[0 if DECLARED[kind].selected_below else 1]


@dataclass(frozen=True)
class Sums:
    """For each account and segment, what its rate is made of: rows selected and rows, inside and beside it.

    Attributes:
        keys: (attribute, value) of the segments that are large enough, inside and beside.
        accounts: how many.
        hit, met, rest_hit, rest_met: (accounts, segments).
    """

    keys: list[tuple[str, str]]
    accounts: int
    hit: np.ndarray
    met: np.ndarray
    rest_hit: np.ndarray
    rest_met: np.ndarray

    @staticmethod
    def of(ds: Dataset, p: np.ndarray, threshold: float, segments: pd.DataFrame) -> "Sums":
        """The sums of rows with probabilities p (n,), selected at a threshold."""
        declared = DECLARED[ds.kind]
        base = METRICS[declared.primary].base
        positive = ds.y == declared.positive_label
        counted = {"all": np.ones(len(p), bool), "positive": positive, "negative": ~positive}[base]
        selected = (p < threshold if declared.selected_below else p >= threshold) & counted
        account = np.unique(ds.groups, return_inverse=True)[1]
        n = int(account.max()) + 1
        keys: list[tuple[str, str]] = []
        columns: list[list[np.ndarray]] = []
        for attribute, shares in segment_shares(ds.snapshots["account_id"], segments).items():
            known = np.minimum(sum(shares.values()), 1.0)
            for value, share in shares.items():
                rest = known - np.minimum(share, known)
                if min(_subjects(ds, share * counted), _subjects(ds, rest * counted)) < MIN_SIZE:
                    continue
                keys.append((attribute, value))
                columns.append(
                    [np.bincount(account, w * of, n) for w in (share, rest) for of in (selected, counted)]
                )
        stacked = np.array(columns).reshape(len(keys), 4, n).transpose(1, 2, 0)
        return Sums(keys, n, *stacked)

    def rates(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rates inside and beside, (draws, segments), under how often each account is counted (draws, n)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return counts @ self.hit / (counts @ self.met), counts @ self.rest_hit / (counts @ self.rest_met)


def _subjects(ds: Dataset, weight: np.ndarray) -> float:
    """How many contracts or deals stand behind a weight, each by its largest share."""
    held = pd.Series(weight).groupby(ds.subjects).max()
    return float(held.sum())
