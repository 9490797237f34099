"""What was seen place by place: each outcome's mean in a region, country or postal area, with its interval.

A description, not a claim: intervals are 95 % each by itself, and nothing here chooses anybody.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from training.profiles.conditions import attribute_words
from training.profiles.observe import Observed
from training.profiles.samples import UNITS, Sample

PLACES = ("region", "country", "postal_area")
LEAST_ACCOUNTS = 30
MOST_PLACES = 12
Z = 1.96


def places(seen: Observed) -> list[dict[str, Any]]:
    """One entry a place attribute and outcome.

    Returns:
        Dicts of `attribute`, `outcome`, `unit`, `everyone` (mean of all) and `rows`: value, accounts, n,
        mean, low, high of the places with 30 accounts or more, by number of accounts, at most twelve.
    """
    told = []
    for attribute in PLACES:
        if attribute not in seen.frame:
            continue
        place = seen.frame[attribute].astype(object)
        for sample in seen.samples:
            rows = _rows(place, sample)
            if len(rows) > 1:
                everyone = float(sample.value.mean())
                told.append(
                    {
                        "attribute": attribute_words(attribute),
                        "outcome": sample.name,
                        "unit": UNITS[sample.name],
                        "everyone": everyone,
                        "rows": rows,
                    }
                )
    return told


def _rows(place: pd.Series, sample: Sample) -> list[dict[str, Any]]:
    where = place.to_numpy(object)[sample.row]
    levels: Sequence[Any] = [level for level in pd.unique(where) if level is not None and level == level]
    rows = [_row(str(level), sample.take(where == level)) for level in levels]
    rows = [row for row in rows if row["accounts"] >= LEAST_ACCOUNTS]
    return sorted(rows, key=lambda row: (-row["accounts"], row["value"]))[:MOST_PLACES]


def _row(value: str, sample: Sample) -> dict[str, Any]:
    """The mean with an interval that counts accounts, not rows."""
    codes, at = np.unique(sample.account, return_inverse=True)
    mean, n, accounts = float(sample.value.mean()), len(sample), len(codes)
    off = np.bincount(at, weights=sample.value - mean)
    error = float(np.sqrt((off**2).sum() * accounts / max(accounts - 1, 1))) / n
    return {
        "value": value,
        "accounts": accounts,
        "n": n,
        "mean": mean,
        "low": mean - Z * error,
        "high": mean + Z * error,
    }
