"""The oracle: the probability of each outcome given everything the CRM shows at `as_of`, and nothing else.

What is visible fixes the present state (visible worry, merit, what was contacted, quoted, called and logged);
what is not (the future, contacts made but not yet logged, hidden worry) is averaged over by drawing it, the
last step in closed form (Rao-Blackwell), so that the draws' noise is small. Hidden pasts are weighted by
the likelihood of what was seen (self-normalised importance sampling).
"""

from dataclasses import dataclass

import numpy as np

from features.simulation import worry
from features.simulation.deals import (
    CALL_DAYS,
    CALL_SHAPE,
    QUOTE_FIRST,
    QUOTE_LAST,
    QUOTE_SHARE,
    REPLY_DAYS,
    REPLY_MEAN,
    SLIPS_A_DAY,
    Deals,
    deal_discount,
    lengths,
    win_odds,
)
from features.simulation.people import People
from features.simulation.planted import DAY, LATE_DAYS, LATE_SHARE, NONE, Options, timing_table
from features.simulation.renewals import (
    WINDOW_OF_LEAD,
    Contracts,
    decided_leads,
    discount_given,
    quote_leads,
    renewal_odds,
)

LEADS = (180, 150, 120, 90, 60, 30, 14)
BURN_IN = 8
"""Steps of hidden worry drawn before the run-up, whose traces are still felt in it."""
AGES = (0, 7, 14, 30, 60, 90, 180)


@dataclass(frozen=True)
class Seen:
    """What the CRM shows of some deals at `as_of`: counts of logged calls, replies and slips, each (n,)."""

    calls: np.ndarray
    replies: np.ndarray
    slips: np.ndarray


def unlogged(days: np.ndarray) -> np.ndarray:
    """P(a call or meeting of `days` ago is not in the CRM yet); the delay is 1 + exponential days."""
    return LATE_SHARE * np.exp(-np.maximum(days - 1.0, 0.0) / LATE_DAYS)


def renewal_probability(
    who: People, terms: Contracts, rows: np.ndarray, lead: int, logged_at: np.ndarray, options: Options
) -> np.ndarray:
    """P(renewed | visible `lead` days before the end) of contracts `rows` (n,), all undecided then.

    Args:
        who: the accounts.
        terms: all contracts.
        rows: which of them, (n,).
        lead: days before the end, one of LEADS.
        logged_at: when each contract's first contact was recorded, seconds, -1 for none, (all contracts,).
        options: the switches.
    """
    rng = options.rng(100 + lead)
    first = int(np.flatnonzero(lead == worry.LEAD_START)[0])
    shape = (rows.size, options.draws)
    as_of = (terms.end_day[rows] - lead) * DAY
    contact = terms.contact_lead[rows]
    is_seen = (contact > lead) & (logged_at[rows] < as_of)
    mood, window, weight = _past(terms, rows, first, np.where(is_seen, contact, -99), shape, options, rng)
    probability = _future(who, terms, rows, first, mood, window, options, rng)
    return (probability * weight).sum(axis=1) / weight.sum(axis=1)


