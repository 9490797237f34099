"""Leads and deals: qualification, calls, quotes, slips, and whether a deal is won."""

from dataclasses import dataclass, fields

import numpy as np

from features.simulation.people import People
from features.simulation.planted import (
    CALL_EDGES,
    CALLS_EFFECT,
    DISCOUNT_EDGES,
    ICP_WIN,
    QUALIFIED_RATE,
    SOURCES,
    UNFAIR_FACTOR,
    WIN_BASE,
    WIN_DISCOUNT_EFFECT,
    WIN_INDUSTRY,
    WIN_RATE,
    WIN_REGION,
    WIN_SOURCE,
    Options,
    bucket,
    logistic,
)
from features.simulation.renewals import Contracts

CALL_DAYS, REPLY_DAYS = 30, 45
CALL_SHAPE = 3.0
REPLY_MEAN, SLIPS_A_DAY = 1.6, 0.012
REPLY_EFFECT, SLIP_EFFECT, COMPETITOR_EFFECT, EXPANSION_EFFECT = 0.5, -0.5, -0.7, 0.35
QUOTE_SHARE, QUOTE_FIRST, QUOTE_LAST = 0.85, 8, 40
POOL = 200_000


@dataclass
class Leads:
    """One row a lead of a prospect; `deal` is the row of its deal or -1."""

    account: np.ndarray
    created_day: np.ndarray
    source: np.ndarray
    qualified: np.ndarray
    decided_day: np.ndarray
    deal: np.ndarray


@dataclass
class Deals:
    """One row a deal; the calls, replies and slips are counts up to the end or to their last day."""

    account: np.ndarray
    contract: np.ndarray  # row of the contract it expands, -1 for new business
    created_day: np.ndarray
    length: np.ndarray  # whole days until it closes
    source: np.ndarray
    competitor: np.ndarray
    partner: np.ndarray
    amount: np.ndarray
    known_merit: (
        np.ndarray
    )  # log-odds above the usual of what is known when it is created, the profile left out
    merit: np.ndarray  # log-odds, all in
    effort: np.ndarray  # mean number of calls in the first 30 days
    calls: np.ndarray
    replies: np.ndarray
    slips: np.ndarray
    quote_age: np.ndarray  # -99: no quote
    discount: np.ndarray
    luck: np.ndarray
    won: np.ndarray

    @property
    def size(self) -> int:
        """How many deals."""
        return self.account.size


def lengths(expansion: bool, options: Options) -> np.ndarray:
    """A sorted pool of deal lengths in days; a deal's length depends on nothing but its kind."""
    rng = options.rng(30 + expansion)
    if expansion:
        return np.sort(np.minimum(8 + rng.gamma(2.0, 13.0, POOL), 80).astype(np.int64))
    return np.sort(np.minimum(14 + rng.gamma(2.2, 22.0, POOL), 240).astype(np.int64))


def win_odds(
    merit: np.ndarray,
    calls: np.ndarray,
    replies: np.ndarray,
    slips: np.ndarray,
    discount: np.ndarray,
    signal: bool,
) -> np.ndarray:
    """P(won) given calls in the first 30 days, replies in 45, slips, first quote's discount (NaN: none)."""
    if not signal:
        return np.full(np.shape(calls), WIN_RATE)
    return logistic(
        merit
        + CALLS_EFFECT[bucket(calls, CALL_EDGES)]
        + REPLY_EFFECT * (np.minimum(replies, 5) - REPLY_MEAN)
        + SLIP_EFFECT * np.minimum(slips, 4)
        + WIN_DISCOUNT_EFFECT[bucket(np.nan_to_num(discount), DISCOUNT_EDGES)]
    )


