"""Fresh prospects of the shipped simulator with their expected outcomes, by forcing many deals upon each."""

import numpy as np
import pandas as pd

from features.crm import Crm
from features.simulation.deals import SOURCES, _deals, lengths, win_odds
from features.simulation.people import account_frames, people
from features.simulation.plan import NONE, Options
from features.simulation.renewals import contracts, renewal_odds, timing_of
from training.profiles.conditions import Condition, Rule

DEALS_EACH = 40
LAST_DAY = 20_000
PLANTED = Rule(
    (
        Condition("industry", ("software",)),
        Condition("region", ("north", "west")),
        Condition("employees", low=50, high=999),
    )
)


def fresh(
    accounts: int, seed: int, hours_by_calls: tuple[float, float]
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Prospects (accounts, attributes) and their expected win, amount, discount, effort and renewal.

    Args:
        accounts: how many.
        seed: another than those learnt from.
        hours_by_calls: hours of a deal as a line in its calls, (hours at none, hours a call).
    """
    options = Options(accounts, seed, True, False, True, True, "peaked", LAST_DAY - 4 * 365, LAST_DAY, 0)
    who, rng = people(options), np.random.default_rng([seed, 9])
    source = rng.choice(len(SOURCES), accounts)
    rows = np.repeat(np.arange(accounts), DEALS_EACH)
    day = np.full(rows.size, options.first_day)
    made = _deals(who, rows, day, source[rows], lengths(False, options), options, rng)
    odds = win_odds(made.merit, made.calls, made.replies, made.slips, made.discount, True)
    quoted = np.isfinite(made.discount)
    terms = contracts(who, np.arange(accounts), np.full(accounts, options.first_day), options)
    none = timing_of(who, terms, options, np.full(terms.size, NONE))
    alone = renewal_odds(terms.fixed, terms.felt, none, terms.discount, True)

    def mean(values: np.ndarray, at: np.ndarray) -> np.ndarray:
        return np.bincount(at, weights=values, minlength=accounts) / np.maximum(
            np.bincount(at, minlength=accounts), 1
        )

    start, slope = hours_by_calls
    true = {
        "win": mean(odds, rows),
        "amount": np.maximum(1500, who.employees * np.exp(4.4 + 0.125)),
        "discount": mean(made.discount[quoted], rows[quoted]),
        "effort": start + slope * mean(made.calls, rows),
        "renews by itself": mean(alone, terms.account),
    }
    told = pd.DataFrame(account_frames(who, options)["accounts"])
    return told.assign(lead_source=np.array(SOURCES)[source]), true


def hours_by_calls(crm: Crm, deals: pd.DataFrame) -> tuple[float, float]:
    """Hours of decided deals as a line in the number of their calls."""
    made = crm.frame("activities", ["opportunity_id", "kind"])
    calls = made[made["kind"] == "call"].groupby("opportunity_id").size()
    counted = deals["opportunity_id"].map(calls).fillna(0).to_numpy(float)
    slope, start = np.polyfit(counted, deals["hours"].to_numpy(float), 1)
    return float(start), float(slope)
