"""What the CRM records of contracts: usage, cases, scores, invoices, contacts, quotes, forecasts."""

import numpy as np

from features.simulation import worry
from features.simulation.csv_tables import Frame, ids, keep, moments, recorded, stack
from features.simulation.people import People
from features.simulation.planted import DAY, PRODUCTS, Options, logistic
from features.simulation.renewal_deals import MANAGED_LEAD, managed, renewal_deal_keys
from features.simulation.renewals import WIDTH, Contracts

OUTCOMES = ("reached", "voicemail", "no answer", "rescheduled")
FIRST_FORECAST = 0.8
"""What owners write at the start of every contract."""
REASONS = ("service", "low usage", "price", "no contact", "budget")


def contract_keys(rows: np.ndarray) -> np.ndarray:
    """Contract ids of row numbers; empty where negative."""
    return ids("C", rows)


def contract_frame(who: People, terms: Contracts, options: Options) -> Frame:
    """The table contracts."""
    rng = options.rng(40)
    decided_day = terms.end_day - terms.decided_lead
    return {
        "contract_id": contract_keys(np.arange(terms.size)),
        "account_id": ids("A", terms.account),
        "start_date": terms.start_day,
        "end_date": terms.end_day,
        "product": np.array(PRODUCTS)[terms.product],
        "annual_value": terms.annual_value,
        "list_value": terms.list_value,
        "auto_renew": terms.auto_renew,
        "renewed": terms.renewed,
        "decided_at": moments(decided_day, rng, 14, 17),
        "lost_reason": np.where(terms.renewed == 1, "", _lost_reason(terms, rng)),
        "owner_id": ids("U", who.owner[terms.account], 3),
        "forecast": np.full(terms.size, FIRST_FORECAST),
        "seats": terms.seats,
        "billing": np.where(terms.monthly, "monthly", "annual"),
    }


def _lost_reason(terms: Contracts, rng: np.random.Generator) -> np.ndarray:
    """The stated reason: what weighed most, with some noise of the person who typed it."""
    weight = np.stack(
        [
            terms.mood[:, -1, 1] - worry.MARK_MEAN,
            -0.8 * terms.mood[:, -1, 0],
            0.8 - 6 * np.nan_to_num(terms.discount),
            np.where(terms.contact_lead < 0, 0.7, -0.5),
            np.zeros(terms.size),
        ]
    )
    return np.array(REASONS)[(weight + rng.gumbel(0, 0.5, weight.shape)).argmax(axis=0)]


