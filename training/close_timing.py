"""When deals are decided: what open deals teach, and by which day a deal will be won.

A deal's label is whether it is won within the horizon. A deal that closed knows its label at once, one that
is still open only when the horizon is over. Waiting for that throws away the newest year; taking the closed
ones as they are counts quick outcomes too often. Here the competing risks of being won and being lost are
taken apart as by Larson and Dinse (1985): whether a deal is won is the model's part, when it is decided,
given how it ends, is a distribution by the deal's age.

By these a deal that is still open after some days is won in the end with another chance than before: lower
where deals are won sooner than they are lost, as where nobody records that a deal was lost. The likelihood
of "open so far" pulls a model by the difference of the two chances. An open deal teaches as a deal of the
label it leans to, with the weight that gives this very pull at the rate of its month; so every deal counts
for what is known of it, and no weight is above that of a decided one. Weights by the inverse chance to be
known (IPCW, Robins and Rotnitzky 1992), the usual way out, have nothing to weigh where one outcome is never
known early. Discrete hazards would need rows for each deal and month, and reasons that sum to a hazard, not
to the probability.

The distributions come from all looks, the open ones as censored (Aalen and Johansen 1978). Timing is taken
not to depend on the columns: a deal's date moves with its age only.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

LEAST_EVENTS = 30
PRIOR_DEALS = 5.0
"""Deals of the rate of all months that a month's own are joined by."""
EM_STEPS, EM_CLOSE = 300, 1e-6
OPEN, WON, LOST = 0, 1, 2
MEDIAN, LOW, HIGH = 0.5, 0.05, 0.95
MICROS_A_DAY = 86_400e6


