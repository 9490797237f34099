"""The shipped simulator's truth: expected outcomes of fresh prospects, and lifts in a large fresh CRM."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features.crm.crm import Crm
from features.crm.load import load
from features.simulation import UNTIL, simulate
from features.simulation.csv_tables import ids
from features.simulation.deals import SOURCES, _deals, lengths, win_odds
from features.simulation.people import account_frames, people
from features.simulation.planted import NONE, Options
from features.simulation.records import world
from features.simulation.renewals import contracts, renewal_odds, timing_of
from features.simulation.truth import forced_contact
from training.icp.prospect_outcomes import deal_discounts, deal_hours, decided_deals
from training.icp.prospects import LEAD_SOURCE, first_sources, known_accounts
from training.icp.rules import Condition, Rule

DEALS_EACH = 40
LAST_DAY = 20_000
PLANTED = Rule(
    (
        Condition("industry", ("software",)),
        Condition("region", ("north", "west")),
        Condition("employees", low=50, high=999),
    )
)


@dataclass(frozen=True)
class Later:
    """The later half of a fresh CRM: by outcome, what was known of each deal or contract, and its value.

    Renewals count with their probability without any contact, as the simulator draws them; the others as recorded.
    """

    outcomes: dict[str, tuple[pd.DataFrame, np.ndarray]]

    def lift(self, rule: Rule, outcome: str) -> float:
        """The mean among the rule's members over everybody's."""
        frame, value = self.outcomes[outcome]
        inside = rule.covers(frame)
        return float(value[inside].mean() / value.mean()) if inside.any() else np.nan


def later_half(accounts: int, seed: int, folder: Path) -> Later:
    """Simulate and load a CRM of so many accounts, and take the outcomes of its later half."""
    simulate(folder / "files", accounts=accounts, seed=seed, draws=0)
    crm = load(folder / "files", into=folder / "crm")
    today, first = known_accounts(crm).today, first_sources(crm)

    def described(account_id: pd.Series, source: pd.Series | None = None) -> pd.DataFrame:
        frame = today.reindex(account_id.to_numpy(object)).reset_index(drop=True)
        first_source = account_id.map(first)
        filled_source = first_source if source is None else source.where(source.notna(), first_source)
        return frame.assign(**{LEAD_SOURCE: filled_source.to_numpy(object)})

    deals = decided_deals(crm)[0]
    deals = deals[deals["account_id"].isin(today.index)].reset_index(drop=True)
    hours, discount = deal_hours(crm, deals)[0], deal_discounts(crm, deals)
    frame = described(deals["account_id"], deals[LEAD_SOURCE])
    parts = {"win": deals["won"].to_numpy(float), "effort": hours, "discount": discount}
    outcomes = {}
    for name, value in parts.items():
        has_value = np.isfinite(value)
        late = has_value & (deals["created_at"] >= deals["created_at"][has_value].median()).to_numpy(bool)
        outcomes[name] = frame[late].reset_index(drop=True), value[late]
    account_id, alone = _alone(accounts, seed)
    outcomes["renews without contact"] = described(account_id), alone
    return Later(outcomes)


def _alone(accounts: int, seed: int) -> tuple[pd.Series, np.ndarray]:
    """Contracts whose end is known and which ran 180 days within the data: the later half of them."""
    last = (UNTIL - type(UNTIL)(1970, 1, 1)).days
    options = Options(accounts, seed, True, False, True, True, "peaked", last - 4 * 365, last, 0)
    everything = world(options)
    terms = everything.terms
    probability = forced_contact(everything.who, terms, NONE, options)
    held = (terms.end_day >= options.first_day + 180) & (terms.end_day < options.until_day - 45)
    late = held & (terms.end_day >= np.median(terms.end_day[held]))
    return pd.Series(ids("A", terms.account[late]).astype(object)), probability[late]


def fresh(
    accounts: int, seed: int, hours_by_calls: tuple[float, float]
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Prospects (accounts, attributes) and their expected win, amount, discount, effort and renewal.

    Args:
        accounts: how many.
        seed: another than those trained on.
        hours_by_calls: hours of a deal as a line in its calls, (hours at none, hours a call).
    """
    options = Options(accounts, seed, True, False, True, True, "peaked", LAST_DAY - 4 * 365, LAST_DAY, 0)
    who, rng = people(options), np.random.default_rng([seed, 9])
    source = rng.choice(len(SOURCES), accounts)
    rows = np.repeat(np.arange(accounts), DEALS_EACH)
    day = np.full(rows.size, options.first_day)
    deals = _deals(who, rows, day, source[rows], lengths(False, options), options, rng)
    probability = win_odds(deals.merit, deals.calls, deals.replies, deals.slips, deals.discount, True)
    quoted = np.isfinite(deals.discount)
    terms = contracts(who, np.arange(accounts), np.full(accounts, options.first_day), options)
    none = timing_of(who, terms, options, np.full(terms.size, NONE))
    alone = renewal_odds(terms.fixed, terms.felt, none, terms.discount, True)

    def mean(values: np.ndarray, at: np.ndarray) -> np.ndarray:
        return np.bincount(at, weights=values, minlength=accounts) / np.maximum(
            np.bincount(at, minlength=accounts), 1
        )

    start, slope = hours_by_calls
    true = {
        "win": mean(probability, rows),
        "amount": np.maximum(1500, who.employees * np.exp(4.4 + 0.125)),
        "discount": mean(deals.discount[quoted], rows[quoted]),
        "effort": start + slope * mean(deals.calls, rows),
        "renews without contact": mean(alone, terms.account),
    }
    attributes = pd.DataFrame(account_frames(who, options)["accounts"])
    return attributes.assign(lead_source=np.array(SOURCES)[source]), true


def hours_by_calls(crm: Crm, deals: pd.DataFrame) -> tuple[float, float]:
    """Hours of decided deals as a line in the number of their calls."""
    activities = crm.frame("activities", ["opportunity_id", "kind"])
    calls = activities[activities["kind"] == "call"].groupby("opportunity_id").size()
    counted = deals["opportunity_id"].map(calls).fillna(0).to_numpy(float)
    slope, start = np.polyfit(counted, deals["hours"].to_numpy(float), 1)
    return float(start), float(slope)
