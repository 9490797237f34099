"""What a reason is about, what is usual for this very customer, and what a team can do about it.

One reason is given for each theme, a touchpoint such as support or product use. What describes the seller
more than the customer (how many contracts the owner looks after) is never a reason, nor is a sum of rates.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from features.catalog.declare import Info


class Theme(NamedTuple):
    """A theme's name for people, and what can be done where it lowers the probability; None: nothing."""

    subject: str
    action: str | None = None


THEMES = {
    "sales contact": Theme("Contact", "arrange a call or a meeting; see the best time for it"),
    "support": Theme("Support", "see that its cases are settled, and tell the customer so"),
    "survey": Theme("Satisfaction", "ask what was behind the answer"),
    "usage": Theme("Product use", "show what is not used, offer training"),
    "invoices": Theme("Payment", "go through their invoices with their finance people"),
    "quotes": Theme("Price", "talk about the price; see what a discount is estimated to change"),
    "campaigns": Theme("Marketing", "invite them in person"),
    "pipeline": Theme("Deals", "agree the next step and its date"),
    "contract": Theme("History"),
    "contracts": Theme("Contract"),
    "accounts": Theme("Company"),
    "opportunities": Theme("Deal"),
    "leads": Theme("Leads"),
}
SELLER = "owner"
"""The touchpoint of what is counted over the owner's other contracts and deals."""

RATE = re.compile(r"\b(pct|percent|percentage|rate|ratio|share|score|index|average|avg)\b")
PER_CENT = re.compile(r"\s*\b(pct|percent|percentage)\b")
TREND = re.compile(r"(?P<what>.+), last (?P<days>\d+) days against (?P=days) before")
TREND_NAME = re.compile(r"(?P<stem>.+)_trend_(?P<days>\d+)d")
WINDOW = re.compile(r"(?P<stem>.+)_(?P<days>\d+)d")
LONGER = (365, 180, 90)
ADDED = frozenset({"count", "units", "minutes", "money"})
AVERAGED = frozenset({"share", "hours", "score", "days", "per cent"})
GAPS = {
    "days_since_human": "human_gap_days_365d",
    "days_since_inbound": "inbound_gap_days_365d",
}
COUNTS = {
    "days_since_call": "calls_365d",
    "days_since_meeting": "meetings_365d",
    "days_since_email": "emails_365d",
}
YEAR = 365.0

Values = Callable[[str], np.ndarray | None]
"""A feature's values (n,) in the rows at hand, NaN where missing; None: there is no such feature."""


def theme_of(info: Info) -> str:
    """What a reason is about: one reason is given for each theme."""
    return info.touchpoint or info.name


def is_reportable(info: Info) -> bool:
    """Whether a column may stand in a reason: nothing of the seller's, no sum of rates."""
    is_sum_of_rates = info.words.startswith("total ") and RATE.search(info.words) is not None
    return info.touchpoint != SELLER and not is_sum_of_rates


def subject_of(info: Info) -> str:
    """The theme's name for people."""
    theme = THEMES.get(theme_of(info))
    return theme.subject if theme else theme_of(info).capitalize()


def action_of(info: Info) -> str | None:
    """What can be done about it where it lowers the probability of the outcome; None: nothing."""
    theme = THEMES.get(theme_of(info))
    return theme.action if theme else None


def trend_in_words(words: str, value: float, recent: float | None, before: float | None) -> str | None:
    """A trend as people say it, by its two windows' values where they are known; None: it is no trend.

    `value` is (recent − before) ÷ (recent + before + 1).
    """
    trend = TREND.fullmatch(words)
    if trend is None:
        return None
    what, days = PER_CENT.sub("", trend["what"]), trend["days"]
    if recent is None or before is None or not np.isfinite(recent + before):
        how = "as in" if value == 0 else "more than in" if value > 0 else "less than in"
        return f"{what} in the last {days} days: {how} the {days} before"
    if recent <= 0 or before <= 0:
        how = "none in either half" if recent == before else "stopped" if recent <= 0 else "begun"
        return f"{what}: {how} (last {days} days against the {days} before)"
    change = 100 * (recent / before - 1)
    if abs(change) < 0.5:
        return f"{what}: as in the {days} days before"
    return f"{what}: {'up' if change > 0 else 'down'} {abs(change):.0f} % on the {days} days before"


def windows_of_trend(info: Info, values: Values) -> tuple[np.ndarray, np.ndarray] | None:
    """(n,) what a trend compares, the recent window and the one before; None where that is not at hand."""
    name = TREND_NAME.fullmatch(info.name)
    if name is None:
        return None
    days = int(name["days"])
    for stem in (name["stem"], name["stem"] + "s", name["stem"].removesuffix("y") + "ies"):
        recent, both = values(f"{stem}_{days}d"), values(f"{stem}_{2 * days}d")
        if recent is not None and both is not None:
            return recent, both - recent
    return None


def normal_of(info: Info, values: Values) -> np.ndarray | None:
    """(n,) what is usual for each customer itself, in the feature's unit; None where that is unknown.

    Counts and sums of a window are set against the longest window there is, cut to the time the customer has
    been one; averages against that window's; silence against the usual gap.
    """
    if info.name in GAPS:
        return values(GAPS[info.name])
    time = values("tenure_days")
    if info.name in COUNTS:
        count = values(COUNTS[info.name])
        return None if count is None else _over(_span(time, YEAR, count), count)
    window = WINDOW.fullmatch(info.name)
    if window is None:
        return None
    days = float(window["days"])
    for longer in LONGER:
        longest = values(f"{window['stem']}_{longer}d") if longer > days else None
        if longest is None:
            continue
        if info.unit in ADDED and not info.words.startswith("mean "):
            return _over(longest * days, _span(time, float(longer), longest, days))
        return longest if info.unit in AVERAGED or info.words.startswith("mean ") else None
    return None


def _span(time: np.ndarray | None, longest: float, like: np.ndarray, least: float = 0.0) -> np.ndarray:
    """(n,) days that count: so long a customer, at most the window; NaN where not longer than `least`."""
    span = np.full(len(like), longest) if time is None else np.fmin(time, longest)
    return np.where(span > least, span, np.nan)


def _over(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.divide(one, other, out=np.full(len(one), np.nan), where=np.nan_to_num(other) > 0)