def deal_discount(
    known_merit: np.ndarray, lean: np.ndarray, in_icp: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The discount of a first quote as a share, by the merit beyond the usual (`known_merit`, log-odds).

    Weak deals and soft owners get more, ideal customers ask for less.
    """
    raw = 0.12 - 0.06 * known_merit + lean - 0.06 * in_icp + 0.09 * rng.standard_normal(np.shape(known_merit))
    return np.round(np.clip(raw, 0, 0.45), 2)


def business(who: People, options: Options) -> tuple[Leads, Deals]:
    """Leads of prospects, one after the other until one is won, and the deals they turned into."""
    rng = options.rng(31)
    pool = lengths(False, options)
    account = np.flatnonzero(~who.is_customer)
    day = options.first_day + rng.integers(-60, 300, account.size)
    all_leads, all_deals, done = [], [], 0
    while account.size:
        lead = _lead(who, account, day, options, rng)
        rows = np.flatnonzero(lead.qualified)
        deal = _deals(who, account[rows], lead.decided_day[rows], lead.source[rows], pool, options, rng)
        lead.deal[rows] = done + np.arange(rows.size)
        done += rows.size
        all_leads.append(lead)
        all_deals.append(deal)
        free, won = lead.decided_day.copy(), np.zeros(account.size, dtype=bool)
        free[rows] += deal.length
        won[rows] = deal.won == 1
        day = free + 20 + rng.exponential(150, account.size).astype(np.int64)
        going = ~won & (day < options.until_day)
        account, day = account[going], day[going]
    return _joined(Leads, all_leads), _joined(Deals, all_deals)


def _joined(kind: type, parts: list):
    return kind(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(kind)})


def lead_odds(who: People, account: np.ndarray, source: np.ndarray, options: Options) -> np.ndarray:
    """P(qualified) at equal treatment: the merit of a lead."""
    if not options.signal:
        return np.full(account.size, QUALIFIED_RATE)
    merit = (
        0.75 + 0.5 * WIN_SOURCE[source] + 0.4 * WIN_INDUSTRY[who.industry[account]] + 0.15 * who.size[account]
    )
    return logistic(merit)


def _lead(
    who: People, account: np.ndarray, day: np.ndarray, options: Options, rng: np.random.Generator
) -> Leads:
    n = account.size
    source = rng.choice(len(SOURCES), n, p=[0.32, 0.15, 0.18, 0.23, 0.12])
    probability = lead_odds(who, account, source, options)
    if options.unfair and options.signal:
        probability = probability * np.where(who.led_by_women[account], UNFAIR_FACTOR, 1.0)
    return Leads(
        account, day, source, rng.random(n) < probability, day + rng.integers(1, 15, n), np.full(n, -1)
    )


def _deals(
    who: People,
    account: np.ndarray,
    day: np.ndarray,
    source: np.ndarray,
    pool: np.ndarray,
    options: Options,
    rng: np.random.Generator,
    contract: np.ndarray | None = None,
) -> Deals:
    n = account.size
    competitor, partner = rng.choice(3, n, p=[0.5, 0.3, 0.2]), rng.random(n) < 0.2
    in_icp, owner = who.in_icp[account] & options.has_icp, who.owner[account]
    merit = (
        WIN_BASE
        + WIN_INDUSTRY[who.industry[account]]
        + WIN_REGION[who.region[account]]
        + WIN_SOURCE[source]
        + COMPETITOR_EFFECT * (competitor == 2)
        + 0.1 * who.size[account]
        + 0.8 * who.owner_skill[owner]
        + EXPANSION_EFFECT * (contract is not None)
    )
    known_merit = (merit - WIN_BASE) * options.signal
    merit = merit + ICP_WIN * in_icp
    effort = 3.6 * np.exp(-0.3 * known_merit - 0.5 * in_icp)
    length = pool[rng.integers(0, pool.size, n)]
    rate = rng.gamma(CALL_SHAPE, 1 / CALL_SHAPE, n) * effort
    quote_age = np.where(rng.random(n) < QUOTE_SHARE, rng.integers(QUOTE_FIRST, QUOTE_LAST + 1, n), -99)
    quote_age = np.where(quote_age < length, quote_age, -99)
    discount = deal_discount(known_merit, who.owner_discount[owner], in_icp, rng)
    deals = Deals(
        account=account,
        contract=np.full(n, -1) if contract is None else contract,
        created_day=day,
        length=length,
        source=source,
        competitor=competitor,
        partner=partner,
        amount=np.round(np.maximum(1500, who.employees[account] * rng.lognormal(4.4, 0.5, n)), 2),
        known_merit=known_merit,
        merit=merit,
        effort=effort,
        calls=rng.poisson(rate * np.minimum(length, CALL_DAYS) / CALL_DAYS),
        replies=rng.poisson(REPLY_MEAN * np.minimum(length, REPLY_DAYS) / REPLY_DAYS),
        slips=rng.poisson(SLIPS_A_DAY * length),
        quote_age=quote_age,
        discount=np.where(quote_age > 0, discount, np.nan),
        luck=rng.random(n),
        won=np.zeros(n),
    )
    probability = win_odds(
        deals.merit, deals.calls, deals.replies, deals.slips, deals.discount, options.signal
    )
    deals.won = (deals.luck < probability).astype(np.int8)
    return deals


def expansions(who: People, terms: Contracts, options: Options) -> Deals:
    """Deals that enlarge a running contract: early in the term, closed before its last 180 days begin."""
    rng = options.rng(32)
    room = terms.end_day - terms.start_day - 180 - 85
    rows = np.flatnonzero((room > 20) & (rng.random(terms.size) < 0.35))
    day = terms.start_day[rows] + 10 + (rng.random(rows.size) * (room[rows] - 10)).astype(np.int64)
    rows, day = rows[day < options.until_day], day[day < options.until_day]
    source = rng.choice(len(SOURCES), rows.size, p=[0.5, 0.2, 0.1, 0.1, 0.1])
    pool = lengths(True, options)
    return _deals(who, terms.account[rows], day, source, pool, options, rng, contract=rows)
