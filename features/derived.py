"""Formulas of derived features: elementwise, divisions last, NaN where nothing can be said."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def share(part: Floats, whole: Floats) -> Floats:
    """`part / whole`, NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def trend(recent: Floats, both: Floats) -> Floats:
    """How the recent window compares with the equally long one before it, in [-1, 1]: (r - e) / (|r| + |e|
    + 1).

    `both` covers the two windows together. 0 where nothing happened in either.
    """
    earlier = both - recent
    return (recent - earlier) / (np.abs(recent) + np.abs(earlier) + 1.0)


def difference(now: Floats, before: Floats) -> Floats:
    """`now - before`."""
    return now - before


def total(*parts: Floats) -> Floats:
    """The sum of the parts."""
    return np.add.reduce(parts)


def change_pct(now: Floats, before: Floats) -> Floats:
    """The change from `before` to `now` in per cent of `before`; NaN where that is not above 0."""
    return share(100.0 * (now - before), before)


def discount_pct(net: Floats, full: Floats) -> Floats:
    """How far `net` lies below `full`, in per cent."""
    return share(100.0 * (full - net), full)


def overdue(days_since: Floats, gap_days: Floats) -> Floats:
    """Silence measured in usual gaps: above 1 the next contact is late."""
    return share(days_since, gap_days)


SMOOTHING = 10
"""How many average outcomes an owner's own record is mixed with."""


def smoothed_share(part: Floats, whole: Floats, part_of_all: Floats, whole_of_all: Floats) -> Floats:
    """`part / whole` drawn to the share of all, as if `SMOOTHING` more outcomes of the average had been seen.

    The mean of a beta-binomial with that prior; NaN where nobody has any outcome yet.
    """
    return share(part + SMOOTHING * share(part_of_all, whole_of_all), whole + SMOOTHING)


def mean_age_days(opened: Floats, closed: Floats, still_open: Floats, as_of: Floats) -> Floats:
    """Mean age of what is open, in days, from sums of opening moments (s) of all and of those closed
    again."""
    return share(as_of * still_open - (opened - closed), still_open) / 86_400