def step_day(terms: Contracts, row: np.ndarray, column: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A day (n,) within a contract's step: steps are 15 days, the last two 16 and 15."""
    step = column - worry.STEPS_BACK
    inside = np.clip(step, 0, worry.STEPS - 1)
    before = np.minimum(step, 0) * 15
    lead = rng.integers(worry.LEAD_END[inside] + 1, worry.LEAD_START[inside] + 1)
    return terms.end_day[row] - lead + before


def _owned(
    who: People, terms: Contracts, row: np.ndarray, activity: Frame, rng: np.random.Generator
) -> Frame:
    """Activities with what they belong to: contract, contact, owner, and the renewal's deal once open."""
    account = terms.account[row]
    known_at = np.minimum(activity["occurred_at"], activity["recorded_at"])
    within = managed(who, terms)[row] & (known_at >= (terms.end_day[row] - MANAGED_LEAD) * DAY)
    return activity | {
        "account_id": ids("A", account),
        "opportunity_id": np.where(within, renewal_deal_keys(row), ""),
        "contract_id": contract_keys(row),
        "contact_id": ids("P", 2 * account + rng.integers(0, 2, row.size)),
        "owner_id": ids("U", who.owner[account], 3),
    }


def live_cells(terms: Contracts) -> np.ndarray:
    """Which steps of WIDTH belong to each contract (contracts, WIDTH)."""
    return np.arange(WIDTH) - worry.STEPS_BACK >= terms.first_step[:, None]


def contacts_made(who: People, terms: Contracts, options: Options) -> tuple[Frame, np.ndarray]:
    """The first human contacts of the run-up, and when each contract's was logged (-1: none)."""
    rng = options.rng(41)
    row = np.flatnonzero(terms.contact_lead >= 0)
    occurred = moments(terms.end_day[row] - terms.contact_lead[row], rng, 8, 13)
    logged = np.full(terms.size, -1)
    frame = _owned(who, terms, row, _call(occurred, rng, np.ones(row.size, dtype=bool)), rng)
    logged[row] = frame["recorded_at"]
    return frame, logged


def _call(
    occurred: np.ndarray, rng: np.random.Generator, outbound: np.ndarray, planned: float = 0.0
) -> Frame:
    """Calls and meetings; the share `planned` of the meetings was in the CRM days before it took place."""
    n = occurred.size
    meeting = rng.random(n) < 0.35
    logged = recorded(occurred, rng)
    ahead = meeting & (rng.random(n) < planned)
    logged = np.where(ahead, occurred - rng.integers(2 * DAY, 20 * DAY, n), logged)
    minutes = np.where(meeting, rng.choice([30, 45, 60, 90], n), np.round(rng.gamma(2.0, 6.0, n) + 1))
    return {
        "occurred_at": occurred,
        "kind": np.where(meeting, "meeting", "call"),
        "recorded_at": logged,
        "direction": np.where(outbound, "outbound", "inbound"),
        "duration_minutes": minutes,
        "outcome": np.array(OUTCOMES)[np.where(meeting, 0, rng.choice(4, n, p=[0.6, 0.2, 0.15, 0.05]))],
    }


def contract_activities(
    who: People, terms: Contracts, logged_at: np.ndarray, options: Options
) -> list[Frame]:
    """Emails all along; calls and meetings early on and again once the run-up's first contact is logged."""
    rng = options.rng(42)
    live, column = live_cells(terms), np.arange(WIDTH)
    mails = rng.poisson(np.where(live, 0.5 + 0.35 * np.exp(0.2 * terms.visible), 0))
    row, cell = _spread(mails)
    occurred = moments(step_day(terms, row, cell, rng), rng)
    outbound = rng.random(row.size) < 0.6
    mail: Frame = {
        "occurred_at": occurred,
        "kind": np.full(row.size, "email"),
        "recorded_at": occurred + 30,
        "direction": np.where(outbound, "outbound", "inbound"),
        "duration_minutes": np.full(row.size, np.nan),
        "outcome": np.where(rng.random(row.size) < 0.3, "replied", ""),
    }
    early = live & (column < worry.STEPS_BACK)
    row2, cell2 = _spread(rng.poisson(np.where(early, 0.25, 0)))
    talk_at = moments(step_day(terms, row2, cell2, rng), rng)
    talk = _call(talk_at, rng, rng.random(row2.size) < 0.75, planned=0.5)
    talk["recorded_at"] = np.maximum(talk["recorded_at"], terms.start_day[row2] * DAY)
    row3, cell3 = _spread(rng.poisson(np.where(live & (terms.contact_lead >= 0)[:, None] & ~early, 0.4, 0)))
    follow_at = moments(step_day(terms, row3, cell3, rng), rng)
    follow = _call(follow_at, rng, rng.random(row3.size) < 0.75, planned=0.5)
    after = np.minimum(follow["recorded_at"], follow_at) > logged_at[row3]
    return [
        _owned(who, terms, row, mail, rng),
        _owned(who, terms, row2, talk, rng),
        keep(_owned(who, terms, row3, follow, rng), after),
    ]


def _spread(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each of `counts` (n, k) events."""
    flat = np.repeat(np.arange(counts.size), counts.ravel())
    return flat // counts.shape[1], flat % counts.shape[1]


def usage_frame(terms: Contracts) -> Frame:
    """The table usage: one figure a step, dated within it: how many in a hundred seats were active."""
    row, cell = np.nonzero(live_cells(terms))
    step = cell - worry.STEPS_BACK
    lead = worry.LEAD_END[np.clip(step, 0, None)] + 6 - np.minimum(step, 0) * 15
    value = 100 * logistic(0.2 + 0.7 * terms.usage[row, cell].astype(np.float64))
    return {
        "account_id": ids("A", terms.account[row]),
        "used_on": terms.end_day[row] - lead,
        "metric": np.full(row.size, "active_seats_pct"),
        "value": np.round(value, 2),
    }


def case_frame(terms: Contracts, options: Options) -> Frame:
    """The table cases: those of the worry, most of them closed after days to weeks."""
    rng = options.rng(44)
    row, cell = np.nonzero(terms.case > 0)
    opened = moments(step_day(terms, row, cell, rng), rng, 0, 23)
    escalated = terms.case[row, cell] == 2
    days = rng.exponential(np.where(escalated, 18.0, 6.0)) + 0.1
    rated = rng.random(row.size) < 0.4
    csat = np.clip(np.round(4.4 - 1.2 * escalated + rng.normal(0, 0.8, row.size)), 1, 5)
    return {
        "account_id": ids("A", terms.account[row]),
        "opened_at": opened,
        "closed_at": opened + (days * DAY).astype(np.int64),
        "priority": np.where(escalated, "high", np.array(("low", "normal"))[rng.integers(0, 2, row.size)]),
        "escalated": escalated,
        "csat": np.where(rated, csat, np.nan),
    }


def survey_frame(terms: Contracts, cases: Frame, options: Options) -> Frame:
    """The table surveys: NPS of the worry, CSAT after cases, CES after the start; most stay unanswered."""
    rng = options.rng(45)
    row, cell = np.nonzero(terms.score > -2)
    asked_day, got = step_day(terms, row, cell, rng), terms.score[row, cell]
    score = np.where(got == 1, rng.integers(0, 7, row.size), rng.integers(7, 11, row.size)).astype(float)
    nps = _survey("nps", "relationship", terms, row, asked_day, np.where(got >= 0, score, np.nan), rng)
    answered = rng.random(terms.size) < 0.5
    ces = np.where(answered, np.clip(np.round(rng.normal(5.2, 1.2, terms.size)), 1, 7), np.nan)
    first = np.arange(terms.size)
    onboarding = _survey("ces", "onboarding", terms, first, terms.start_day + 20, ces, rng)
    return stack([nps, onboarding, _after_cases(cases, rng)])


def _after_cases(cases: Frame, rng: np.random.Generator) -> Frame:
    """CSAT asked when a case closes; the score is the one the case carries."""
    asked_at = cases["closed_at"] + 300
    answered = np.isfinite(cases["csat"])
    return {
        "account_id": cases["account_id"],
        "kind": np.full(asked_at.size, "csat"),
        "asked_at": asked_at,
        "answered_at": np.where(answered, asked_at + rng.integers(600, 2 * DAY, asked_at.size), -1),
        "score": cases["csat"],
        "contact_id": np.full(asked_at.size, "", dtype="U7"),
        "touchpoint": np.full(asked_at.size, "case"),
    }


def _survey(
    kind: str, touchpoint: str, terms: Contracts, row: np.ndarray, asked_day: np.ndarray, score: np.ndarray,
    rng: np.random.Generator,
) -> Frame:  # fmt: skip
    account = terms.account[row]
    asked_at = asked_day * DAY + 7 * 3600
    return {
        "account_id": ids("A", account),
        "kind": np.full(row.size, kind),
        "asked_at": asked_at,
        "answered_at": np.where(np.isfinite(score), asked_at + rng.integers(600, 14 * 3600, row.size), -1),
        "score": score,
        "contact_id": ids("P", 2 * account + rng.integers(0, 2, row.size)),
        "touchpoint": np.full(row.size, touchpoint),
    }


def invoice_frame(terms: Contracts, options: Options) -> Frame:
    """The table invoices: one every 90 days; overdue ones are unpaid on the day they fall due.

    None is issued before its contract starts: a next term's invoice must not reveal that there will be one.
    """
    rng = options.rng(46)
    due_step = (np.arange(WIDTH) - worry.STEPS_BACK) % 6 == 0
    row, cell = np.nonzero(live_cells(terms) & due_step)
    due = step_day(terms, row, cell, rng)
    late = terms.overdue[row, cell] == 1
    paid = due + np.where(late, rng.integers(12, 60, row.size), -rng.integers(1, 25, row.size))
    return {
        "account_id": ids("A", terms.account[row]),
        "issued_at": moments(np.maximum(due - 30, terms.start_day[row]), rng),
        "due_at": due,
        "amount": np.round(terms.annual_value[row] / 4, 2),
        "paid_at": moments(paid, rng),
    }


def renewal_quotes(terms: Contracts, options: Options) -> Frame:
    """Quotes of renewals: the list value and what is asked."""
    rng = options.rng(47)
    row = np.flatnonzero(np.isfinite(terms.discount))
    return {
        "quoted_at": moments(terms.end_day[row] - terms.quote_lead[row], rng, 8, 13),
        "list_amount": terms.list_value[row],
        "net_amount": np.round(terms.list_value[row] * (1 - terms.discount[row]), 2),
        "account_id": ids("A", terms.account[row]),
        "opportunity_id": np.full(row.size, "", dtype="U8"),
        "contract_id": contract_keys(row),
    }


def forecast_history(who: People, terms: Contracts, frame: Frame, options: Options) -> Frame:
    """What the owners forecast at the start, 90 and 30 days before the end; `frame` then holds today's.

    A forecast is made of what the CRM shows on that day, with the owner's bias and a lot of noise.
    """
    rng = options.rng(48)
    today = frame["forecast"]
    every = np.ones(terms.size, dtype=bool)
    parts = [changes("contracts", "forecast", frame["contract_id"], terms.start_day * DAY, today, every)]
    for lead in (90, 30):
        before = worry.STEPS_BACK + int(np.flatnonzero(lead == worry.LEAD_START)[0]) - 1
        sight = terms.fixed - 0.8 * terms.visible[:, before] + who.owner_bias[who.owner[terms.account]]
        value = np.round(logistic(sight + rng.normal(0, 1.0, terms.size)), 2)
        day = terms.end_day - lead
        happened = (terms.decided_lead < lead) & (day < options.until_day)
        today = np.where(happened, value, today)
        parts.append(
            changes("contracts", "forecast", frame["contract_id"], day * DAY + 32_400, value, happened)
        )
    frame["forecast"] = today
    return stack(parts)


def changes(
    table: str, column: str, key: np.ndarray, changed_at: np.ndarray, value: np.ndarray, mask: np.ndarray
) -> Frame:
    """Rows of the table history: what `column` of each row (n,) was from then on, where mask is true."""
    frame = {
        "table": np.full(key.size, table),
        "id": key,
        "changed_at": changed_at,
        "column": np.full(key.size, column),
        "value": value.astype(str),
    }
    return keep(frame, mask)
