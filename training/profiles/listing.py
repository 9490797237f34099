"""The targeting list: candidates in the order of what they are worth for each hour of effort, as weighted."""

from typing import Any

import numpy as np
import pandas as pd

from training.profiles.candidates import Candidates
from training.profiles.fit import Fit, first_rules
from training.profiles.later import SHARE_LISTED

MOST_REASONED = 20_000
"""Rows of a list that come with reasons: nobody reads further, and words cost more than numbers."""
FIGURES = (
    "expected_value", "expected_effort_hours", "value_per_hour", "win", "amount", "discount", "renewal",
)  # fmt: skip


def order_of(fit: Fit, frame: pd.DataFrame) -> np.ndarray:
    """(n,) positions, the best first; ties keep their order."""
    return np.argsort(-fit.score(frame)["priority"].to_numpy(), kind="stable")


def listed_of(order: np.ndarray) -> np.ndarray:
    """(n,) bool: the first fifth of an order."""
    listed = np.zeros(len(order), bool)
    listed[order[: round(SHARE_LISTED * len(order))]] = True
    return listed


def ranked(fit: Fit, may: Candidates, limit: int | None = None) -> list[dict[str, Any]]:
    """The first `limit` rows of the list, those in its first fifth marked `listed`."""
    order = order_of(fit, may.frame)
    is_listed = listed_of(order)[order]
    rows = told_rows(fit, may.who.iloc[order[:limit]], may.frame.iloc[order[:limit]])
    return [{**row, "listed": bool(here)} for row, here in zip(rows, is_listed, strict=False)]


def told_rows(fit: Fit, who: pd.DataFrame, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Each prospect's fit, profile, reasons and expectations beside who it is."""
    scored = fit.score(frame)
    figures = [scored[name].tolist() for name in ("fit", *FIGURES)]
    known = who[["id", "name", "kind"]].astype(object)
    known = known.where(known.notna(), None)
    profiles, reasons = first_rules(fit.profiles, frame), fit.reasons(frame.iloc[:MOST_REASONED])
    reasons += [[] for _ in range(len(frame) - len(reasons))]
    columns = [known[name].tolist() for name in known] + [profiles.tolist(), reasons, *figures]
    names = ("id", "name", "kind", "profile", "reasons", "fit", *FIGURES)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
