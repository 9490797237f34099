"""Ideal customer profiles: which kinds of customers win with little effort and discount and renew uncalled.

Four outcomes count (design, section 8). Rules are found on the earlier period and judged on the later one
(`profiles.discover`); a score for any prospect (`profiles.fit`) ranks the targeting list.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.crm import Crm
from features.progress import Say, silent
from features.settings import Settings
from training.profiles.candidates import Candidates, from_crm, from_file
from training.profiles.discover import Found, discover
from training.profiles.fit import Fit, first_rules
from training.profiles.judge import Judged, Measure
from training.profiles.later import SHARE_LISTED, hindsight
from training.profiles.learn import learn
from training.profiles.observe import Observed, observe
from training.profiles.samples import UNITS, checked_weights

LIFT_IS = (
    "an outcome's lift is its mean inside over everybody's in the later period; the score's lift is the "
    "weighted difference from everybody in standard deviations; limits are 95 % for all rules together"
)


def profiles(
    crm: Crm, settings: Settings, *, weights: Mapping[str, float] | None = None, say: Say = silent
) -> dict[str, Any]:
    """The profiles that hold up, best first.

    Args:
        crm: the CRM.
        settings: seed and threads.
        weights: of `win`, `effort`, `discount`, `renews by itself`; those not given keep their default.
        say: told each step.

    Returns:
        `profiles` (rule, conditions, n, accounts, share, outcomes → value, everyone, lift, low, high, n,
        unit; score → lift, low, high), `carried`, `period`, `weights`, `notes`, `lift_is`.

    Raises:
        RenewalError: accounts tell nothing of a prospect, too few outcomes, or weights that make no sense.
    """
    told = checked_weights(weights)
    seen = observe(crm, settings, say)
    found = discover(seen.frame, seen.account, seen.samples, told, seed=settings.seed, say=say)
    return {
        "profiles": [_profile(judged, seen) for judged in found.claimed],
        "carried": len(found.candidates),
        "period": _period(seen, found),
        "weights": told,
        "notes": [*seen.notes, *_notes(found)],
        "lift_is": LIFT_IS,
    }


def fit(
    crm: Crm, settings: Settings, *, weights: Mapping[str, float] | None = None, say: Say = silent
) -> Fit:
    """A score for any prospect: `Fit.read` takes what is told of them, `Fit.score` and `Fit.reasons` answer.

    It is kept as JSON by `Fit.as_dict`. Raises as `profiles` does.
    """
    return _study(crm, settings, weights, say).fit


def fit_rows(scorer: Fit, told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each record (attributes by name, all may be missing; `id` or `account_id` comes back) with its fit."""
    frame = pd.DataFrame(told, index=range(len(told)))
    ids = next(
        (frame[name] for name in ("id", "account_id", "name") if name in frame), frame.index.to_series()
    )
    who = pd.DataFrame({"id": ids.astype(object), "name": frame.get("name"), "kind": "company"})
    return _rows(scorer, who, scorer.read(frame))


def targets(
    crm: Crm,
    settings: Settings,
    *,
    companies: Path | None = None,
    weights: Mapping[str, float] | None = None,
    limit: int | None = None,
    say: Say = silent,
) -> dict[str, Any]:
    """The targeting list: who is worth most for each hour of effort, first.

    Args:
        crm: the CRM.
        settings: seed and threads.
        companies: a file of companies to rank in place of the CRM's leads, prospects and accounts.
        weights: as in `profiles`.
        limit: at most so many rows.
        say: told each step.

    Returns:
        `rows` (id, name, kind, fit, profile, reasons, expected_value, expected_effort_hours, value_per_hour,
        win,
        listed), `share_listed`, `conversions_caught`, `value_caught`, `band_ratio` (all on later deals; None
        where too few), `left_out`, `notes`.

    Raises:
        RenewalError: as `profiles` does, or the file of companies can't be used.
    """
    study = _study(crm, settings, weights, say)
    scorer, seen = study.fit, study.seen
    may = from_file(companies, crm, scorer) if companies else from_crm(crm, seen.today, scorer.attributes)
    say(f"ranking {len(may.who):,}")
    before = hindsight(seen, study.weights, seed=settings.seed)
    return {
        "rows": _ranked(scorer, may, limit),
        "share_listed": SHARE_LISTED,
        "conversions_caught": before.conversions_caught,
        "value_caught": before.value_caught,
        "band_ratio": before.band_ratio,
        "later_deals": before.deals,
        "left_out": may.left_out,
        "weights": study.weights,
        "notes": [*may.notes, *scorer.notes, *seen.notes],
    }


