"""What truth.json says: every planted effect as an average potential outcome, and the switches."""

import numpy as np

from features.simulation.deals import Deals, Leads, win_odds
from features.simulation.people import People
from features.simulation.planted import (
    CALL_EDGES,
    CALLS,
    DISCOUNT_EDGES,
    DISCOUNTS,
    INDUSTRIES,
    NONE,
    REGIONS,
    UNFAIR_FACTOR,
    WINDOW_LEADS,
    WINDOWS,
    Options,
    bucket,
)
from features.simulation.renewals import Contracts, renewal_odds, timing_of

DISCOUNT_POINTS = (0.0, 0.05, 0.15, 0.25, 0.35)
CALL_POINTS = (0, 1, 3, 5, 9)


def truth_of(who: People, leads: Leads, deals: Deals, terms: Contracts, options: Options) -> dict:
    """Everything planted, as averages of potential outcomes over the simulated population."""
    return {
        "options": {
            "accounts": options.accounts, "seed": options.seed, "signal": options.signal,
            "hidden_worry": options.hidden_worry, "icp": options.icp, "unfair": options.unfair,
            "timing": options.timing,
        },
        "timing": _timing(who, terms, options),
        "calls": _calls(who, deals, options),
        "discount": _discounts(who, deals, terms, options),
        "icp": _icp(who, deals, terms, options),
        "unfair": _unfair(who, leads, options),
        "base_rates": {
            "renewal": float(terms.renewed.mean()),
            "win": float(deals.won[deals.contract < 0].mean()),
            "qualified": float(leads.qualified.mean()),
        },
    }  # fmt: skip


