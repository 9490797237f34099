"""Contracts and their renewals: generation after generation, with every potential outcome kept."""

from dataclasses import dataclass, fields

import numpy as np

from features.simulation import worry
from features.simulation.people import People
from features.simulation.planted import (
    DISCOUNT_EDGES,
    ICP_RENEWAL,
    NONE,
    RENEWAL_BASE,
    RENEWAL_DISCOUNT_EFFECT,
    RENEWAL_INDUSTRY,
    RENEWAL_PRODUCT,
    RENEWAL_RATE,
    RENEWAL_REGION,
    RENEWAL_TIER,
    WINDOW_LEADS,
    WORRY_EFFECT,
    Options,
    bucket,
    logistic,
    timing_table,
)

WIDTH = worry.STEPS_BACK + worry.STEPS
EARLY_SHARE, EARLY_FIRST, EARLY_LAST = 0.25, 15, 75
LATE_FIRST, LATE_LAST = -10, 4
QUOTE_SHARE, QUOTE_FIRST, QUOTE_LAST = 0.75, 20, 75
"""Leads (days before the end) at which contracts are decided and quoted; both independent of the outcome."""
WINDOW_OF_LEAD = np.full(181, NONE)
for _window, (_low, _high) in enumerate(WINDOW_LEADS):
    WINDOW_OF_LEAD[_low : _high + 1] = _window


@dataclass
class Contracts:
    """One row a contract; step arrays have shape (contracts, WIDTH), column STEPS_BACK is step 0."""

    account: np.ndarray
    previous: np.ndarray  # row of the contract it renews, -1 for the first
    term: np.ndarray  # how many terms before this one
    start_day: np.ndarray
    end_day: np.ndarray
    first_step: np.ndarray
    product: np.ndarray
    seats: np.ndarray
    annual_value: np.ndarray
    list_value: np.ndarray
    auto_renew: np.ndarray
    monthly: np.ndarray
    weakness: np.ndarray  # how far below the usual `fixed` is, within -2..2
    fixed: np.ndarray  # log-odds of what is known at the start
    habit: np.ndarray  # log-odds of being contacted that owner and tier explain
    decided_lead: np.ndarray
    quote_lead: np.ndarray  # -99: no quote
    discount: np.ndarray  # NaN: no quote
    contact_lead: np.ndarray  # -99: no contact before the decision
    felt: np.ndarray  # worry that counts in the decision
    luck: np.ndarray
    renewed: np.ndarray
    usage: np.ndarray
    visible: np.ndarray
    mood: np.ndarray  # (contracts, 12, 4): usage, marks, hidden, felt at the start of steps 0..11
    case: np.ndarray
    score: np.ndarray
    overdue: np.ndarray

    @property
    def size(self) -> int:
        """How many contracts."""
        return self.account.size

    @property
    def window(self) -> np.ndarray:
        """The index of the window of the first human contact (n,)."""
        return np.where(self.contact_lead < 0, NONE, WINDOW_OF_LEAD[np.maximum(self.contact_lead, 0)])


