"""What the CRM records of leads and deals: calls, replies, stages, slips, quotes, touches."""

import numpy as np

from features.simulation.contract_events import changes, contract_keys
from features.simulation.csv_tables import Frame, ids, moments, recorded, stack
from features.simulation.deals import CALL_DAYS, REPLY_DAYS, Deals, Leads
from features.simulation.oracle import Seen
from features.simulation.people import CHANNELS, People
from features.simulation.planted import DAY, SOURCES, Options, logistic

STAGES = ("discovery", "demo", "proposal", "negotiation")
COMPETITORS = ("none", "small rival", "market leader")
REASONS = ("price", "competitor", "no decision", "no budget", "went quiet")
MONTH = 30


def deal_keys(rows: np.ndarray) -> np.ndarray:
    """Opportunity ids of row numbers; empty where negative."""
    return ids("O", rows)


def deal_frame(who: People, deals: Deals, created: np.ndarray, amount: np.ndarray, options: Options) -> Frame:
    """The table opportunities, new business and expansions; `amount` is today's."""
    rng = options.rng(50)
    sight = deals.merit + who.owner_bias[who.owner[deals.account]] + rng.normal(0, 1.0, deals.size)
    return {
        "opportunity_id": deal_keys(np.arange(deals.size)),
        "created_at": created,
        "account_id": ids("A", deals.account),
        "kind": np.where(deals.contract >= 0, "expansion", "new"),
        "closed_at": created + deals.length * DAY,
        "is_won": deals.won,
        "amount": amount,
        "lead_source": np.array(SOURCES)[deals.source],
        "lost_reason": np.where(deals.won == 1, "", _lost_reason(deals, rng)),
        "owner_id": ids("U", who.owner[deals.account], 3),
        "contract_id": contract_keys(deals.contract),
        "forecast": np.round(logistic(sight), 2),
        "competitor": np.array(COMPETITORS)[deals.competitor],
        "has_partner": deals.partner,
    }


def _lost_reason(deals: Deals, rng: np.random.Generator) -> np.ndarray:
    weight = np.stack(
        [
            0.8 - 6 * np.nan_to_num(deals.discount),
            0.8 * (deals.competitor == 2) - 0.3,
            0.5 * deals.slips,
            np.zeros(deals.size),
            0.4 * (1.6 - deals.replies),
        ]
    )
    return np.array(REASONS)[(weight + rng.gumbel(0, 0.5, weight.shape)).argmax(axis=0)]


def deal_activities(
    who: People, deals: Deals, created: np.ndarray, options: Options
) -> tuple[list[Frame], dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]]:
    """Calls, meetings and emails of deals, and what the oracle needs: (deal, occurred, recorded) by kind."""
    rng = options.rng(51)
    later = rng.poisson(np.maximum(deals.length - CALL_DAYS, 0) * 0.04)
    call = _events(
        deals, created, deals.calls, np.zeros(deals.size), np.minimum(deals.length, CALL_DAYS), rng
    )
    follow = _events(deals, created, later, np.full(deals.size, CALL_DAYS), deals.length, rng)
    meeting = _events(
        deals, created, rng.poisson(deals.length * 0.015), np.zeros(deals.size), deals.length, rng
    )
    mail = _events(
        deals, created, rng.poisson(deals.length * 0.06 + 1), np.zeros(deals.size), deals.length, rng
    )
    reply = _events(
        deals, created, deals.replies, np.zeros(deals.size), np.minimum(deals.length, REPLY_DAYS), rng
    )
    frames, marks = [], {}
    for name, kind, events, outbound in (
        ("calls", "call", call, True),
        ("later", "call", follow, True),
        ("meetings", "meeting", meeting, True),
        ("mails", "email", mail, True),
        ("replies", "email", reply, False),
    ):
        frame = _activities(who, deals, *events, kind, outbound, rng)
        frames.append(frame)
        marks[name] = (events[0], events[1], frame["recorded_at"])
    return frames, marks


