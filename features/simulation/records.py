"""The whole CRM of a simulated world, table by table, and what of it was known before a day."""

from dataclasses import dataclass

import numpy as np

from features.crm.contract import TABLES
from features.simulation import contract_events, deal_events, renewal_deals
from features.simulation.csv_tables import Frame, ids, keep, moments, stack
from features.simulation.deals import Deals, Leads, business, expansions
from features.simulation.people import People, account_frames, campaign_frame, owner_history, people
from features.simulation.planted import DAY, Options
from features.simulation.renewals import Contracts, contracts

Marks = dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class World:
    """Everything that is true, future included."""

    options: Options
    who: People
    leads: Leads
    deals: Deals
    terms: Contracts
    created: np.ndarray  # seconds at which each deal was created


@dataclass(frozen=True)
class Records:
    """Everything that is ever written down, and what the oracle has to know of it.

    `logged_at` is when each contract's first contact was recorded (seconds, -1 none); `marks` are a deal's
    events by name as (deal, occurred_at, recorded_at); `slips` as (deal, moment).
    """

    frames: dict[str, Frame]
    logged_at: np.ndarray
    marks: Marks
    slips: tuple[np.ndarray, np.ndarray]


def world(options: Options) -> World:
    """Draw the accounts and live through their deals and contracts."""
    who = people(options)
    leads, deals = business(who, options)
    rng = options.rng(10)
    first, won = np.flatnonzero(who.is_customer), deals.won == 1
    start = options.first_day - 180 + rng.integers(0, 365, first.size)
    gained = deals.created_day[won] + deals.length[won] + rng.integers(3, 20, won.sum())
    terms = contracts(
        who, np.concatenate([first, deals.account[won]]), np.concatenate([start, gained]), options
    )
    more = expansions(who, terms, options)
    deals = Deals(
        **{name: np.concatenate([values, getattr(more, name)]) for name, values in vars(deals).items()}
    )
    return World(options, who, leads, deals, terms, moments(deals.created_day, options.rng(11), 8, 12))


def records(of: World) -> Records:
    """Everything the CRM of this world ever holds."""
    who, leads, deals, terms, options = of.who, of.leads, of.deals, of.terms, of.options
    frames = account_frames(who, options)
    frames["campaigns"], campaign_day, channel = campaign_frame(options)
    changed, first_amount, changed_at = deal_events.amount_history(deals, of.created, options)
    today = np.where(changed_at >= options.until_day * DAY, first_amount, deals.amount)
    frames["contracts"] = contract_events.contract_frame(who, terms, options)
    forecasts = contract_events.forecast_history(who, terms, frames["contracts"], options)
    accounts = frames["accounts"]
    owners = owner_history(who, accounts["account_id"], accounts["created_at"], options)
    frames["history"] = stack([forecasts, changed, owners])
    renewals = renewal_deals.renewal_deal_frame(who, terms, frames["contracts"])
    frames["opportunities"] = stack(
        [deal_events.deal_frame(who, deals, of.created, today, options), renewals]
    )
    stages, slips = deal_events.stage_frame(deals, of.created, first_amount, changed_at, options)
    frames["stage_history"] = stack([stages, renewal_deals.renewal_stages(renewals)])
    contact, logged_at = contract_events.contacts_made(who, terms, options)
    dealt, marks = deal_events.deal_activities(who, deals, of.created, options)
    others = contract_events.contract_activities(who, terms, logged_at, options)
    frames["activities"] = _keyed("activity_id", "V", stack([contact, *others, *dealt]), "occurred_at")
    quotes = [
        contract_events.renewal_quotes(terms, options),
        deal_events.deal_quotes(deals, of.created, options),
    ]
    frames["quotes"] = _keyed("quote_id", "Q", stack(quotes), "quoted_at")
    frames["leads"] = deal_events.lead_frame(leads, of.created, options)
    frames["touches"] = deal_events.touch_frame(who, leads, campaign_day, channel, options)
    frames["usage"] = contract_events.usage_frame(terms)
    cases = contract_events.case_frame(terms, options)
    frames["cases"] = _keyed("case_id", "K", cases, "opened_at")
    frames["surveys"] = _keyed(
        "response_id", "R", contract_events.survey_frame(terms, cases, options), "asked_at"
    )
    frames["invoices"] = _keyed("invoice_id", "I", contract_events.invoice_frame(terms, options), "issued_at")
    return Records(frames, logged_at, marks, slips)


def _keyed(key: str, prefix: str, frame: Frame, time: str) -> Frame:
    """A frame in the order of time with running keys."""
    order = np.argsort(frame[time], kind="stable")
    return {key: ids(prefix, np.arange(order.size), 7), **keep(frame, order)}


def known_before(table: str, frame: Frame, until: int) -> Frame:
    """Leave out what is first known at `until` (seconds) or later, and empty second moments that late."""
    declared = TABLES[table]
    frame = dict(frame)
    for moment in declared.seconds:
        frame[moment] = np.where(frame[moment] >= until, -1, frame[moment])
        for column in declared.columns:
            if column.known_with == moment and column.name in frame:
                frame[column.name] = _emptied(frame[column.name], frame[moment] < 0)
    if table == "leads":
        frame["opportunity_id"] = _emptied(frame["opportunity_id"], frame["qualified_at"] < 0)
    if not declared.time:
        return frame
    first = frame["recorded_at"] if table == "activities" else frame[declared.time]
    if table in ("usage", "contracts"):
        first = first * DAY
    return keep(frame, first < until)


def _emptied(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    if values.dtype.kind == "U":
        return np.where(mask, "", values)
    return np.where(mask, np.nan if values.dtype.kind == "f" else -1, values).astype(values.dtype)