def _past(
    terms: Contracts,
    rows: np.ndarray,
    first: int,
    contact: np.ndarray,
    shape: tuple[int, ...],
    options: Options,
    rng: np.random.Generator,
) -> tuple[worry.Mood, np.ndarray, np.ndarray]:
    """Draw hidden worry and unlogged contacts up to step `first`, weighted by what was seen.

    Returns the mood at the start of step `first`, the window of the contact (NONE: not yet), and weights;
    all of shape (n, draws). `contact` is the lead of the visible first contact, -99 for none.
    """
    states, weak = terms.mood[rows], terms.weakness[rows, None]
    mood = worry.fresh(shape, options.hidden_share, rng)
    for name, column in (("usage", 0), ("marks", 1), ("felt", 3)):
        setattr(mood, name, np.broadcast_to(states[:, first, column, None], shape).astype(np.float32))
    hidden_felt: np.ndarray = np.zeros(shape, dtype=np.float32)
    for _ in range(BURN_IN if options.hidden_share else 0):
        hidden_felt = worry.MOOD_MEMORY * hidden_felt + (1 - worry.MOOD_MEMORY) * mood.hidden
        mood.hidden = worry.ar(mood.hidden, worry.HIDDEN_MEMORY, rng)
    alive: np.ndarray = np.ones(shape)
    weight: np.ndarray = np.zeros(shape)
    window = np.where(contact > 0, WINDOW_OF_LEAD[np.maximum(contact, 0)], NONE)
    window = np.broadcast_to(window[:, None], shape).copy()
    for step in range(first):
        state = worry.Mood(
            states[:, step, 0, None], states[:, step, 1, None], mood.hidden, mood.felt, options.hidden_share
        )
        probability = worry.contact_odds(step, state.worry(), terms.habit[rows, None], weak) * np.ones(shape)
        middle = (worry.LEAD_START[step] + worry.LEAD_END[step] + 1) / 2
        here = (contact <= worry.LEAD_START[step]) & (contact > worry.LEAD_END[step])
        late = alive * probability * unlogged(np.array(middle - worry.LEAD_START[first]))
        unseen = np.where((contact > 0)[:, None], 0.0, late)
        weight, window = _pick(weight, unseen, window, WINDOW_OF_LEAD[int(middle)], rng)
        weight = np.where(here[:, None], alive * probability, weight)
        alive = alive * (1 - probability)
        hidden_felt = worry.MOOD_MEMORY * hidden_felt + (1 - worry.MOOD_MEMORY) * mood.hidden
        if options.hidden_share:
            mood.hidden = worry.ar(mood.hidden, worry.HIDDEN_MEMORY, rng)
    weight, window = _pick(weight, np.where((contact > 0)[:, None], 0.0, alive), window, NONE, rng)
    if options.hidden_share:
        mood.felt = _felt_by_sight(terms, rows, first)[:, None] * np.sqrt(1 - options.hidden_share) + (
            np.sqrt(options.hidden_share) * hidden_felt
        )
    return mood, window, weight


