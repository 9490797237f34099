"""Customer KPIs of marketing, sales and service over time, beside retention and effort.

Each is a row of `KPIS`: whose it is, its unit, and a function that makes its rows (account, moment, value) of
what the CRM records. By quarter, and for the last year by persona and segment. NPS, CSAT and CES are those of
everybody asked (`monitoring.voice_kpis`); other means have errors by account, medians too (Woodruff 1952).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.crm.crm import Crm
from monitoring.kpi_rows import (
    case_hours,
    contacts_each_quarter,
    decided_leads,
    decided_renewals,
    escalated_cases,
    reply_hours,
    responded_touches,
    survey_responses,
    usage_values,
    used_each_quarter,
    won_deals,
)
from monitoring.voice_kpis import LEAST_ANSWERS, Asked, asked_of, figures_of, within_clusters

Z = 1.645
YEAR_DAYS = 365
MOST_QUARTERS = 16
MOST_GROUPS = 12
SEGMENTS = ("industry", "region", "country")
ALL = "all"
NONE = ("value", "low", "high", "raw")


@dataclass(frozen=True)
class Kpi:
    """A figure of merit.

    Attributes:
        name: as shown.
        team: service, marketing, sales, or all.
        unit: `points`, `share`, `hours`, `per customer`, or of a survey's scale.
        better: 1 where more is better, −1 where less is.
        meaning: what is counted, in words.
        rows: makes account_id, at, value; None where the CRM lacks what it takes. None: a survey.
        needs: what it takes, in words.
    """

    name: str
    team: str
    unit: str
    better: int
    meaning: str
    needs: str
    rows: Callable[[Crm], pd.DataFrame | None] | None = None


KPIS = (
    Kpi("NPS", "all", "points", 1, "promoters less detractors, of everybody asked", "surveys of kind nps"),
    Kpi("CSAT", "service", "scale", 1, "satisfaction, of everybody asked", "surveys of kind csat"),
    Kpi("CES", "service", "scale", 1, "ease, of everybody asked", "surveys of kind ces"),
    Kpi(
        "survey response", "all", "share", 1, "surveys answered within 30 days",
        "surveys with asked_at and answered_at", survey_responses,
    ),
    Kpi(
        "first response", "service", "hours", -1,
        "median time from a customer's call, mail or meeting to our next one to them",
        "activities with direction", reply_hours,
    ),
    Kpi(
        "case resolution", "service", "hours", -1, "median time from opening a case to closing it",
        "cases with opened_at and closed_at", case_hours,
    ),
    Kpi(
        "escalated cases", "service", "share", -1, "cases that were escalated", "cases with escalated",
        escalated_cases,
    ),
    Kpi(
        "campaign response", "marketing", "share", 1, "campaign touches responded to within 30 days",
        "touches with responded_at", responded_touches,
    ),
    Kpi(
        "lead qualification", "marketing", "share", 1, "decided leads that were qualified",
        "leads with qualified_at and disqualified_at", decided_leads,
    ),
    Kpi(
        "win rate", "sales", "share", 1, "closed deals that were won",
        "opportunities with closed_at and is_won", won_deals,
    ),
    Kpi(
        "active customers", "all", "share", 1, "customers under contract who used the product in the quarter",
        "usage, and contracts with dates", used_each_quarter,
    ),
    Kpi(
        "usage", "all", "metric", 1, "mean of the metric that is recorded most",
        "usage with metric and value", usage_values,
    ),
    Kpi(
        "retention", "sales", "share", 1, "contracts that ended and were renewed", "contracts with end_date",
        decided_renewals,
    ),
    Kpi(
        "effort", "sales", "per customer", -1,
        "calls and meetings with each customer under contract, a quarter",
        "activities with kind, and contracts with dates", contacts_each_quarter,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """The rows of a KPI: whose, when, and how some of them are summed up (`figures` of a mask)."""

    account_id: pd.Series
    at: pd.Series
    unit: str
    figures: Callable[[np.ndarray], dict[str, Any]]


def customer_kpis(crm: Crm, personas: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Every KPI by quarter, and of the last 365 days by persona and segment.

    Args:
        crm: any CRM.
        personas: account → its persona, see `training.icp.persona_members.persona_of`; None: not known.

    Returns:
        `kpis` (kpi, team, unit, better, meaning, why: what is missing, None where it is measured), `series`
        (kpi, quarter, n, value, low, high, raw), `groups` (kpi, dimension, group, and the same; dimension and
        group `all` first). Figures are None with fewer than ten rows. Intervals: 90 %.
    """
    groups = account_groups(crm, personas)
    shown, series, of_groups = [], [], []
    for kpi in KPIS:
        measured = _measured(crm, kpi)
        why = f"takes {kpi.needs}" if measured is None else None
        unit = kpi.unit if measured is None else measured.unit
        shown.append({**_facts(kpi), "unit": unit, "why": why})
        if measured is None:
            continue
        series += [{"kpi": kpi.name, **row} for row in _series(measured)]
        of_groups += [{"kpi": kpi.name, **row} for row in _by_group(measured, groups, crm.until)]
    return {"kpis": shown, "series": series, "groups": of_groups}


