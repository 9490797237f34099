"""When deals are decided: what lets young deals teach, and says by which day a deal will be won.

A deal's label is whether it is won within the horizon. A deal that closed knows its label at once, one that
is still open only when the horizon is over. Waiting for that throws away the newest year; taking the closed
ones as they are counts quick outcomes too often. Here the competing risks of being won and being lost are
taken apart as by Larson and Dinse (1985): whether a deal is won is the model's part, when it is decided,
given how it ends, is a distribution by the deal's age. Such a deal's chance to be known by now is that
distribution at its follow-up, and the closed ones are weighted by its inverse (Horvitz and Thompson 1952;
with censoring: IPCW, Robins and Rotnitzky 1992). Discrete hazards for each month would need rows for each
deal and month, and reasons that sum to a hazard, not to the probability; and pooled weights by follow-up
alone go wrong where the base rate drifts, as here they do not: a month's deals keep their number whatever
share of them is won.

The distributions come from all looks, the open ones as censored (Aalen and Johansen 1978), so that timing
does not wait for the horizon either. It is taken not to depend on the columns: a deal's date moves with its
age only.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

LEAST_SHARE = 0.2
"""Looks of which fewer than one in five would be known by now, won or lost, are too young to tell."""
LEAST_EVENTS = 30
OPEN, WON, LOST = 0, 1, 2
MEDIAN, LOW, HIGH = 0.5, 0.05, 0.95
MICROS_A_DAY = 86_400e6


class Deals(Protocol):
    """What is read of a dataset of deals: outcomes (n,), snapshots (n rows), looks still open."""

    @property
    def y(self) -> np.ndarray: ...  # noqa: D102
    @property
    def snapshots(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def horizon_days(self) -> int: ...  # noqa: D102
    @property
    def open_looks(self) -> pd.DataFrame | None: ...  # noqa: D102


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

    def youngest_share(self, age: np.ndarray, days: np.ndarray) -> np.ndarray:
        """(n,) that chance for the outcome that is known later."""
        return np.minimum(self._at(self.won, age, days), self._at(self.lost, age, days))

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


def known_weights(ds: Deals, until: np.datetime64) -> np.ndarray:
    """(n,) what each row's label stands for at `until`: 1 once the horizon is over; 0 where too young."""
    timing = learn_timing(ds, until)
    age = ds.snapshots["lead_days"].to_numpy(float)
    days = _days(ds.snapshots["as_of"].to_numpy("datetime64[us]"), until)
    share = timing.known_share(ds.y, age, days)
    old_enough = timing.youngest_share(age, days) >= LEAST_SHARE
    return np.where(old_enough, 1.0 / np.maximum(share, LEAST_SHARE), 0.0)


def _days(since: np.ndarray, until: np.ndarray | np.datetime64) -> np.ndarray:
    return (until - since).astype("timedelta64[us]").astype(float) / MICROS_A_DAY


def _looks(ds: Deals, until: np.datetime64) -> pd.DataFrame:
    """Every look before `until`: `age`, `days` to its end or to `until`, and how it ended by then."""
    as_of = ds.snapshots["as_of"].to_numpy("datetime64[us]")
    known_at = ds.snapshots["known_at"].to_numpy("datetime64[us]")
    is_known = known_at <= until
    rows = pd.DataFrame(
        {
            "age": ds.snapshots["lead_days"].to_numpy(float),
            "days": _days(as_of, np.minimum(known_at, until)),
            "end": np.where(is_known, np.where(ds.y == 1, WON, LOST), OPEN),
        }
    )[as_of < until]
    still = ds.open_looks
    if still is not None and len(still):
        began = still["as_of"].to_numpy("datetime64[us]")
        days = np.minimum(_days(began, until), ds.horizon_days)
        more = pd.DataFrame({"age": still["lead_days"].to_numpy(float), "days": days, "end": OPEN})
        rows = pd.concat([rows, more[began < until]], ignore_index=True)
    return rows.assign(age=np.nan_to_num(rows["age"].to_numpy()))


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
