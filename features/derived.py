"""Formulas of derived features: elementwise, divisions last, NaN where nothing can be said."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def share(part: Floats, whole: Floats) -> Floats:
    """`part / whole`, NaN where the whole is 0."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def per(amount: Floats, count: Floats) -> Floats:
    """`amount / count`, NaN where nothing was counted."""
    return share(amount, count)


def trend(recent: Floats, both: Floats) -> Floats:
    """How the recent window compares with the equally long one before it, in [-1, 1]: (r - e) / (r + e + 1).

    `both` covers the two windows together. 0 where nothing happened in either.
    """
    earlier = both - recent
    return (recent - earlier) / (recent + earlier + 1.0)


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
