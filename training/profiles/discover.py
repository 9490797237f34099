"""From prospects and outcomes to the profiles that hold up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.progress import Say, silent
from training.profiles.judge import Judged, judge
from training.profiles.merging import distinct
from training.profiles.rules import Candidate, Utility, search, thinned
from training.profiles.samples import Periods, Sample, split


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
    members = [j.rule.covers(frame[utility.seen]) for j in holding]
    price = {candidate.rule: candidate.price for candidate in candidates}
    kept = distinct(utility, members, [price[j.rule] for j in holding])
    return Found(candidates, judged, [holding[k] for k in kept], len(holding) - len(kept), periods)
