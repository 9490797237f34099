"""One pass over a CRM: prospects and outcomes, the profiles that hold up, and the fit score.

From prospects and outcomes to the profiles that hold up.

Profiles and their periods as JSON knows them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from features.crm.crm import Crm
from features.progress import Say, silent
from features.settings import Settings
from training.icp.fit_learning import Hindsight, hindsight, learn
from training.icp.fit_score import Fit
from training.icp.prospect_outcomes import UNITS, Periods, Sample, checked_weights, split
from training.icp.prospects import Observed, observe
from training.icp.rule_search import Candidate, Utility, distinct, search, thinned
from training.icp.rule_validation import Judged, Measure, judge
from training.icp.rules import Rule
from training.icp.weights import exponents_of


@dataclass(frozen=True)
class Found:
    """What the search came to.

    Attributes:
        candidates: rules carried to the later period, as they stood in the earlier.
        judged: the same rules there, in the same order.
        claimed: those that hold up, best (highest lower limit) first, each adding to those before it.
        merged: how many more hold up, but say nothing beyond those claimed.
        periods: the samples, cut in two.
    """

    candidates: list[Candidate]
    judged: list[Judged]
    claimed: list[Judged]
    merged: int
    periods: Periods


def discover(
    frame: pd.DataFrame,
    account: np.ndarray,
    samples: Sequence[Sample],
    weights: dict[str, float],
    *,
    seed: int = 0,
    say: Say = silent,
) -> Found:
    """Find rules on the earlier period and judge them on the later.

    Args:
        frame: (rows, attributes) prospects.
        account: (rows,) account codes, the same as in the samples.
        samples: the outcomes.
        weights: by outcome, summing to 1.
        seed: of the bootstrap, and of the halves where data are undated.
    """
    periods = split(list(samples), seed)
    say("searching rules on the earlier period")
    candidates = search(frame, account, periods.earlier, weights)
    scale = {s.name: float(s.value.std()) for s in periods.earlier if len(s)}
    say(f"judging {len(candidates)} rules on the later period")
    rules = [candidate.rule for candidate in candidates]
    judged = judge(frame, rules, periods.later, scale, weights, seed, periods.earlier if periods.cuts else ())
    holding = sorted((j for j in judged if j.holds_up), key=lambda j: -j.low)
    utility = Utility(thinned(periods.earlier), weights, account)
    members = [j.rule.covers(frame[utility.has_outcome]) for j in holding]
    price = {candidate.rule: candidate.price for candidate in candidates}
    claimed = distinct(utility, members, [price[j.rule] for j in holding])
    return Found(candidates, judged, [holding[k] for k in claimed], len(holding) - len(claimed), periods)


@dataclass(frozen=True)
class Study:
    """What a CRM teaches about its customers.

    Attributes:
        observed: prospects and outcomes.
        findings: rules carried, judged and claimed.
        fit: the score.
        weights: of the outcomes, summing to 1.
    """

    observed: Observed
    findings: Found
    fit: Fit
    weights: dict[str, float]

    @property
    def profiles(self) -> tuple[Rule, ...]:
        """The rules that hold up, best first."""
        return tuple(judged.rule for judged in self.findings.claimed)

    def hindsight(self, *, seed: int = 0) -> Hindsight:
        """How the deals after the cut ended, ranked by a score that saw only those before it."""
        rules = [candidate.rule for candidate in self.findings.candidates]
        return hindsight(self.observed, self.findings.periods, rules, self.weights, seed=seed)


def study(
    crm: Crm, settings: Settings, weights: Mapping[str, float] | None = None, say: Say = silent
) -> Study:
    """Observe, discover and learn; raises as these do."""
    complete = checked_weights(weights)
    return study_of(observe(crm, settings, say), complete, settings.seed, say)


def study_of(observed: Observed, weights: dict[str, float], seed: int = 0, say: Say = silent) -> Study:
    """Discover and learn from what was observed.

    Args:
        observed: prospects and outcomes.
        weights: by outcome, summing to 1.
        seed: of the bootstrap and the folds.
        say: called with each line of progress.
    """
    findings = discover(observed.frame, observed.account, observed.samples, weights, seed=seed, say=say)
    rules = [candidate.rule for candidate in findings.candidates]
    say("learning the fit score")
    fit = learn(observed.frame, observed.account, observed.deals, observed.samples, rules, seed=seed)
    holding = tuple(judged.rule for judged in findings.claimed)
    fit = replace(fit, profiles=holding, kinds=observed.kinds, exponents=exponents_of(weights))
    return Study(observed, findings, fit, weights)


LIFT_IS = (
    "an outcome's lift is its mean inside over everybody's in the later period; the score's lift is the "
    "weighted difference from everybody in standard deviations; limits are 95 % for all rules together"
)


def profile_facts(judged: Judged, observed: Observed, findings: Found) -> dict[str, Any]:
    """One profile: its rule, how many fulfil it, and what was measured in the later period."""
    spread = {s.name: float(s.value.std()) for s in findings.periods.earlier if len(s)}
    inside = np.unique(observed.account[judged.rule.covers(observed.frame)])
    return {
        "rule": judged.rule.words,
        "conditions": [condition.as_dict() for condition in judged.rule.conditions],
        "n": judged.accounts,
        "accounts": len(inside),
        "share": len(inside) / max(len(np.unique(observed.account)), 1),
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


def flat_rows(profiles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a profile and outcome, for files."""
    rows = []
    for place, profile in enumerate(profiles, start=1):
        head = {"place": place, "rule": profile["rule"], "accounts": profile["accounts"]}
        head |= {"share": profile["share"]}
        score = {"outcome": "score", "value": None, "everyone": None, **profile["score"], "n": profile["n"]}
        rows.append({**head, **score, "unit": "standard deviations"})
        rows += [{**head, "outcome": name, **measure} for name, measure in profile["outcomes"].items()]
    return rows


def period_facts(observed: Observed, findings: Found) -> dict[str, Any]:
    """From when to when outcomes were seen, and from when on each was measured."""
    moments = np.concatenate([s.at for s in observed.samples])
    moments = moments[~np.isnat(moments)]
    return {
        "from": str(moments.min())[:10] if len(moments) else None,
        "measured_from": {name: f"{cut:%Y-%m-%d}" for name, cut in findings.periods.cuts.items()},
        "to": str(moments.max())[:10] if len(moments) else None,
    }


def notes_of(findings: Found) -> list[str]:
    """What a reader of the profiles has to know."""
    notes = []
    if not findings.periods.cuts:
        notes.append(
            "data have no dates: rules were found on half of the accounts and measured on the other half"
        )
    carried = len(findings.candidates)
    if not carried:
        notes.append("no rule stood out in the earlier period")
    elif not findings.claimed:
        notes.append(f"none of {carried} rules that stood out earlier holds up on the later data")
    if findings.merged:
        noun, verb, say = ("rule", "holds", "says") if findings.merged == 1 else ("rules", "hold", "say")
        notes.append(
            f"{findings.merged} more {noun} {verb} up too but {say} nothing beyond the profiles shown"
        )
    return notes