def _events(
    deals: Deals,
    created: np.ndarray,
    count: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """(deal, moment) of `count` events a deal, uniform between two ages in days."""
    deal = np.repeat(np.arange(deals.size), count)
    age = first[deal] + rng.random(deal.size) * (last - first)[deal]
    return deal, created[deal] + (age * DAY).astype(np.int64)


def _activities(
    who: People,
    deals: Deals,
    deal: np.ndarray,
    occurred: np.ndarray,
    kind: str,
    outbound: bool,
    rng: np.random.Generator,
) -> Frame:
    n, account = deal.size, deals.account[deal]
    talk = kind != "email"
    minutes = np.round(rng.gamma(2.0, 6.0, n) + 1) if kind == "call" else rng.choice([30.0, 45.0, 60.0], n)
    return {
        "account_id": ids("A", account),
        "opportunity_id": deal_keys(deal),
        "contract_id": np.full(n, "", dtype="U7"),
        "contact_id": ids("P", 2 * account + rng.integers(0, 2, n)),
        "owner_id": ids("U", who.owner[account], 3),
        "occurred_at": occurred,
        "kind": np.full(n, kind),
        "recorded_at": recorded(occurred, rng) if talk else occurred + 30,
        "direction": np.full(n, "outbound" if outbound else "inbound"),
        "duration_minutes": minutes if talk else np.full(n, np.nan),
        "outcome": np.full(n, "reached" if talk else ("" if outbound else "replied")),
    }


def stage_frame(
    deals: Deals, created: np.ndarray, first_amount: np.ndarray, changed_at: np.ndarray, options: Options
) -> tuple[Frame, tuple[np.ndarray, np.ndarray]]:
    """The table stage_history, and the slips as (deal, moment).

    Stages advance at a pace independent of the outcome; a slip moves the expected close by a month.
    """
    rng = options.rng(52)
    n = deals.size
    slip_deal, slip_at = _events(deals, created, deals.slips, np.zeros(n), deals.length, rng)
    gaps = rng.exponential(14.0, (n, len(STAGES) - 1)) + 1
    ages = np.concatenate([np.zeros((n, 1)), gaps.cumsum(axis=1)], axis=1)
    deal, stage = np.nonzero(ages < deals.length[:, None])
    moved = created[deal] + (ages[deal, stage] * DAY).astype(np.int64)
    rows = np.concatenate([deal, slip_deal, np.arange(n)])
    at = np.concatenate([moved, slip_at, created + deals.length * DAY])
    code = np.concatenate([stage, np.full(slip_deal.size, -1), np.full(n, len(STAGES))])
    order = np.lexsort((code, at, rows))
    rows, at, code = rows[order], at[order], code[order]
    slipped = code == -1
    before = np.maximum.accumulate(np.where(slipped, -1, np.arange(code.size)))
    named = np.where(slipped, code[before], code)
    total = np.cumsum(slipped)
    start = np.searchsorted(rows, np.arange(n))
    slips_so_far = total - (total[start] - slipped[start])[rows]
    expected = created[rows] // DAY + 75 + MONTH * slips_so_far
    closed = np.where(deals.won[rows] == 1, "won", "lost")
    frame: Frame = {
        "opportunity_id": deal_keys(rows),
        "changed_at": at,
        "stage": np.where(named == len(STAGES), closed, np.array([*STAGES, ""])[named]),
        "amount": np.where(at < changed_at[rows], first_amount[rows], deals.amount[rows]),
        "expected_close_date": expected,
    }
    return frame, (slip_deal, slip_at)


def seen_at(
    deals: Deals,
    rows: np.ndarray,
    as_of: np.ndarray,
    marks: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    slips: tuple[np.ndarray, np.ndarray],
) -> Seen:
    """Counts of what the CRM shows of deals `rows` at `as_of` (n,)."""
    moment = np.full(deals.size, -1)
    moment[rows] = as_of

    def count(deal: np.ndarray, known_at: np.ndarray) -> np.ndarray:
        return np.bincount(deal[known_at < moment[deal]], minlength=deals.size)[rows]

    calls, replies = marks["calls"], marks["replies"]
    return Seen(
        count(calls[0], np.maximum(calls[1], calls[2])),
        count(replies[0], np.maximum(replies[1], replies[2])),
        count(*slips),
    )


def deal_quotes(deals: Deals, created: np.ndarray, options: Options) -> Frame:
    """First quotes of deals, and for some a second one a week later, a little lower."""
    rng = options.rng(53)
    row = np.flatnonzero(np.isfinite(deals.discount))
    second = row[(rng.random(row.size) < 0.2) & (deals.quote_age[row] + 7 < deals.length[row])]
    both, extra = np.concatenate([row, second]), np.repeat([0.0, 0.03], [row.size, second.size])
    age = deals.quote_age[both] + np.repeat([0, 7], [row.size, second.size])
    return {
        "quoted_at": created[both] + age * DAY,
        "list_amount": deals.amount[both],
        "net_amount": np.round(deals.amount[both] * (1 - deals.discount[both] - extra), 2),
        "account_id": ids("A", deals.account[both]),
        "opportunity_id": deal_keys(both),
        "contract_id": np.full(both.size, "", dtype="U7"),
    }


def lead_frame(leads: Leads, created: np.ndarray, options: Options) -> Frame:
    """The table leads."""
    rng = options.rng(54)
    at = moments(leads.created_day, rng, 8, 12)
    qualified = np.where(leads.deal >= 0, created[np.maximum(leads.deal, 0)], -1)
    reason = np.array(("no budget", "no need", "no answer"))[rng.integers(0, 3, at.size)]
    return {
        "lead_id": ids("L", np.arange(at.size)),
        "created_at": at,
        "account_id": ids("A", leads.account),
        "source": np.array(SOURCES)[leads.source],
        "qualified_at": qualified,
        "disqualified_at": np.where(leads.qualified, -1, moments(leads.decided_day, rng, 13, 18)),
        "disqualified_reason": np.where(leads.qualified, "", reason),
        "opportunity_id": deal_keys(leads.deal),
        "form_version": np.array(("a", "b"))[rng.integers(0, 2, at.size)],
    }


def touch_frame(
    who: People, leads: Leads, first_day: np.ndarray, channel: np.ndarray, options: Options
) -> Frame:
    """The table touches: every campaign reaches a tenth of the accounts, and those whose lead is young."""
    rng = options.rng(55)
    reached = rng.random((first_day.size, who.industry.size)) < 0.10
    campaign, account = np.nonzero(reached)
    sent = moments(first_day[campaign] + rng.integers(0, 20, campaign.size), rng)
    lead = np.full(account.size, -1)
    chosen = np.flatnonzero(rng.random(leads.account.size) < 0.5)
    index = np.searchsorted(first_day, leads.created_day[chosen]) - 1
    chosen, index = chosen[index >= 0], index[index >= 0]
    campaign = np.concatenate([campaign, index])
    account = np.concatenate([account, leads.account[chosen]])
    sent = np.concatenate([sent, (leads.created_day[chosen] - 1) * DAY + 10 * 3600])
    lead = np.concatenate([lead, chosen])
    n = sent.size
    opened = (rng.random(n) < 0.4) | (lead >= 0)
    clicked, responded = opened & (rng.random(n) < 0.35), opened & ((rng.random(n) < 0.08) | (lead >= 0))
    opened_at = sent + rng.integers(60, 12 * 3600, n)
    return {
        "touch_id": ids("T", np.arange(n)),
        "sent_at": sent,
        "account_id": ids("A", account),
        "lead_id": ids("L", lead),
        "campaign_id": ids("M", campaign, 3),
        "channel": np.array(CHANNELS)[channel[campaign]],
        "opened_at": np.where(opened, opened_at, -1),
        "clicked_at": np.where(clicked, opened_at + 60, -1),
        "responded_at": np.where(responded, opened_at + 600, -1),
    }


def amount_history(
    deals: Deals, created: np.ndarray, options: Options
) -> tuple[Frame, np.ndarray, np.ndarray]:
    """Amounts that changed halfway, as history; first amounts; when they changed (-1: never)."""
    rng = options.rng(56)
    changing = (rng.random(deals.size) < 0.25) & (deals.length > 4)
    first = np.where(changing, np.round(deals.amount * rng.uniform(0.7, 1.3, deals.size), 2), deals.amount)
    at = np.where(changing, created + deals.length * (DAY // 2), -1)
    key = deal_keys(np.arange(deals.size))
    before = changes("opportunities", "amount", key, created, first, changing)
    after = changes("opportunities", "amount", key, at, deals.amount, changing)
    return stack([before, after]), first, at