def discount_given(visible: np.ndarray, lean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The discount of a renewal's quote as a share: worried customers and soft owners get more."""
    raw = 0.07 + 0.035 * visible + lean + 0.075 * rng.standard_normal(np.shape(visible))
    return np.round(np.clip(raw, 0, 0.45), 2)


def renewal_odds(
    fixed: np.ndarray, felt: np.ndarray, timing: np.ndarray, discount: np.ndarray, signal: bool
) -> np.ndarray:
    """P(renewed) given all that counts: `timing` the contact's log-odds, `discount` NaN for none."""
    if not signal:
        return np.full(np.shape(felt), RENEWAL_RATE)
    price = RENEWAL_DISCOUNT_EFFECT[bucket(np.nan_to_num(discount), DISCOUNT_EDGES)]
    return logistic(fixed + WORRY_EFFECT * felt + timing + price)


def decided_leads(upper: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw leads of decisions that fall at or below `upper` days before the end."""
    last = np.minimum(upper, EARLY_LAST)
    reach = np.clip((last - EARLY_FIRST + 1) / (EARLY_LAST - EARLY_FIRST + 1), 0, 1)
    probability = EARLY_SHARE * reach / (EARLY_SHARE * reach + 1 - EARLY_SHARE)
    early = EARLY_FIRST + (rng.random(np.shape(upper)) * (last - EARLY_FIRST + 1)).astype(np.int64)
    late = rng.integers(LATE_FIRST, LATE_LAST + 1, np.shape(upper))
    return np.where(rng.random(np.shape(upper)) < probability, early, late)


def quote_leads(upper: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw leads of quotes that fall at or below `upper`; -99 where there will be none."""
    last = np.minimum(upper, QUOTE_LAST)
    reach = np.clip((last - QUOTE_FIRST + 1) / (QUOTE_LAST - QUOTE_FIRST + 1), 0, 1)
    probability = QUOTE_SHARE * reach / (QUOTE_SHARE * reach + 1 - QUOTE_SHARE)
    lead = QUOTE_FIRST + (rng.random(np.shape(upper)) * (last - QUOTE_FIRST + 1)).astype(np.int64)
    return np.where(rng.random(np.shape(upper)) < probability, lead, -99)


def contracts(who: People, account: np.ndarray, start_day: np.ndarray, options: Options) -> Contracts:
    """All terms of the customers `account` (n,) whose first contract starts on `start_day` (n,)."""
    rng = options.rng(20)
    generation = _terms(who, account, start_day, None, options, rng)
    done, offset = [generation], 0
    while True:
        last = done[-1]
        gap = np.where(rng.random(last.size) < 0.7, 0, rng.integers(1, 11, last.size))
        next_start = np.maximum(last.end_day + gap, last.end_day - last.decided_lead)
        going = np.flatnonzero((last.renewed == 1) & (next_start < options.until_day))
        if not going.size:
            return _joined(done)
        generation = _terms(who, last.account[going], next_start[going], (last, going), options, rng)
        generation.previous = offset + going
        offset += last.size
        done.append(generation)


def _joined(generations: list[Contracts]) -> Contracts:
    return Contracts(
        **{f.name: np.concatenate([getattr(g, f.name) for g in generations]) for f in fields(Contracts)}
    )


def _terms(
    who: People,
    account: np.ndarray,
    start_day: np.ndarray,
    before: tuple[Contracts, np.ndarray] | None,
    options: Options,
    rng: np.random.Generator,
) -> Contracts:
    """One generation of contracts: their terms of business, their worry, contact and outcome."""
    n = account.size
    months = rng.choice([6, 12, 24], n, p=[0.07, 0.81, 0.12])
    steps_back = np.choose(months // 12, [0, 12, 36])
    days = np.choose(months // 12, [183, 365, 730])
    seats = np.maximum(5, who.employees[account] * rng.uniform(0.1, 0.6, n)).astype(np.int64)
    product = rng.choice(3, n, p=[0.45, 0.35, 0.2])
    auto_renew, monthly = rng.random(n) < 0.35, rng.random(n) < 0.4
    term = np.zeros(n, dtype=np.int64)
    if before:
        last, rows = before
        seats = np.maximum(5, (last.seats[rows] * rng.uniform(0.95, 1.2, n)).astype(np.int64))
        product, auto_renew, monthly = last.product[rows], last.auto_renew[rows], last.monthly[rows]
        term = last.term[rows] + 1
    list_value = np.round(seats * np.array([220.0, 340.0, 560.0])[product], 2)
    paid = np.round(list_value * (1 - np.clip(rng.normal(0.08, 0.07, n), 0, 0.4)), 2)
    grid, zeros = (n, WIDTH), np.zeros(n)
    terms = Contracts(
        account=account,
        previous=np.full(n, -1),
        term=term,
        start_day=start_day,
        end_day=start_day + days,
        first_step=-steps_back,
        product=product,
        seats=seats,
        annual_value=paid,
        list_value=list_value,
        auto_renew=auto_renew,
        monthly=monthly,
        weakness=zeros,
        fixed=zeros,
        habit=zeros,
        decided_lead=decided_leads(np.full(n, 180), rng),
        quote_lead=quote_leads(np.full(n, 180), rng),
        discount=np.full(n, np.nan),
        contact_lead=np.full(n, -99),
        felt=zeros,
        luck=rng.random(n),
        renewed=np.zeros(n, dtype=np.int8),
        usage=np.zeros(grid, dtype=np.float32),
        visible=np.zeros(grid, dtype=np.float32),
        mood=np.zeros((n, worry.STEPS, 4), dtype=np.float32),
        case=np.zeros(grid, dtype=np.int8),
        score=np.full(grid, -2, dtype=np.int8),
        overdue=np.zeros(grid, dtype=np.int8),
    )
    terms.fixed, terms.habit = _fixed(who, terms, options), _habit(who, terms)
    terms.weakness = np.clip(RENEWAL_BASE - terms.fixed, -2, 2)
    _live(who, terms, before, options, rng)
    probability = renewal_odds(
        terms.fixed, terms.felt, timing_of(who, terms, options), terms.discount, options.signal
    )
    terms.renewed = (terms.luck < probability).astype(np.int8)
    return terms


def _fixed(who: People, terms: Contracts, options: Options) -> np.ndarray:
    account = terms.account
    return (
        RENEWAL_BASE
        + RENEWAL_INDUSTRY[who.industry[account]]
        + RENEWAL_REGION[who.region[account]]
        + RENEWAL_TIER[who.tier[account]]
        + RENEWAL_PRODUCT[terms.product]
        + 0.15 * who.size[account]
        + 0.55 * (terms.auto_renew - 0.35)
        - 0.4 * (terms.monthly - 0.4)
        + 0.15 * np.minimum(terms.term, 3)
        + who.owner_skill[who.owner[account]]
        + ICP_RENEWAL * options.has_icp * who.in_icp[account]
    )


def _habit(who: People, terms: Contracts) -> np.ndarray:
    skill = who.owner_skill[who.owner[terms.account]]
    return 0.25 * (who.tier[terms.account] - 1) + 0.8 * skill - 0.3 * terms.auto_renew


def timing_of(
    who: People, terms: Contracts, options: Options, window: np.ndarray | None = None
) -> np.ndarray:
    """Planted log-odds of each contract's window of first contact, or of another one (n,)."""
    inside = (who.in_icp[terms.account] & options.has_icp).astype(np.int64)
    return timing_table(options)[
        who.industry[terms.account], inside, terms.window if window is None else window
    ]


def _live(
    who: People,
    terms: Contracts,
    before: tuple[Contracts, np.ndarray] | None,
    options: Options,
    rng: np.random.Generator,
) -> None:
    """Walk every contract from its start to its end, in place: worry, first contact, quote."""
    mood = worry.fresh((terms.size,), options.hidden_share, rng)
    if before:
        last, rows = before
        mood.usage, mood.marks, mood.hidden, mood.felt = (last.mood[rows, -1, i].copy() for i in range(4))
    lean = who.owner_discount[who.owner[terms.account]]
    for step in range(-worry.STEPS_BACK, worry.STEPS):
        column = step + worry.STEPS_BACK
        if step >= 0:
            _meet(terms, mood, step, lean, rng)
        held = (mood.usage, mood.marks, mood.hidden, mood.felt)
        shocks = worry.advance(mood, step, rng)
        live = step >= terms.first_step
        mood.usage, mood.marks, mood.hidden, mood.felt = (
            np.where(live, new, old)
            for new, old in zip((mood.usage, mood.marks, mood.hidden, mood.felt), held, strict=True)
        )
        terms.usage[:, column], terms.visible[:, column] = mood.usage, mood.visible()
        terms.case[:, column] = np.where(live, shocks.case, 0)
        terms.score[:, column] = np.where(live, shocks.score, -2)
        terms.overdue[:, column] = np.where(live, shocks.overdue, 0)


def _meet(terms: Contracts, mood: worry.Mood, step: int, lean: np.ndarray, rng: np.random.Generator) -> None:
    """The first contact, the quote and the decision of those contracts for which they fall in this step."""
    terms.mood[:, step] = np.stack([mood.usage, mood.marks, mood.hidden, mood.felt], axis=1)
    high, low = worry.LEAD_START[step], worry.LEAD_END[step]
    lead = rng.integers(low + 1, high + 1, terms.size)
    probability = worry.contact_odds(step, mood.worry(), terms.habit, terms.weakness)
    met = (terms.contact_lead < 0) & (rng.random(terms.size) < probability) & (lead > terms.decided_lead)
    terms.contact_lead = np.where(met, lead, terms.contact_lead)
    quoted = (terms.quote_lead <= high) & (terms.quote_lead > low) & (terms.quote_lead > terms.decided_lead)
    terms.discount = np.where(quoted, discount_given(mood.visible(), lean, rng), terms.discount)
    deciding = (terms.decided_lead <= high) & ((terms.decided_lead > low) | (step == worry.STEPS - 1))
    terms.felt = np.where(deciding, mood.felt, terms.felt)