def _facts(kpi: Kpi) -> dict[str, Any]:
    return {"kpi": kpi.name, "team": kpi.team, "better": kpi.better, "meaning": kpi.meaning}


def account_groups(crm: Crm, personas: Mapping[str, str] | None) -> dict[str, pd.Series]:
    """Dimension → account_id → group: persona, and what the accounts' columns say; rare ones left out."""
    groups = {} if not personas else {"persona": pd.Series(dict(personas), dtype=object)}
    for name in SEGMENTS:
        if crm.has("accounts", name):
            rows = crm.frame("accounts", ["account_id", name]).dropna().drop_duplicates("account_id")
            values = rows.set_index("account_id")[name].astype(str)
            frequent = values.value_counts().index[:MOST_GROUPS]
            groups[name] = values[values.isin(frequent)]
    return {name: values for name, values in groups.items() if values.nunique() > 1}


def _measured(crm: Crm, kpi: Kpi) -> Measured | None:
    if kpi.rows is None:
        everyone = asked_of(crm, kpi.name.lower())
        return None if everyone is None else _survey(everyone)
    rows = kpi.rows(crm)
    rows = None if rows is None else rows.dropna(subset=["account_id", "at", "value"]).reset_index(drop=True)
    if rows is None or len(rows) < LEAST_ANSWERS:
        return None
    value, account = rows["value"].to_numpy(float), rows["account_id"]
    summed = _median if kpi.unit == "hours" else _share if kpi.unit == "share" else _mean
    return Measured(account, rows["at"], kpi.unit, lambda mask: _figures(summed, value, account, mask))


def _survey(everyone: Asked) -> Measured:
    def figures(mask: np.ndarray) -> dict[str, Any]:
        of = figures_of(everyone.points, everyone.surveys["account_id"], everyone.everybody, mask)
        ends = {"value": of["estimate"], "low": of["low"], "high": of["high"], "raw": of["raw"]}
        return {"n": of["answered"], **ends}

    surveys = everyone.surveys
    return Measured(surveys["account_id"], surveys["asked_at"], everyone.unit, figures)


def _figures(
    summed: Callable[[np.ndarray, pd.Series], tuple[float, float, float]],
    value: np.ndarray,
    account: pd.Series,
    mask: np.ndarray,
) -> dict[str, Any]:
    n = int(mask.sum())
    if n < LEAST_ANSWERS:
        return {"n": n, **dict.fromkeys(NONE)}
    middle, low, high = summed(value[mask], account[mask])
    return {"n": n, "value": middle, "low": low, "high": high, "raw": middle}


def _mean(values: np.ndarray, account: pd.Series) -> tuple[float, float, float]:
    mean, half = within_clusters(values, account)
    return mean, mean - half, mean + half


def _share(values: np.ndarray, account: pd.Series) -> tuple[float, float, float]:
    """A share, its error at least that of as many independent rows with one more of either kind."""
    mean, half = within_clusters(values, account)
    smooth = (values.sum() + 1) / (len(values) + 2)
    half = max(half, Z * float(np.sqrt(smooth * (1 - smooth) / len(values))))
    return mean, max(mean - half, 0.0), min(mean + half, 1.0)


def _median(values: np.ndarray, account: pd.Series) -> tuple[float, float, float]:
    """The median; its ends are the quantiles at the ends of the share that lies below it (Woodruff 1952)."""
    middle = float(np.median(values))
    _, half = within_clusters((values <= middle).astype(float), account)
    half = max(half, Z * 0.5 / np.sqrt(len(values)))
    low, high = np.quantile(values, [max(0.5 - half, 0.0), min(0.5 + half, 1.0)])
    return middle, float(low), float(high)


def _series(measured: Measured) -> list[dict[str, Any]]:
    quarter = measured.at.dt.to_period("Q")
    rows = []
    for each in sorted(quarter.dropna().unique())[-MOST_QUARTERS:]:
        rows.append({"quarter": str(each), **measured.figures((quarter == each).to_numpy(bool))})
    return rows


def _by_group(
    measured: Measured, groups: Mapping[str, pd.Series], until: pd.Timestamp
) -> list[dict[str, Any]]:
    lately = ((measured.at >= until - pd.Timedelta(days=YEAR_DAYS)) & (measured.at <= until)).to_numpy(bool)
    rows = [{"dimension": ALL, "group": ALL, **measured.figures(lately)}]
    for dimension, of_account in groups.items():
        values = measured.account_id.map(of_account)
        for value in _ordered(of_account):
            inside = lately & (values == value).to_numpy(bool, na_value=False)
            rows.append({"dimension": dimension, "group": value, **measured.figures(inside)})
    return rows


def _ordered(of_account: pd.Series) -> Sequence[str]:
    return [str(value) for value in of_account.value_counts().index[:MOST_GROUPS]]
