"""How an experiment stands: effects with intervals that hold at every look, power so far, and a sentence."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from features.kernel import DAY
from training.effects.always_valid import chance_found, half_width, mixing_variance, p_values
from training.effects.arms import ADVICE, USUAL
from training.effects.contacts import micros
from training.effects.randomised import LEAST_CLUSTERS, Outcomes, Path, path, treated_interval

SHOWN_LOOKS = 60
DAYS_A_MONTH = 365.25 / 12


def verdict(rows: pd.DataFrame, facts: Mapping[str, Any], until: pd.Timestamp) -> dict[str, Any]:
    """What subjects whose outcome is known say, looked at every day from the start.

    Args:
        rows: those who joined: cluster, stratum, arm, matures_at, known_at, y (NaN: not known), treated.
        facts: of the experiment: `gap`, `followed`, `level`, `power`, `needed`, `as_of`.
        until: the day of the data.

    Returns:
        `arms` (usual, advice: accounts, clusters, joined, known, overdue, rate, treated), `drawn` (the effect
        of being drawn: estimate, low, high, p), `treated` (of being treated, on those who follow the draw:
        estimate, low, high), `uptake` (what the draw changes in treatment), `decided_on` (the first day on
        which chance was ruled out), `chance_to_find` (to have found the gap by `now`, and once all who
        `joined` are known), `outcomes_known`, `needed`, `months_left`, `history`, `verdict`, `why`.
        Numbers are None where too little is known.
    """
    decided = rows[rows["y"].notna()]
    outcomes = Outcomes(
        pd.factorize(decided["cluster"])[0],
        (decided["arm"] == ADVICE).to_numpy(int),
        pd.factorize(decided["stratum"])[0],
        _day(decided["known_at"]),
        decided["y"].to_numpy(float),
        decided["treated"].to_numpy(float),
    )
    first, last = _day(pd.Series([pd.Timestamp(facts["as_of"]), until]))
    estimates = path(outcomes, np.arange(first, last + 1))
    level, gap = facts["level"], facts["gap"] * facts["followed"]
    mixing = mixing_variance(gap, level, facts["power"])
    half = half_width(estimates.variance, mixing, level)
    sure = np.flatnonzero(np.abs(estimates.effect) > half)
    summary = {
        "arms": {arm: _arm(rows[rows["arm"] == arm], until) for arm in (USUAL, ADVICE)},
        "drawn": {
            **_ends(estimates.effect[-1], estimates.effect[-1] - half[-1], estimates.effect[-1] + half[-1]),
            "p": _number(p_values(estimates.effect, estimates.variance, mixing)[-1])
            if np.isfinite(estimates.effect[-1])
            else None,
        },
        "treated": _ends(*treated_interval(estimates, -1, mixing, level)),
        "uptake": _number(estimates.uptake[-1]),
        "decided_on": str(_date(estimates.days[sure[0]])) if len(sure) else None,
        "chance_to_find": _power(estimates, gap, mixing, level, len(rows), len(decided)),
        "outcomes_known": len(decided),
        "needed": facts["needed"],
        "months_left": _months_left(len(decided), facts["needed"], last - first),
        "history": _history(estimates, half),
    }
    effect = estimates.effect[sure[0]] if len(sure) else None
    return {**summary, "verdict": _verdict(effect), "why": _words(summary, effect, facts)}


def _arm(rows: pd.DataFrame, until: pd.Timestamp) -> dict[str, Any]:
    decided = rows[rows["y"].notna()]
    overdue = rows["y"].isna() & (rows["matures_at"] <= until)
    return {
        "accounts": int(rows["account_id"].nunique()),
        "clusters": int(rows["cluster"].nunique()),
        "joined": len(rows),
        "known": len(decided),
        "overdue": int(overdue.sum()),
        "rate": _number(decided["y"].mean()),
        "treated": _number(decided["treated"].mean()),
    }


def _power(
    estimates: Path, gap: float, mixing: float, level: float, joined: int, decided: int
) -> dict[str, float | None]:
    """Chance that the gap is found by now, and once all who joined are known, information growing alike."""
    information = np.nan_to_num(1 / estimates.variance)
    if information[-1] <= 0:
        return {"now": None, "joined": None}
    final = information[-1] * joined / decided
    ahead = np.linspace(information[-1], final, 50)[1:]
    chance = chance_found(gap, np.concatenate([information, ahead]), mixing, level)
    return {"now": _number(chance[len(information) - 1]), "joined": _number(chance[-1])}


def _months_left(decided: int, needed: int, days: int) -> float | None:
    """Until as many outcomes are known as were planned, at the pace so far."""
    if decided == 0 or days <= 0:
        return None
    return round(max(needed - decided, 0) / (decided / days) / DAYS_A_MONTH, 1)


def _history(estimates: Path, half: np.ndarray) -> list[dict[str, Any]]:
    """Some sixty looks, the last among them: day, estimate, low, high."""
    looks = np.flatnonzero(np.isfinite(estimates.effect))
    looks = looks[:: -max(len(looks) // SHOWN_LOOKS, 1)][::-1]
    return [
        {
            "day": str(_date(estimates.days[t])),
            **_ends(estimates.effect[t], estimates.effect[t] - half[t], estimates.effect[t] + half[t]),
        }
        for t in looks
    ]


def _verdict(effect: float | None) -> str:
    if effect is None:
        return "too early to tell"
    return "the advice is better" if effect > 0 else "usual practice is better"


def _words(summary: Mapping[str, Any], effect: float | None, facts: Mapping[str, Any]) -> str:
    drawn = summary["drawn"]
    if drawn["estimate"] is None:
        fewest = min(arm["known"] for arm in summary["arms"].values())
        return (
            f"can't tell yet: outcomes of {LEAST_CLUSTERS} customers in each arm are needed before anything "
            f"is read from them, and of {facts['needed']:,} contracts or deals in all; known: {fewest:,} in "
            "the smaller arm"
        )
    sentence = (
        f"drawn for the advice: {100 * drawn['estimate']:+.1f} points "
        f"({100 * drawn['low']:+.1f} to {100 * drawn['high']:+.1f}, "
        f"{1 - facts['level']:.0%} whenever one looks)"
    ).replace("-", "−")
    if effect is None:
        return f"{sentence}; may still be chance"
    return f"{sentence}; beyond chance since {summary['decided_on']}: {_verdict(effect)}"


def _ends(estimate: float, low: float, high: float) -> dict[str, float | None]:
    """An estimate and its interval, within what differences of probabilities can be."""
    if not np.isfinite(estimate):
        return {"estimate": None, "low": None, "high": None}
    low, high = max(float(low), -1.0), min(float(high), 1.0)
    return {"estimate": _number(estimate), "low": _number(low), "high": _number(high)}


def _number(value: float) -> float | None:
    return round(float(value), 5) if value is not None and np.isfinite(value) else None


def _day(moments: pd.Series) -> np.ndarray:
    """(n,) the first whole day on which what became known at these moments counts."""
    return -(-micros(moments) // DAY)


def _date(day: int) -> np.datetime64:
    return np.datetime64(int(day), "D")
