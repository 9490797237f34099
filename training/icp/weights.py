"""The user's weights: read from words, and what they do to the list and to the order of profiles.

    priority = amount · win^a · (1 − discount)^b · (1 + r + r²)^c / hours^d

An exponent is a weight over its default, so that by default the priority is money for each hour of effort.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from features.errors import RenewalError
from training.icp.grades import grades_of
from training.icp.prospect_outcomes import DEFAULT_WEIGHTS, SIGN, checked_weights

PARTS = {"win": "win", "effort": "effort", "discount": "discount", "renewal": "renews without contact"}
"""Part of the fit score (and what a user writes) → the outcome it speaks of."""
SPELLED = {**PARTS, "renews": "renews without contact", "renews without contact": "renews without contact"}
DEFAULT_WORDS = ",".join(f"{part}={DEFAULT_WEIGHTS[outcome]:g}" for part, outcome in PARTS.items())


def read_weights(text: str | None) -> dict[str, float] | None:
    """Weights as written on a command line, `win=1,effort=.5`; None where none are given.

    Raises:
        RenewalError: not of that form, an unknown name, one named twice, or no number of 0 or more.
    """
    if text is None:
        return None
    parsed: dict[str, float] = {}
    for piece in text.split(","):
        name, _, value = (part.strip().lower() for part in piece.partition("="))
        outcome = SPELLED.get(name)
        number = _number(value)
        if outcome is None or outcome in parsed or number is None:
            raise RenewalError(
                expected=f"weights like {DEFAULT_WORDS} (any of them, each once, 0 or more)",
                found=repr(piece.strip()),
                do="Change the weights; what is not named keeps the default written here.",
            )
        parsed[outcome] = number
    checked_weights(parsed)
    return parsed


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if np.isfinite(value) and value >= 0 else None


def exponents_of(weights: Mapping[str, float]) -> dict[str, float]:
    """Part of the score → its exponent; all 1 at the default weights. `weights` by outcome, summing to 1."""
    return {part: weights[outcome] / DEFAULT_WEIGHTS[outcome] for part, outcome in PARTS.items()}


def priority(parts: Mapping[str, Any], exponents: Mapping[str, float]) -> np.ndarray:
    """(n,) what the list is ordered by; money for each hour where all exponents are 1.

    Args:
        parts: win, amount, discount, renewal and effort, (n,) each.
        exponents: by part; those not given are 1.
    """
    win, amount, discount, r, hours = (
        np.asarray(parts[name], float) for name in ("win", "amount", "discount", "renewal", "effort")
    )
    a, b, c, d = (exponents.get(name, 1.0) for name in ("win", "discount", "renewal", "effort"))
    return amount * win**a * (1 - discount) ** b * (1 + r + r**2) ** c / hours**d


def reweighted(listed: dict[str, Any], fit: Any, weights: Mapping[str, float]) -> dict[str, Any]:
    """A list as it would stand under other weights, from its rows as they are.

    Args:
        listed: as `icp.targets` gives it; only the rows in it can move.
        fit: the score (`fit.Fit`) that made it.
        weights: by outcome, summing to 1.
    """
    rows = pd.DataFrame(listed["rows"])
    if rows.empty:
        return listed
    other = replace(fit, exponents=exponents_of(weights))
    parts = {**{name: rows[name] for name in ("win", "amount", "discount", "renewal")},
             "effort": rows["expected_effort_hours"]}  # fmt: skip
    worth = priority(parts, other.exponents)
    order = np.lexsort((-worth, (rows["kind"] == "account").to_numpy(bool)))
    share = other.exceeded(worth)
    grades = grades_of(share)
    first = sum(bool(row["listed"]) for row in listed["rows"])
    reweighted_rows = [
        {**listed["rows"][at], "fit": float(share[at]), "grade": grades[at], "listed": place < first}
        for place, at in enumerate(order)
    ]
    return {**listed, "rows": reweighted_rows, "weights": dict(weights)}


def reordered(profiles: list[dict[str, Any]], weights: Mapping[str, float]) -> list[dict[str, Any]]:
    """Profiles by their score's lift under other weights, best first, each with that `score`.

    Its limits are not known for other weights than those the rules were judged with: they come out None.
    """
    scored = [{**profile, "score": _score(profile["outcomes"], weights)} for profile in profiles]
    return sorted(scored, key=lambda profile: -profile["score"]["lift"])


def _score(outcomes: Mapping[str, Mapping[str, Any]], weights: Mapping[str, float]) -> dict[str, Any]:
    lift = sum(
        weights[name] * SIGN[name] * (one["value"] - one["everyone"]) / one["spread"]
        for name, one in outcomes.items()
        if one["value"] is not None and one["everyone"] is not None and one["spread"]
    )
    return {"lift": lift, "low": None, "high": None}
