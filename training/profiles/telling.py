"""Profiles and their periods as JSON knows them."""

from typing import Any

import numpy as np

from training.profiles.discover import Found
from training.profiles.judge import Judged, Measure
from training.profiles.observe import Observed
from training.profiles.samples import UNITS

LIFT_IS = (
    "an outcome's lift is its mean inside over everybody's in the later period; the score's lift is the "
    "weighted difference from everybody in standard deviations; limits are 95 % for all rules together"
)


def told_profile(judged: Judged, seen: Observed, found: Found) -> dict[str, Any]:
    """One profile: its rule, how many fulfil it, and what was measured in the later period."""
    spread = {s.name: float(s.value.std()) for s in found.periods.earlier if len(s)}
    inside = np.unique(seen.account[judged.rule.covers(seen.frame)])
    return {
        "rule": judged.rule.words,
        "conditions": [condition.as_dict() for condition in judged.rule.conditions],
        "n": judged.accounts,
        "accounts": len(inside),
        "share": len(inside) / max(len(np.unique(seen.account)), 1),
        "score": {"lift": judged.lift, "low": judged.low, "high": judged.high},
        "outcomes": {
            name: {**_outcome(name, measure), "spread": spread.get(name)}
            for name, measure in judged.outcomes.items()
        },
    }


def _outcome(name: str, measure: Measure) -> dict[str, Any]:
    return {
        "value": measure.value,
        "everyone": measure.everyone,
        "lift": measure.lift,
        "low": measure.low,
        "high": measure.high,
        "n": measure.n,
        "unit": UNITS[name],
    }


def flat_rows(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a profile and outcome, for files."""
    rows = []
    for place, profile in enumerate(told, start=1):
        head = {"place": place, "rule": profile["rule"], "accounts": profile["accounts"]}
        head |= {"share": profile["share"]}
        score = {"outcome": "score", "value": None, "everyone": None, **profile["score"], "n": profile["n"]}
        rows.append({**head, **score, "unit": "standard deviations"})
        rows += [{**head, "outcome": name, **measure} for name, measure in profile["outcomes"].items()]
    return rows


def told_period(seen: Observed, found: Found) -> dict[str, Any]:
    """From when to when outcomes were seen, and from when on each was measured."""
    moments = np.concatenate([s.at for s in seen.samples])
    moments = moments[~np.isnat(moments)]
    return {
        "from": str(moments.min())[:10] if len(moments) else None,
        "measured_from": {name: f"{cut:%Y-%m-%d}" for name, cut in found.periods.cuts.items()},
        "to": str(moments.max())[:10] if len(moments) else None,
    }


def notes_of(found: Found) -> list[str]:
    """What a reader of the profiles has to know."""
    notes = []
    if not found.periods.cuts:
        notes.append(
            "data have no dates: rules were found on half of the accounts and measured on the other half"
        )
    carried = len(found.candidates)
    if not carried:
        notes.append("no rule stood out in the earlier period")
    elif not found.claimed:
        notes.append(f"none of {carried} rules that stood out earlier holds up on the later data")
    if found.merged:
        noun, verb, say = ("rule", "holds", "says") if found.merged == 1 else ("rules", "hold", "say")
        notes.append(f"{found.merged} more {noun} {verb} up too but {say} nothing beyond the profiles told")
    return notes
