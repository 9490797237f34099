"""What is planted: the switches of a simulated CRM and every effect in it, on the log-odds scale."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from features.errors import RenewalError

Timing = Literal["peaked", "mild", "none"]

DAY = 86_400
WINDOWS = ("121-180", "91-120", "61-90", "31-60", "15-30", "0-14", "none")
WINDOW_LEADS = ((121, 180), (91, 120), (61, 90), (31, 60), (15, 30), (0, 14))
NONE = len(WINDOWS) - 1
CALLS = ("0", "1-2", "3-4", "5-7", "8+")
CALL_EDGES = np.array([1, 3, 5, 8])
DISCOUNTS = ("0", "0-10", "10-20", "20-30", "30+")
DISCOUNT_EDGES = np.array([0.005, 0.10, 0.20, 0.30])

INDUSTRIES = ("software", "healthcare", "manufacturing", "retail", "finance", "education")
REGIONS = ("north", "south", "east", "west")
PRODUCTS = ("core", "plus", "suite")
SOURCES = ("web", "referral", "event", "outbound", "partner")
TIERS = ("long tail", "standard", "strategic")

RENEWAL_INDUSTRY = np.array([0.35, 0.10, 0.0, -0.55, 0.25, -0.25])
RENEWAL_REGION = np.array([0.2, 0.0, -0.3, 0.1])
RENEWAL_TIER = np.array([-0.45, 0.0, 0.45])
RENEWAL_PRODUCT = np.array([-0.3, 0.0, 0.35])
WIN_INDUSTRY = np.array([0.35, 0.0, -0.15, -0.65, 0.3, -0.3])
WIN_REGION = np.array([0.15, 0.0, -0.25, 0.1])
WIN_SOURCE = np.array([0.0, 0.9, 0.1, -0.8, 0.4])

TIMING_EFFECT = {
    "peaked": np.array([-0.05, 0.10, 1.50, 0.20, 0.0, -0.3, -0.6]),
    "mild": np.array([0.0, 0.20, 0.90, 0.25, 0.05, -0.15, -0.4]),
    "none": np.zeros(7),
}
EARLY_INDUSTRY = INDUSTRIES.index("manufacturing")
"""Customers of this industry plan their budgets early: their best window is 91-120, not 61-90."""
CALLS_EFFECT = np.array([-0.85, -0.2, 0.5, 0.1, -0.5])
WIN_DISCOUNT_EFFECT = np.array([0.0, 0.3, 0.75, 0.82, 0.82])
RENEWAL_DISCOUNT_EFFECT = np.array([0.0, 0.2, 0.5, 0.55, 0.55])

WORRY_EFFECT = -1.7
RENEWAL_BASE, WIN_BASE = 0.95, -1.15
RENEWAL_RATE = WIN_RATE = 0.6
QUALIFIED_RATE = 0.6
"""The constant rates used where there is no signal: renewals run as deals must not stand out among deals."""

LATE_SHARE, LATE_DAYS = 0.15, 14.0
"""Share of calls and meetings logged late, and the mean delay in days of those (one day and exponential)."""

ICP_WIN, ICP_RENEWAL, ICP_NO_CONTACT = 1.6, 0.5, 1.2
UNFAIR_FACTOR = 0.55
"""Leads of the disadvantaged segment are qualified this much as often, at equal merit."""


@dataclass(frozen=True)
class Options:
    """The switches of one simulated CRM; `first_day` and `until_day` are days since 1970."""

    accounts: int
    seed: int
    signal: bool
    hidden_worry: bool
    icp: bool
    unfair: bool
    timing: Timing
    first_day: int
    until_day: int
    draws: int

    def __post_init__(self) -> None:
        if self.accounts < 10:
            raise RenewalError(
                expected="at least 10 accounts", found=str(self.accounts), do="Ask for more accounts."
            )
        if self.until_day - self.first_day < 365:
            raise RenewalError(expected="at least 1 year", found="less", do="Ask for more years.")
        if self.timing not in TIMING_EFFECT:
            raise RenewalError(
                expected="timing to be peaked, mild or none",
                found=repr(self.timing),
                do="Choose one of these.",
            )

    def rng(self, stage: int) -> np.random.Generator:
        """A stream of its own for each stage, so that one stage's draws do not move another's."""
        return np.random.default_rng([self.seed, stage])

    @property
    def has_icp(self) -> bool:
        """Whether an ideal customer profile is planted: never without signal."""
        return self.icp and self.signal

    @property
    def hidden_share(self) -> float:
        """The share of the worry's variance that no recorded signal shows."""
        return 0.5 if self.hidden_worry else 0.0


def logistic(x: np.ndarray) -> np.ndarray:
    """Log-odds to probability."""
    return 1.0 / (1.0 + np.exp(-x))


def bucket(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The index of the bucket each value falls in; a value on an edge belongs to the upper bucket."""
    return np.searchsorted(edges, values, side="right")


def timing_table(options: Options) -> np.ndarray:
    """Planted log-odds of the first contact's window: (industry, in the ICP 0/1, window) → effect."""
    table = np.tile(TIMING_EFFECT[options.timing], (len(INDUSTRIES), 2, 1))
    if options.timing != "none":
        early = table[EARLY_INDUSTRY]
        early[:, [1, 2]] = early[:, [2, 1]]
    if options.has_icp:
        table[:, 1, NONE] += ICP_NO_CONTACT
    return table if options.signal else np.zeros_like(table)