def _pick(
    weight: np.ndarray, added: np.ndarray, window: np.ndarray, candidate: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Reservoir sampling: replace the drawn window by the candidate with the probability of its weight."""
    total = weight + added
    swap = (added > 0) & (rng.random(weight.shape) * total < added)
    return total, np.where(swap, candidate, window)


def _felt_by_sight(terms: Contracts, rows: np.ndarray, first: int) -> np.ndarray:
    """The visible part of the worry felt at the start of step `first`."""
    visible = terms.visible[rows]
    felt = np.zeros(rows.size)
    column = worry.STEPS_BACK + first
    for step in range(max(column - 24, 1), column):
        felt = worry.MOOD_MEMORY * felt + (1 - worry.MOOD_MEMORY) * visible[:, step - 1]
    return felt


def _future(
    who: People,
    terms: Contracts,
    rows: np.ndarray,
    first: int,
    mood: worry.Mood,
    window: np.ndarray,
    options: Options,
    rng: np.random.Generator,
) -> np.ndarray:
    """P(renewed) in each draw (n, draws), having walked it from the start of step `first` to the decision."""
    shape, lead = window.shape, int(worry.LEAD_START[first])
    decided = decided_leads(np.full(shape, lead), rng)
    is_quoted = np.isfinite(terms.discount[rows]) & (terms.quote_lead[rows] > lead)
    discount = np.broadcast_to(np.where(is_quoted, terms.discount[rows], np.nan)[:, None], shape)
    quote = np.where(is_quoted[:, None], -99, quote_leads(np.full(shape, lead), rng))
    lean, habit = who.owner_discount[who.owner[terms.account[rows]]][:, None], terms.habit[rows, None]
    felt = mood.felt
    for step in range(first, worry.STEPS):
        high, low = int(worry.LEAD_START[step]), int(worry.LEAD_END[step])
        at = rng.integers(low + 1, high + 1, shape)
        probability = worry.contact_odds(step, mood.worry(), habit, terms.weakness[rows, None])
        met = (window == NONE) & (rng.random(shape, dtype=np.float32) < probability) & (at > decided)
        window = np.where(met, WINDOW_OF_LEAD[high], window)
        quoted = (quote <= high) & (quote > low) & (quote > decided)
        if quoted.any():
            discount = np.where(quoted, discount_given(mood.visible(), lean, rng), discount)
        deciding = (decided <= high) & ((decided > low) | (step == worry.STEPS - 1))
        felt = np.where(deciding, mood.felt, felt)
        if step < worry.STEPS - 1:
            worry.advance(mood, step, rng)
    account = terms.account[rows]
    inside = (who.in_icp[account] & options.has_icp).astype(np.int64)
    timing = timing_table(options)[who.industry[account][:, None], inside[:, None], window]
    return renewal_odds(terms.fixed[rows, None], felt, timing, discount, options.signal)


def win_probability(
    who: People, deals: Deals, rows: np.ndarray, age: int, visible: Seen, horizon: int, options: Options
) -> tuple[np.ndarray, np.ndarray]:
    """(P(won within `horizon` days), P(ever won)) given what is visible `age` days after creation, each (n,).

    All of `rows` are open then.
    """
    rng = options.rng(300 + age)
    shape = (rows.size, options.draws)
    length = np.zeros(shape, dtype=np.int64)
    for expansion in (False, True):
        mine = (deals.contract[rows] >= 0) == expansion
        pool = lengths(expansion, options)
        start = np.searchsorted(pool, age, side="left" if age else "right")
        length[mine] = pool[rng.integers(start, pool.size, (mine.sum(), options.draws))]
    calls = visible.calls[:, None] + _calls_to_come(deals, rows, age, visible.calls, length, rng)
    reply_room = np.clip(np.minimum(length, REPLY_DAYS) - age, 0, None)
    replies = visible.replies[:, None] + rng.poisson(REPLY_MEAN * reply_room / REPLY_DAYS)
    slips = visible.slips[:, None] + rng.poisson(SLIPS_A_DAY * np.maximum(length - age, 0))
    discount = _discount_to_come(who, deals, rows, age, length, options, rng)
    probability = win_odds(deals.merit[rows, None], calls, replies, slips, discount, options.signal)
    return (probability * (length <= age + horizon)).mean(axis=1), probability.mean(axis=1)


def _calls_to_come(
    deals: Deals, rows: np.ndarray, age: int, logged: np.ndarray, length: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Calls of the first 30 days not seen yet (n, draws): the gamma-Poisson posterior given those logged."""
    effort = deals.effort[rows]
    days = np.arange(min(age, CALL_DAYS))
    hidden_days = unlogged(age - days - 0.5).sum() if days.size else 0.0
    seen_days = days.size - hidden_days
    rate = rng.gamma((CALL_SHAPE + logged)[:, None], 1.0, length.shape)
    rate = rate / (CALL_SHAPE + effort * seen_days / CALL_DAYS)[:, None] * effort[:, None]
    room = hidden_days + np.clip(np.minimum(length, CALL_DAYS) - age, 0, None)
    return rng.poisson(rate * room / CALL_DAYS)


def _discount_to_come(
    who: People,
    deals: Deals,
    rows: np.ndarray,
    age: int,
    length: np.ndarray,
    options: Options,
    rng: np.random.Generator,
) -> np.ndarray:
    """The first quote's discount (n, draws): as seen, or as it may come, NaN for no quote."""
    quoted = (deals.quote_age[rows] >= 0) & (deals.quote_age[rows] < age)
    span = QUOTE_LAST - QUOTE_FIRST + 1
    left = np.clip((QUOTE_LAST - max(age, QUOTE_FIRST) + 1) / span, 0, 1)
    probability = QUOTE_SHARE * left / (QUOTE_SHARE * left + 1 - QUOTE_SHARE)
    at = rng.integers(max(age, QUOTE_FIRST), max(age, QUOTE_LAST) + 1, length.shape)
    comes = (rng.random(length.shape) < probability) & (at < length)
    account = deals.account[rows]
    lean, ideal = who.owner_discount[who.owner[account]], who.in_icp[account] & options.has_icp
    known_merit = np.broadcast_to(deals.known_merit[rows, None], length.shape)
    draw = deal_discount(known_merit, lean[:, None], ideal[:, None], rng)
    return np.where(quoted[:, None], deals.discount[rows, None], np.where(comes, draw, np.nan))
