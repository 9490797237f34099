"""The oracle's answers as tables: one row a contract and lead time, or deal and age, and what came."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.simulation import deal_events
from features.simulation.csv_tables import Frame, stack
from features.simulation.oracle import AGES, LEADS, renewal_probability, win_probability
from features.simulation.planted import DAY
from features.simulation.records import Records, World
from features.simulation.renewal_deals import MANAGED_LEAD, managed, renewal_deal_keys
from features.simulation.renewals import decided_leads


def renewal_answers(of: World, recorded: Records) -> Frame:
    """P(renewed | visible) of every contract at each lead time at which it ran undecided, until `until`."""
    terms, parts = of.terms, []
    for lead in LEADS:
        as_of = terms.end_day - lead
        open_then = (terms.start_day < as_of) & (terms.decided_lead <= lead) & (as_of <= of.options.until_day)
        rows = np.flatnonzero(open_then)
        parts.append(
            {
                "contract_id": recorded.frames["contracts"]["contract_id"][rows],
                "lead_days": np.full(rows.size, lead),
                "as_of": as_of[rows] * DAY,
                "oracle": renewal_probability(of.who, terms, rows, lead, recorded.logged_at, of.options),
                "label": terms.renewed[rows].astype(np.float64),
            }
        )
    return stack(parts)


def horizon_days(of: World, recorded: Records) -> int:
    """The 90th percentile of won deals' length as the CRM shows it, rounded up to 30 days."""
    deals = recorded.frames["opportunities"]
    won = (deals["is_won"] == 1) & (deals["closed_at"] < of.options.until_day * DAY)
    length = (deals["closed_at"] - deals["created_at"])[won] / DAY
    return int(np.ceil(np.quantile(length, 0.9) / 30) * 30) if length.size else 90


def win_answers(of: World, recorded: Records, horizon: int) -> Frame:
    """P(won within the horizon | visible) and P(ever won | visible) of every deal at every age, while open.

    Renewal opportunities have answers at the ages that are a renewal's lead times too.
    """
    deals, parts = of.deals, [_renewal_deals(of, recorded, horizon)]
    for age in AGES:
        as_of = of.created + age * DAY
        rows = np.flatnonzero((deals.length > age) & (as_of <= of.options.until_day * DAY))
        visible = deal_events.seen_at(deals, rows, as_of[rows], recorded.marks, recorded.slips)
        within, ever = win_probability(of.who, deals, rows, age, visible, horizon, of.options)
        won = deals.won[rows] == 1
        parts.append(
            {
                "opportunity_id": deal_events.deal_keys(rows),
                "age_days": np.full(rows.size, age),
                "as_of": as_of[rows],
                "oracle": within,
                "oracle_ever": ever,
                "label": (won & (deals.length[rows] <= age + horizon)).astype(np.float64),
                "label_ever": won.astype(np.float64),
            }
        )
    return stack(parts)


def _renewal_deals(of: World, recorded: Records, horizon: int) -> Frame:
    terms, parts = of.terms, []
    decided_at = recorded.frames["contracts"]["decided_at"]
    for lead in (lead for lead in LEADS if lead <= MANAGED_LEAD and MANAGED_LEAD - lead in AGES):
        as_of = (terms.end_day - lead) * DAY
        rows = np.flatnonzero(
            managed(of.who, terms) & (terms.decided_lead <= lead) & (as_of <= of.options.until_day * DAY)
        )
        ever = renewal_probability(of.who, terms, rows, lead, recorded.logged_at, of.options)
        closing = decided_leads(np.full(100_000, lead), of.options.rng(400 + lead))
        renewed = terms.renewed[rows] == 1
        parts.append(
            {
                "opportunity_id": renewal_deal_keys(rows),
                "age_days": np.full(rows.size, MANAGED_LEAD - lead),
                "as_of": as_of[rows],
                "oracle": ever * np.mean(lead - closing < horizon),
                "oracle_ever": ever,
                "label": (renewed & (decided_at[rows] < as_of[rows] + horizon * DAY)).astype(np.float64),
                "label_ever": renewed.astype(np.float64),
            }
        )
    return stack(parts)


def write_answers(path: Path, frame: Frame) -> None:
    """One Parquet file; `as_of` as naive UTC."""
    columns = {
        name: pa.array(values.tolist() if values.dtype.kind == "U" else values)
        for name, values in frame.items()
    }
    columns["as_of"] = columns["as_of"].cast(pa.timestamp("s")).cast(pa.timestamp("us"))
    pq.write_table(pa.table(columns), path)
