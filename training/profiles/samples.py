"""What was observed of prospects: one sample an outcome, and the user's weights of the outcomes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from features.errors import RenewalError

DEFAULT_WEIGHTS = {"win": 0.4, "effort": 0.2, "discount": 0.1, "renews by itself": 0.3}
"""What counts how much by default: half for winning and what it costs, a third for staying uncalled."""
SIGN = {"win": 1.0, "effort": -1.0, "discount": -1.0, "renews by itself": 1.0}
UNITS = {
    "win": "share won",
    "effort": "hours a deal",
    "discount": "share of list",
    "renews by itself": "share",
}


@dataclass(frozen=True)
class Sample:
    """One outcome as observed on n deals or contracts.

    Attributes:
        name: one of `DEFAULT_WEIGHTS`.
        row: (n,) the row of the prospects' frame each belongs to.
        account: (n,) account codes; what is counted and drawn as one.
        at: (n,) datetime64[us], when the deal or contract is placed in time; NaT where undated.
        value: (n,) the outcome in its unit, no NaN.
    """

    name: str
    row: np.ndarray
    account: np.ndarray
    at: np.ndarray
    value: np.ndarray

    def __len__(self) -> int:
        return len(self.value)

    @property
    def sign(self) -> float:
        """+1 where more is better, −1 where less is."""
        return SIGN[self.name]

    def take(self, keep: np.ndarray) -> "Sample":
        """Some of its rows."""
        return replace(
            self, row=self.row[keep], account=self.account[keep], at=self.at[keep], value=self.value[keep]
        )


@dataclass(frozen=True)
class Periods:
    """The samples of the earlier period, in which rules are found, and of the later, in which they are
    judged.

    Attributes:
        earlier, later: the same outcomes in the same order.
        cuts: the first moment of the later period by outcome; empty where undated data were halved by
        account.
    """

    earlier: list[Sample]
    later: list[Sample]
    cuts: dict[str, pd.Timestamp]


def split(samples: list[Sample], seed: int = 0) -> Periods:
    """Cut each outcome at the moment that halves it; undated data: halves by account.

    Deals and contracts live on different calendars (a win comes before the renewals it leads to), so one cut
    for all would leave one of them without a later half.
    """
    if any(np.isnat(s.at).mean() > 0.5 for s in samples):
        codes = np.unique(np.concatenate([s.account for s in samples]))
        first = np.random.default_rng(seed).permutation(codes)[: len(codes) // 2]
        parts = [np.isin(s.account, first) for s in samples]
        return Periods(
            [s.take(p) for s, p in zip(samples, parts, strict=True)],
            [s.take(~p) for s, p in zip(samples, parts, strict=True)],
            {},
        )
    cuts = {s.name: _middle(s.at) for s in samples}
    return Periods(
        [s.take(s.at < cuts[s.name]) for s in samples],
        [s.take(s.at >= cuts[s.name]) for s in samples],
        {name: pd.Timestamp(cut) for name, cut in cuts.items()},
    )


def _middle(at: np.ndarray) -> np.datetime64:
    known = np.sort(at[~np.isnat(at)])
    return known[len(known) // 2]


def checked_weights(weights: Mapping[str, float] | None) -> dict[str, float]:
    """The user's weights over the defaults, summing to 1.

    Raises:
        RenewalError: an unknown outcome, a negative weight, or none above 0.
    """
    told = {**DEFAULT_WEIGHTS, **(weights or {})}
    unknown = set(told) - set(DEFAULT_WEIGHTS)
    if unknown or min(told.values()) < 0 or sum(told.values()) <= 0:
        raise RenewalError(
            expected=f"weights of {', '.join(DEFAULT_WEIGHTS)}, none below 0 and one above",
            found=", ".join(f"{name}={value:g}" for name, value in told.items()),
            do="Change the weights.",
        )
    total = sum(told.values())
    return {name: value / total for name, value in told.items()}