def _by_group(values: np.ndarray, groups: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
    values_by_name = {name: values[groups == code] for code, name in enumerate(names)}
    return {name: round(float(part.mean()), 5) for name, part in values_by_name.items() if part.size}


def _timing(who: People, terms: Contracts, options: Options) -> dict:
    """P(renewed) by window, for all, by industry and by region, with the raw rate and the share beside it."""
    industry, region = who.industry[terms.account], who.region[terms.account]
    arms: dict[str, dict] = {}
    rates: dict[str, dict[str, float]] = {}
    for code, name in enumerate(WINDOWS):
        forced, mine = forced_contact(who, terms, code, options), terms.window == code
        by_group = _groups(forced, industry, region)
        rates[name] = {"all": float(forced.mean()), **by_group["industry"], **by_group["region"]}
        in_time = _renewed_if(who, terms, np.full(terms.size, code), options)
        arms[name] = (
            _arm(forced, terms.renewed[mine], mine.mean()) | by_group | {"if_undecided": _mean(in_time)}
        )
    planted = options.signal and options.timing != "none"

    def best(group: str) -> str | None:
        return _best({name: rate.get(group, 0.0) for name, rate in rates.items()}) if planted else None

    return {
        "windows": arms,
        "best": best("all"),
        "best_by_industry": {group: best(group) for group in INDUSTRIES},
        "best_by_region": {group: best(group) for group in REGIONS},
    }


def _renewed_if(who: People, terms: Contracts, window: np.ndarray, options: Options) -> np.ndarray:
    timing = timing_of(who, terms, options, window)
    return renewal_odds(terms.fixed, terms.felt, timing, terms.discount, options.signal)


def forced_contact(who: People, terms: Contracts, window: int, options: Options) -> np.ndarray:
    """P(renewed) of each contract (n,) if its first contact fell on a day of the window, each day alike.

    Contact after the decision is none: who has decided by that day renews as if not contacted.
    """
    bare = _renewed_if(who, terms, np.full(terms.size, NONE), options)
    if window == NONE:
        return bare
    low, high = WINDOW_LEADS[window]
    in_time = np.clip((high - np.maximum(terms.decided_lead, low - 1)) / (high - low + 1), 0, 1)
    return bare + in_time * (_renewed_if(who, terms, np.full(terms.size, window), options) - bare)


def _mean(values: np.ndarray) -> float | None:
    return round(float(values.mean()), 5) if values.size else None


def _groups(values: np.ndarray, industry: np.ndarray, region: np.ndarray) -> dict[str, dict[str, float]]:
    return {
        "industry": _by_group(values, industry, INDUSTRIES),
        "region": _by_group(values, region, REGIONS),
    }


def _best(rates: dict[str, float]) -> str:
    return max(rates, key=lambda name: rates[name])


def _calls(who: People, deals: Deals, options: Options) -> dict:
    """P(won) by calls in the first 30 days, among new business and expansions open then."""
    rows = deals.length > 30
    account = deals.account[rows]
    curve, rates = {}, {}
    for code, (name, calls) in enumerate(zip(CALLS, CALL_POINTS, strict=True)):
        probability = win_odds(
            deals.merit,
            np.full(deals.size, calls),
            deals.replies,
            deals.slips,
            deals.discount,
            options.signal,
        )[rows]
        mine = bucket(deals.calls[rows], CALL_EDGES) == code
        rates[name] = float(probability.mean())
        curve[name] = _arm(probability, deals.won[rows][mine], mine.mean())
        curve[name] |= _groups(probability, who.industry[account], who.region[account])
    return {"buckets": curve, "best": _best(rates) if options.signal else None}


def _discounts(who: People, deals: Deals, terms: Contracts, options: Options) -> dict:
    """P(won) and P(renewed) by the first quote's discount, among those quoted."""
    quoted, offered = np.isfinite(deals.discount), np.isfinite(terms.discount)
    arms: dict[str, dict] = {"win": {}, "renewal": {}}
    timing = timing_of(who, terms, options)
    for code, (name, share) in enumerate(zip(DISCOUNTS, DISCOUNT_POINTS, strict=True)):
        won = win_odds(
            deals.merit, deals.calls, deals.replies, deals.slips, np.full(deals.size, share), options.signal
        )
        renewed = renewal_odds(terms.fixed, terms.felt, timing, np.full(terms.size, share), options.signal)
        mine = quoted & (bucket(deals.discount, DISCOUNT_EDGES) == code)
        theirs = offered & (bucket(terms.discount, DISCOUNT_EDGES) == code)
        arms["win"][name] = _arm(won[quoted], deals.won[mine], mine.sum() / quoted.sum())
        arms["renewal"][name] = _arm(renewed[offered], terms.renewed[theirs], theirs.sum() / offered.sum())
    return arms


def _arm(forced: np.ndarray, raw: np.ndarray, share: float) -> dict:
    return {"all": _mean(forced), "raw": _mean(raw), "share": round(float(share), 5)}


def _icp(who: People, deals: Deals, terms: Contracts, options: Options) -> dict | None:
    """The planted profile, and the four outcomes inside and outside of it."""
    if not options.has_icp:
        return None
    none = np.full(terms.size, NONE)
    bare = renewal_odds(terms.fixed, terms.felt, timing_of(who, terms, options, none), terms.discount, True)
    outcomes = {}
    for name, inside in (("inside", who.in_icp), ("outside", ~who.in_icp)):
        mine = inside[deals.account] & (deals.contract < 0)
        outcomes[name] = {
            "accounts": int(inside.sum()),
            "win": float(deals.won[mine].mean()),
            "calls_30d": float(deals.calls[mine].mean()),
            "discount": float(np.nanmean(deals.discount[mine])),
            "renewal_without_contact": float(bare[inside[terms.account]].mean()),
        }
    return {
        "conditions": {"industry": ["software"], "employees": [50, 999], "region": ["north", "west"]},
        **outcomes,
    }


def _unfair(who: People, leads: Leads, options: Options) -> dict | None:
    if not (options.unfair and options.signal):
        return None
    women = who.led_by_women[leads.account]
    return {
        "attribute": "leadership",
        "value": "women",
        "stage": "qualification",
        "factor": UNFAIR_FACTOR,
        "rate_women": float(leads.qualified[women].mean()),
        "rate_men": float(leads.qualified[~women].mean()),
    }