class Deals(Protocol):
    """What is read of a dataset of deals: how each ended (n,), NaN where that is unknown; snapshots (n)."""

    @property
    def ended(self) -> np.ndarray: ...  # noqa: D102
    @property
    def snapshots(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def horizon_days(self) -> int: ...  # noqa: D102


@dataclass(frozen=True)
class CloseTiming:
    """Distributions of the days to a decision, for looks at deals of some ages.

    Attributes:
        ages: (a,) days since creation, rising; a look belongs to the last that is not above its own.
        won: (a, horizon + 1) the share of those won within the horizon that are won by day 0 … horizon.
        lost: the same of the others, who are known to be at the horizon's end at the latest.
    """

    ages: tuple[float, ...]
    won: tuple[tuple[float, ...], ...]
    lost: tuple[tuple[float, ...], ...]

    def known_share(self, y: np.ndarray, age: np.ndarray, days: np.ndarray) -> np.ndarray:
        """(n,) the chance to be known by `days` after the look, of outcomes y at these ages."""
        return np.where(y == 1, self._at(self.won, age, days), self._at(self.lost, age, days))

    def won_by(self, p: np.ndarray, age: np.ndarray, days: np.ndarray) -> np.ndarray:
        """(n,) the probability to be won within `days`, where p is that within the horizon."""
        return p * self._at(self.won, age, days)

    def days_to_win(self, age: np.ndarray, share: float) -> np.ndarray:
        """(n,) days by which this share of those that are won are won."""
        table = np.array(self.won)
        return (table < share - 1e-12).sum(axis=1)[self._place(age)]

    def _place(self, age: np.ndarray) -> np.ndarray:
        place = np.searchsorted(np.array(self.ages), np.nan_to_num(age), side="right") - 1
        return np.clip(place, 0, len(self.ages) - 1)

    def _at(self, table: tuple[tuple[float, ...], ...], age: np.ndarray, days: np.ndarray) -> np.ndarray:
        values = np.array(table)
        day = np.clip(np.floor(days), 0, values.shape[1] - 1).astype(int)
        return values[self._place(age), day]


def learn_timing(ds: Deals, until: np.datetime64) -> CloseTiming:
    """The distributions as the looks of a dataset show them at `until`; ages with few outcomes are pooled."""
    looks = _looks(ds, until)
    pooled = _curves(looks, ds.horizon_days)
    ages = np.unique(looks["age"])
    won, lost = [], []
    for age in ages:
        of_age = looks[looks["age"] == age]
        enough = min((of_age["end"] == end).sum() for end in (WON, LOST)) >= LEAST_EVENTS
        curves = _curves(of_age, ds.horizon_days) if enough else pooled
        won.append(tuple(curves[0].tolist()))
        lost.append(tuple(curves[1].tolist()))
    return CloseTiming(tuple(ages.tolist()), tuple(won), tuple(lost))


def open_so_far(ds: Deals, until: np.datetime64) -> tuple[np.ndarray, np.ndarray]:
    """What each row teaches at `until`: a label (n,), and its weight against a decided deal's (n,), 0 to 1.

    A row decided by then has its own label and weight 1; of the others, see above.
    """
    is_known = known_by(ds, until)
    if is_known.all():
        return ds.ended.copy(), np.ones(len(is_known))
    timing = learn_timing(ds, until)
    age = ds.snapshots["lead_days"].to_numpy(float)
    as_of = ds.snapshots["as_of"].to_numpy("datetime64[us]")
    days = _days(as_of, until)
    won, lost = (timing.known_share(np.full(len(days), ended), age, days) for ended in (1, 0))
    still = (1 - won, 1 - lost)
    y = np.where(is_known, ds.ended, np.nan)
    month = np.unique(as_of.astype("datetime64[M]"), return_inverse=True)[1]
    deals = ds.snapshots["subject_id"].nunique() / max(len(y), 1)
    before = _rates(y, still, month, deals)[month]
    after = _won_in_the_end(before, still)
    leans = after > before
    weight = np.where(leans, (after - before) / (1 - before), (before - after) / before)
    return np.where(is_known, y, leans.astype(float)), np.where(is_known, 1.0, np.clip(weight, 0.0, 1.0))


def known_by(ds: Deals, until: np.datetime64) -> np.ndarray:
    """(n,) whether a row's label was known at `until`."""
    return ~np.isnan(ds.ended) & (ds.snapshots["known_at"].to_numpy("datetime64[us]") <= until)


def _won_in_the_end(rate: np.ndarray, still: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """(n,) the chance of looks still open to be won, given that of all, by what of either is still open."""
    won, lost = rate * still[0], (1 - rate) * still[1]
    return np.where(won + lost > 0, won / np.where(won + lost > 0, won + lost, 1.0), rate)


def _rates(
    y: np.ndarray, still: tuple[np.ndarray, np.ndarray], month: np.ndarray, deals: float
) -> np.ndarray:
    """(months,) the share won in the end of each month's looks, by expectation and maximisation.

    Args:
        y: (n,) labels, NaN where open.
        still: of those won and of those lost, the shares that are open by now, (n,) each.
        month: (n,) codes.
        deals: that a row stands for.
    """
    pooled = _maximised(y, still, np.zeros_like(month), deals, 0.5, 2.0)[0]
    return _maximised(y, still, month, deals, float(pooled), PRIOR_DEALS)


def _maximised(
    y: np.ndarray,
    still: tuple[np.ndarray, np.ndarray],
    of: np.ndarray,
    deals: float,
    prior: float,
    strength: float,
) -> np.ndarray:
    count = np.bincount(of) * deals + strength
    rate = np.full(len(count), prior)
    for _ in range(EM_STEPS):
        expected = np.where(np.isnan(y), _won_in_the_end(rate[of], still), y)
        better = (np.bincount(of, expected) * deals + strength * prior) / count
        moved, rate = np.abs(better - rate).max(), better
        if moved < EM_CLOSE:
            break
    return rate


def _days(since: np.ndarray, until: np.ndarray | np.datetime64) -> np.ndarray:
    return (until - since).astype("timedelta64[us]").astype(float) / MICROS_A_DAY


def _looks(ds: Deals, until: np.datetime64) -> pd.DataFrame:
    """Every look before `until`: `age`, `days` to its end or to `until`, and how it ended by then."""
    as_of = ds.snapshots["as_of"].to_numpy("datetime64[us]")
    known_at = ds.snapshots["known_at"].to_numpy("datetime64[us]")
    is_known = known_by(ds, until)
    rows = pd.DataFrame(
        {
            "age": np.nan_to_num(ds.snapshots["lead_days"].to_numpy(float)),
            "days": np.minimum(_days(as_of, np.where(is_known, known_at, until)), ds.horizon_days),
            "end": np.where(is_known, np.where(ds.ended == 1, WON, LOST), OPEN),
        }
    )
    return rows[as_of < until]


def _curves(looks: pd.DataFrame, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """(horizon + 1,) shares won and lost by each day, of those that end so."""
    day = np.clip(np.floor(looks["days"].to_numpy()), 0, horizon).astype(int)
    end = looks["end"].to_numpy()
    counts = {kind: np.bincount(day[end == kind], minlength=horizon + 1) for kind in (OPEN, WON, LOST)}
    leaving = counts[OPEN] + counts[WON] + counts[LOST]
    at_risk = np.maximum(leaving[::-1].cumsum()[::-1], 1)
    stays = np.cumprod(1 - (counts[WON] + counts[LOST]) / at_risk)
    before = np.concatenate([[1.0], stays[:-1]])
    won = np.cumsum(before * counts[WON] / at_risk)
    lost = np.cumsum(before * counts[LOST] / at_risk)
    lost[-1] = max(1.0 - won[-1], lost[-1])
    return won / max(won[-1], 1e-9) if won[-1] > 0 else np.linspace(0, 1, horizon + 1), lost / lost[-1]