@dataclass(frozen=True)
class _Study:
    """One pass over a CRM: prospects, profiles and score."""

    seen: Observed
    found: Found
    fit: Fit
    weights: dict[str, float]


def _study(crm: Crm, settings: Settings, weights: Mapping[str, float] | None, say: Say) -> _Study:
    told = checked_weights(weights)
    seen = observe(crm, settings, say)
    found = discover(seen.frame, seen.account, seen.samples, told, seed=settings.seed, say=say)
    rules = [candidate.rule for candidate in found.candidates]
    say("learning the fit score")
    scorer = learn(seen.frame, seen.account, seen.deals, seen.samples, rules, seed=settings.seed)
    holding = tuple(judged.rule for judged in found.claimed)
    return _Study(seen, found, replace(scorer, profiles=holding, kinds=seen.kinds), told)


def _ranked(scorer: Fit, may: Candidates, limit: int | None) -> list[dict[str, Any]]:
    hourly = scorer.score(may.frame)["value_per_hour"].to_numpy()
    order = np.argsort(-hourly, kind="stable")
    listed = round(SHARE_LISTED * len(order))
    shown = order[:limit]
    rows = _rows(scorer, may.who.iloc[shown], may.frame.iloc[shown])
    return [{**row, "listed": place < listed} for place, row in enumerate(rows)]


def _rows(scorer: Fit, who: pd.DataFrame, frame: pd.DataFrame) -> list[dict[str, Any]]:
    scored = scorer.score(frame)
    told = who[["id", "name", "kind"]].reset_index(drop=True)
    told = told.astype(object).where(told.notna(), None)
    told["fit"] = scored["fit"].to_numpy()
    told["profile"] = first_rules(scorer.profiles, frame)
    told["reasons"] = pd.Series(scorer.reasons(frame), dtype=object)
    for name in ("expected_value", "expected_effort_hours", "value_per_hour", "win"):
        told[name] = scored[name].to_numpy()
    rows: list[Any] = told.to_dict("records")
    return rows


def _profile(judged: Judged, seen: Observed) -> dict[str, Any]:
    inside = np.unique(seen.account[judged.rule.covers(seen.frame)])
    return {
        "rule": judged.rule.words,
        "conditions": [condition.as_dict() for condition in judged.rule.conditions],
        "n": judged.accounts,
        "accounts": len(inside),
        "share": len(inside) / max(len(np.unique(seen.account)), 1),
        "score": {"lift": judged.lift, "low": judged.low, "high": judged.high},
        "outcomes": {name: _outcome(name, measure) for name, measure in judged.outcomes.items()},
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


def _period(seen: Observed, found: Found) -> dict[str, Any]:
    moments = np.concatenate([s.at for s in seen.samples])
    moments = moments[~np.isnat(moments)]
    return {
        "from": str(moments.min())[:10] if len(moments) else None,
        "measured_from": {name: f"{cut:%Y-%m-%d}" for name, cut in found.periods.cuts.items()},
        "to": str(moments.max())[:10] if len(moments) else None,
    }


def _notes(found: Found) -> list[str]:
    notes = []
    if not found.periods.cuts:
        notes.append(
            "data have no dates: rules were found on half of the accounts and measured on the other half"
        )
    if not found.claimed:
        notes.append(
            f"none of {len(found.candidates)} rules that stood out earlier holds up on the later data"
        )
    return notes
