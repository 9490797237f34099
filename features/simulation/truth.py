"""What truth.json says: every planted effect as an average potential outcome, and the switches."""

import numpy as np

from features.simulation.deals import Deals, Leads, win_odds
from features.simulation.people import People
from features.simulation.plan import (
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
    found = {name: values[groups == code] for code, name in enumerate(names)}
    return {name: round(float(part.mean()), 5) for name, part in found.items() if part.size}


def _timing(who: People, terms: Contracts, options: Options) -> dict:
    """P(renewed) if everybody's first contact fell in a window; decided before it means: not contacted."""
    industry, region = who.industry[terms.account], who.region[terms.account]
    arms, open_arms = {}, {}
    raw = terms.renewed == 1
    for code, name in enumerate(WINDOWS):
        window = np.full(terms.size, code)
        forced = renewal_odds(
            terms.fixed, terms.felt, timing_of(who, terms, options, window), terms.discount, options.signal
        )
        bare = renewal_odds(
            terms.fixed,
            terms.felt,
            timing_of(who, terms, options, np.full(terms.size, NONE)),
            terms.discount,
            options.signal,
        )
        low = WINDOW_LEADS[code][0] if code < NONE else -99
        regime = np.where(terms.decided_lead < low, forced, bare) if code < NONE else forced
        arms[name] = {
            "all": round(float(regime.mean()), 5),
            "industry": _by_group(regime, industry, INDUSTRIES),
            "region": _by_group(regime, region, REGIONS),
            "raw": round(float(raw[terms.window == code].mean()), 5)
            if (terms.window == code).any()
            else None,
            "share": round(float((terms.window == code).mean()), 5),
        }
        open_arms[name] = round(float(forced.mean()), 5)
    best = max(arms, key=lambda name: arms[name]["all"])
    by_industry = {g: max(arms, key=lambda name: arms[name]["industry"].get(g, 0)) for g in INDUSTRIES}
    return {
        "windows": arms,
        "if_undecided": open_arms,
        "best": best if options.signal and options.timing != "none" else None,
        "best_by_industry": by_industry if options.signal and options.timing != "none" else None,
    }


def _calls(who: People, deals: Deals, options: Options) -> dict:
    """P(won) by calls in the first 30 days, among deals open then."""
    rows = deals.length > 30
    curve = {}
    for name, calls in zip(CALLS, CALL_POINTS, strict=True):
        odds = win_odds(
            deals.merit,
            np.full(deals.size, calls),
            deals.replies,
            deals.slips,
            deals.discount,
            options.signal,
        )
        mine = rows & (bucket(deals.calls, CALL_EDGES) == CALLS.index(name))
        curve[name] = {
            "all": round(float(odds[rows].mean()), 5),
            "industry": _by_group(odds[rows], who.industry[deals.account[rows]], INDUSTRIES),
            "raw": round(float(deals.won[mine].mean()), 5) if mine.any() else None,
            "share": round(float(mine.sum() / rows.sum()), 5),
        }
    return {
        "buckets": curve,
        "best": max(curve, key=lambda name: curve[name]["all"]) if options.signal else None,
    }


def _discounts(who: People, deals: Deals, terms: Contracts, options: Options) -> dict:
    """P(won) and P(renewed) by the first quote's discount, among those quoted."""
    quoted, offered = np.isfinite(deals.discount), np.isfinite(terms.discount)
    found: dict[str, dict] = {"win": {}, "renewal": {}}
    timing = timing_of(who, terms, options)
    for code, (name, share) in enumerate(zip(DISCOUNTS, DISCOUNT_POINTS, strict=True)):
        won = win_odds(
            deals.merit, deals.calls, deals.replies, deals.slips, np.full(deals.size, share), options.signal
        )
        kept = renewal_odds(terms.fixed, terms.felt, timing, np.full(terms.size, share), options.signal)
        mine = quoted & (bucket(deals.discount, DISCOUNT_EDGES) == code)
        theirs = offered & (bucket(terms.discount, DISCOUNT_EDGES) == code)
        found["win"][name] = _arm(won[quoted], deals.won[mine], mine.sum() / quoted.sum())
        found["renewal"][name] = _arm(kept[offered], terms.renewed[theirs], theirs.sum() / offered.sum())
    return found


def _arm(forced: np.ndarray, raw: np.ndarray, share: float) -> dict:
    return {
        "all": round(float(forced.mean()), 5),
        "raw": round(float(raw.mean()), 5) if raw.size else None,
        "share": round(float(share), 5),
    }


def _icp(who: People, deals: Deals, terms: Contracts, options: Options) -> dict | None:
    """The planted profile, and the four outcomes inside and outside of it."""
    if not (options.icp and options.signal):
        return None
    none = np.full(terms.size, NONE)
    bare = renewal_odds(terms.fixed, terms.felt, timing_of(who, terms, options, none), terms.discount, True)
    found = {}
    for name, inside in (("inside", who.in_icp), ("outside", ~who.in_icp)):
        mine = inside[deals.account] & (deals.contract < 0)
        found[name] = {
            "accounts": int(inside.sum()),
            "win": float(deals.won[mine].mean()),
            "calls_30d": float(deals.calls[mine].mean()),
            "discount": float(np.nanmean(deals.discount[mine])),
            "renewal_without_contact": float(bare[inside[terms.account]].mean()),
        }
    return {
        "conditions": {"industry": ["software"], "employees": [100, 999], "region": ["north", "west"]},
        **found,
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
