"""Fit as a grade from A to E, and what each grade has meant on deals the score had not seen.

A grade is a fifth of the CRM's own accounts: A exceeds at least 80 % of them. What it is worth is measured on
later deals by a score learned on earlier ones alone.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from training.fairness.group_metrics import interval

GRADES = "ABCDE"
FROM = (0.8, 0.6, 0.4, 0.2, 0.0)
"""Share of own accounts exceeded from which on a grade is given."""

LEAST_DEALS = 20
"""Later deals of a grade below which its win rate is not reported."""

LEVEL = 0.9


def grades_of(fit: np.ndarray) -> list[str]:
    """The grade of each fit (n,)."""
    return [
        GRADES[int(place)]
        for place in np.searchsorted(-np.array(FROM), -np.asarray(fit, float), "left").clip(0, 4)
    ]


def at_least(rows: Sequence[dict[str, Any]], grade: str | None) -> list[dict[str, Any]]:
    """Rows with this grade or a better one; all where none is asked for."""
    if not grade:
        return list(rows)
    return [row for row in rows if row["grade"] <= grade.upper()]


def meaning(fit: np.ndarray, deals: pd.DataFrame, money: np.ndarray) -> list[dict[str, Any]]:
    """What became of later deals by grade.

    Args:
        fit: (n,) of each deal, by a score that had not seen it.
        deals: `won` (0/1) of each.
        money: (n,) won of each, 0 where lost.

    Returns:
        A dict a grade: grade, fit_from, deals, share_of_deals, wins, win_rate, low, high (90 %, None where
        fewer than 20 deals), share_of_wins, share_of_money, why.
    """
    grade, won = np.array(grades_of(fit)), deals["won"].to_numpy(float)
    rows = []
    for name, begins in zip(GRADES, FROM, strict=True):
        here = grade == name
        n, wins = int(here.sum()), float(won[here].sum())
        rate = wins / n if n >= LEAST_DEALS else None
        low, high = (
            (None, None)
            if rate is None
            else interval(rate, float(np.sqrt(rate * (1 - rate))), n, True, LEVEL)
        )
        rows.append(
            {
                "grade": name,
                "fit_from": begins,
                "deals": n,
                "share_of_deals": n / max(len(won), 1),
                "wins": int(wins),
                "win_rate": rate,
                "low": low,
                "high": high,
                "share_of_wins": float(won[here].sum() / won.sum()) if won.sum() else None,
                "share_of_money": float(money[here].sum() / money.sum()) if money.sum() else None,
                "why": ""
                if rate is not None
                else f"{n} later deals, {LEAST_DEALS} are needed: too little data",
            }
        )
    return rows
