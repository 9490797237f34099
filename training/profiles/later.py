"""What the list would have brought: the score learnt on earlier deals, judged on later ones."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from training.profiles.learn import learn
from training.profiles.observe import Observed
from training.profiles.rules import search
from training.profiles.samples import split
from training.profiles.weighing import exponents_of

SHARE_LISTED = 0.2
LEAST_DEALS, LEAST_WINS = 50, 10


@dataclass(frozen=True)
class Hindsight:
    """The first fifth of later deals as the earlier score would have ranked them; None where too few.

    Attributes:
        conversions_caught: share of the later wins in it.
        value_caught: share of the won amounts in it.
        band_ratio: won money for each hour spent in it over that of the last fifth.
        win_ratio: its win rate over that of the last fifth.
        deals: later deals looked at.
    """

    conversions_caught: float | None = None
    value_caught: float | None = None
    band_ratio: float | None = None
    win_ratio: float | None = None
    deals: int = 0


def hindsight(seen: Observed, weights: dict[str, float], *, seed: int = 0) -> Hindsight:
    """Learn on the deals before the cut only, rank those after it, and see what became of them."""
    periods = split(seen.samples, seed)
    cut = periods.cuts.get("win")
    if cut is None:
        return Hindsight()
    is_later = (seen.deals["created_at"] >= cut).to_numpy(bool)
    early, late = seen.deals[~is_later], seen.deals[is_later]
    if len(late) < LEAST_DEALS or late["won"].sum() < LEAST_WINS or early["won"].sum() < LEAST_WINS:
        return Hindsight(deals=len(late))
    rules = [c.rule for c in search(seen.frame, seen.account, periods.earlier, weights)]
    fit = learn(seen.frame, seen.account, early, periods.earlier, rules, seed=seed)
    fit = replace(fit, exponents=exponents_of(weights))
    scored = fit.score(seen.frame.iloc[late["row"].to_numpy(np.int64)])
    return replace(caught(scored["priority"].to_numpy(), late), deals=len(late))


def caught(score: np.ndarray, deals: pd.DataFrame) -> Hindsight:
    """Figures of a ranking of decided deals (`won`, `amount`, `hours`, `discount`) by a score (n,)."""
    order = np.argsort(-score, kind="stable")
    first = order[: max(round(SHARE_LISTED * len(order)), 1)]
    last = order[-len(first) :]
    won, amount = deals["won"].to_numpy(float), deals["amount"].fillna(0).to_numpy(float)
    money = won * amount * (1 - deals["discount"].fillna(0).to_numpy(float))
    hours = deals["hours"].fillna(deals["hours"].mean()).fillna(1.0).to_numpy(float)
    hourly = [money[rows].sum() / max(hours[rows].sum(), 1e-9) for rows in (first, last)]
    bottom = won[last].mean()
    return Hindsight(
        conversions_caught=float(won[first].sum() / won.sum()) if won.sum() else None,
        value_caught=float(money[first].sum() / money.sum()) if money.sum() else None,
        band_ratio=float(hourly[0] / hourly[1]) if hourly[1] > 0 else None,
        win_ratio=float(won[first].mean() / bottom) if bottom > 0 else None,
        deals=len(deals),
    )
