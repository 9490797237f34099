"""Journey maps: for each persona what happens at each stage, what is measured there, and what is missing.

The map is data (`MAP`): a stage, a touchpoint, the KPIs that measure how it went, and what the CRM would have
to record for that. Touchpoints are counted over the last 365 days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from features.crm.crm import Crm
from monitoring.customer_kpis import ALL, YEAR_DAYS
from monitoring.kpi_movers import Touchpoint, touchpoints_of

EVERYBODY = "everybody"


@dataclass(frozen=True)
class Place:
    """A touchpoint at a stage of the journey.

    Args:
        stage: of the journey.
        touchpoint: what happens, as `touchpoints_of` or `MORE` name it.
        kpis: what is measured there.
        takes: what the CRM has to record for the touchpoint to be seen.
    """

    stage: str
    touchpoint: str
    kpis: tuple[str, ...]
    takes: str


MAP = (
    Place("reach", "campaign touch", ("campaign response",), "touches with sent_at"),
    Place("response", "lead", ("lead qualification",), "leads with created_at"),
    Place("decision", "call", ("first response",), "activities of kind call"),
    Place("decision", "meeting", ("first response",), "activities of kind meeting"),
    Place("decision", "e-mail", ("first response",), "activities of kind email"),
    Place("decision", "quote", ("win rate",), "quotes with quoted_at"),
    Place("onboarding", "start of contract", ("CES",), "contracts with start_date"),
    Place("use", "use of the product", ("active customers", "usage"), "usage with used_on"),
    Place("support", "case opened", ("first response",), "cases with opened_at"),
    Place("support", "case escalated", ("escalated cases",), "cases with escalated"),
    Place("support", "case closed", ("CSAT", "case resolution"), "cases with closed_at"),
    Place("relationship", "survey", ("NPS", "survey response"), "surveys with asked_at"),
    Place("renewal", "end of contract", ("retention",), "contracts with end_date"),
)

MORE = (
    Touchpoint("lead", "leads", "created_at", 0),
    Touchpoint("start of contract", "contracts", "start_date", 0),
    Touchpoint("end of contract", "contracts", "end_date", 0),
    Touchpoint("use of the product", "usage", "used_on", 0),
)
"""Touchpoints of the map that are no contact."""


def journey_map(
    crm: Crm, figures: Mapping[str, Any], personas: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """One row a persona and touchpoint, everybody first.

    Args:
        crm: the CRM.
        figures: of `customer_kpis`, with the same personas.
        personas: account → its persona; None or empty: one map for everybody.

    Returns:
        persona, stage, touchpoint, `events` and `accounts` of the last 365 days, `share` of the persona's
        accounts, `measured` (kpi, unit, value, low, high, n) and `missing` in words (None: nothing).
    """
    there = {
        one.name: one for one in (*touchpoints_of(crm), *MORE) if crm.has(one.table, "account_id", one.column)
    }
    owners = {name: _lately(crm, one) for name, one in there.items()}
    everyone = crm.frame("accounts", ["account_id"])["account_id"].drop_duplicates()
    members = {EVERYBODY: set(everyone)}
    for account, persona in (personas or {}).items():
        members.setdefault(persona, set()).add(account)
    units = {row["kpi"]: (row["unit"], row["why"]) for row in figures["kpis"]}
    measured = {(row["dimension"], row["group"], row["kpi"]): row for row in figures["groups"]}
    return [
        _row(persona, accounts, place, owners.get(place.touchpoint), units, measured)
        for persona, accounts in members.items()
        for place in MAP
    ]


def _lately(crm: Crm, touchpoint: Touchpoint) -> pd.Series:
    """The accounts of the touchpoint's events of the last 365 days, one an event."""
    rows = crm.frame(touchpoint.table)
    rows = rows if touchpoint.among is None else rows[touchpoint.among(rows)]
    at = rows[touchpoint.column]
    return rows.loc[
        (at > crm.until - pd.Timedelta(days=YEAR_DAYS)) & (at <= crm.until), "account_id"
    ].dropna()


def _row(
    persona: str,
    accounts: set[str],
    place: Place,
    owners: pd.Series | None,
    units: Mapping[str, tuple[str, str | None]],
    measured: Mapping[tuple[str, str, str], Mapping[str, Any]],
) -> dict[str, Any]:
    dimension, group = (ALL, ALL) if persona == EVERYBODY else ("persona", persona)
    figures = [_figure(kpi, units[kpi][0], measured.get((dimension, group, kpi))) for kpi in place.kpis]
    here = None if owners is None else owners[owners.isin(accounts)]
    touched = None if here is None else int(here.nunique())
    return {
        "persona": persona,
        "stage": place.stage,
        "touchpoint": place.touchpoint,
        "events": None if here is None else len(here),
        "accounts": touched,
        "share": None if touched is None else touched / max(len(accounts), 1),
        "measured": figures,
        "missing": _missing(place, here, figures, units),
    }


def _figure(kpi: str, unit: str, row: Mapping[str, Any] | None) -> dict[str, Any]:
    names = ("value", "low", "high", "n")
    return {"kpi": kpi, "unit": unit, **{name: None if row is None else row[name] for name in names}}


def _missing(
    place: Place,
    here: pd.Series | None,
    figures: Sequence[Mapping[str, Any]],
    units: Mapping[str, tuple[str, str | None]],
) -> str | None:
    """What is not on record, what did not happen, and what is not measured or of too few."""
    words = []
    if here is None:
        words.append(f"not on record: takes {place.takes}")
    elif here.empty:
        words.append("none in the last 365 days")
    for figure in figures:
        why = units[figure["kpi"]][1]
        if why is not None:
            words.append(f"{figure['kpi']} is not measured: {why}")
        elif figure["value"] is None:
            words.append(f"{figure['kpi']}: too few, ten are needed")
    return "; ".join(words) or None
