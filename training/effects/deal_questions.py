"""From a CRM to the questions of one moment: calls in a deal's first 30 days, a first quote's discount.

Calls: among opportunities still open 30 days after creation (a landmark, so that quick wins do not look
like few calls), the calls linked to each in those 30 days, inbound ones left out where a direction is
given; confounders are what was known at creation. Discount: the first quote of each deal, and of each
contract's run-up; confounders are what was known when it was made. Outcomes are final ones of decided deals
and matured contracts.

Calls until won, as description: cumulative incidence over calls, with loss as the competing risk.

The clock is the number of calls made, not days: after how many calls had which share of deals been won, or
lost? Open deals are censored at the calls they have had (Aalen & Johansen 1978).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.catalog.contact import CALL_WORDS, INBOUND_WORDS
from features.crm.crm import Crm
from features.errors import RenewalError
from features.kernel import DAY, MISSING
from features.settings import Settings
from features.snapshots import win_horizon_days
from training.effects.answer import groups_by
from training.effects.contacts import FOREVER, logged_from, micros, plain
from training.effects.timing_trial import (
    accounts_as_codes,
    covariates_of,
    matured_contracts,
    snapshots_at,
    with_account,
)

LANDMARK_DAYS = 30
CALLS = ("0", "1-2", "3-4", "5-7", "8+")
CALL_EDGES = np.array([1, 3, 5, 8])
DISCOUNTS = ("0", "0-10", "10-20", "20-30", "30+")
DISCOUNT_EDGES = np.array([0.5, 10.0, 20.0, 30.0])
RUNUP_DAYS = 365
LEAST_ROWS = 50


@dataclass(frozen=True)
class Question:
    """n subjects, each with one treatment level and one outcome, arrays aligned with `rows`.

    `rows` holds account_id and contract_id or opportunity_id; `arm` indexes the buckets; X is what was
    known before.
    """

    rows: pd.DataFrame
    X: np.ndarray
    arm: np.ndarray
    y: np.ndarray
    notes: list[str]

    @property
    def cluster(self) -> np.ndarray:
        """(n,) account codes."""
        return accounts_as_codes(self.rows)


def decided_deals(crm: Crm) -> tuple[pd.DataFrame, list[str]]:
    """Deals that had time to be decided and were: ids, created and closed (µs), label; and who is left out.

    Raises:
        RenewalError: deals have no dates or no outcomes.
    """
    crm.need("win")
    if not crm.dated("win") or not crm.has("opportunities", "is_won"):
        raise RenewalError(
            expected="opportunities with created_at and is_won",
            found="deals without usable dates or outcomes",
            do="Map created_at, closed_at and is_won of opportunities.",
        )
    wanted = (
        "opportunity_id",
        "account_id",
        "created_at",
        "closed_at",
        "is_won",
        "owner_id",
        "contract_id",
        "kind",
    )
    deals = crm.frame("opportunities", [c for c in wanted if crm.has("opportunities", c)])
    none = pd.Series(pd.NaT, index=deals.index, dtype="datetime64[us]")
    created, closed = micros(deals["created_at"]), micros(deals.get("closed_at", none))
    horizon = win_horizon_days(crm)
    until = micros(pd.Series([crm.until]))[0]
    ripe = (created != MISSING) & (created + horizon * DAY <= until)
    has_outcome = deals["is_won"].notna().to_numpy(bool)
    notes = []
    if (count := int((ripe & ~has_outcome).sum())) > 0:
        notes.append(f"{count:,} deals older than {horizon} days are left out: they are still open")
    renewal = np.zeros(len(deals), dtype=bool)
    if "kind" in deals:
        renewal = plain(deals["kind"]).str.contains("renew").to_numpy(bool)
    if renewal.any():
        notes.append(
            f"{int(renewal.sum()):,} renewal deals are left out: this is about new business and expansion"
        )
    deals = deals.assign(created=created, closed=closed, label=deals["is_won"].astype("Float64"))
    return deals[ripe & has_outcome & ~renewal].reset_index(drop=True), notes


def calls_question(crm: Crm, settings: Settings) -> Question:
    """Does a deal open after 30 days get won, by the calls made in them?"""
    logged = logged_from(crm)
    deals, notes = decided_deals(crm)
    landmark = deals["created"] + LANDMARK_DAYS * DAY
    is_open = (deals["closed"] == MISSING) | (deals["closed"] >= landmark)
    covered = deals["created"] >= logged
    notes.append(
        f"among deals open {LANDMARK_DAYS} days after creation; {int((~is_open).sum()):,} of {len(deals):,} "
        "were decided before and are left out"
    )
    if (~covered).any():
        notes.append(
            f"{int((is_open & ~covered).sum()):,} deals are left out: created before activities were logged"
        )
    calls, key = calls_made(crm, deals, notes)
    deals = deals[is_open & covered].reset_index(drop=True)
    deals = with_account(deals, "opportunity_id", notes) if key == "account_id" else deals
    deals = _enough(deals, "deals open 30 days after creation")
    count = calls_within(deals, calls, key)
    X, _, barred = covariates_of(crm, snapshots_at(deals, deals["created"].to_numpy()), "win", settings)
    notes += [f"not adjusted for {column}: {reason}" for column, reason in barred.items()]
    arm = np.searchsorted(CALL_EDGES, count, side="right")
    return Question(deals, X, arm, deals["label"].to_numpy(float), notes)


def calls_made(crm: Crm, deals: pd.DataFrame, notes: list[str]) -> tuple[pd.DataFrame, str]:
    """Calls we made, and whose they are: the deal's, or the account's if none names a deal."""
    wanted = ("account_id", "opportunity_id", "occurred_at", "kind", "direction")
    calls = crm.frame("activities", [c for c in wanted if crm.has("activities", c)])
    counts = plain(calls["kind"]).isin(CALL_WORDS)
    if "direction" in calls:
        counts &= ~plain(calls["direction"]).isin(INBOUND_WORDS)
        notes.append("inbound calls are not counted")
    calls = calls[counts.to_numpy(bool)]
    if "opportunity_id" in calls and calls["opportunity_id"].isin(deals["opportunity_id"]).any():
        return calls, "opportunity_id"
    notes.append("calls name no deal: those of the deal's account count")
    return calls, "account_id"


def calls_within(deals: pd.DataFrame, calls: pd.DataFrame, key: str) -> np.ndarray:
    """(n,) calls made for each deal in its first 30 days, found by `key`."""
    rows = pd.DataFrame({key: deals[key], "row": np.arange(len(deals)), "created": deals["created"]})
    met = rows.merge(calls.assign(at=micros(calls["occurred_at"]))[[key, "at"]].dropna(subset=key), on=key)
    inside = (met["at"] >= met["created"]) & (met["at"] < met["created"] + LANDMARK_DAYS * DAY)
    return np.bincount(met.loc[inside, "row"], minlength=len(deals))


def discount_questions(crm: Crm, settings: Settings) -> dict[str, Question]:
    """`win` and `renewal`, where the CRM has the quotes for it: the outcome by the first quote's discount.

    Raises:
        RenewalError: there are no quotes, or too few with a decided outcome.
    """
    if not crm.has("quotes"):
        raise RenewalError(
            expected="a table quotes with list and net amounts",
            found="none",
            do="Add quotes (quote_id, quoted_at, list_amount, net_amount, opportunity_id) to the CRM data.",
        )
    quotes = quotes_of(crm)
    questions: dict[str, Question] = {}
    if crm.has("opportunities") and crm.dated("win") and quotes["opportunity_id"].notna().any():
        deals, notes = decided_deals(crm)
        stop = np.where(deals["closed"] == MISSING, FOREVER, deals["closed"]).astype(np.int64)
        questions["win"] = _quoted(
            crm, "win", "opportunity_id", deals.assign(start=0, stop=stop), quotes, notes, settings
        )
    if crm.has("contracts") and crm.dated("renewal") and quotes["contract_id"].notna().any():
        contracts, notes = matured_contracts(crm)
        start = np.maximum(contracts["begin"], contracts["end"] - RUNUP_DAYS * DAY)
        stop = np.where(contracts["decided"] == MISSING, contracts["end"] + DAY, contracts["decided"])
        ours = contracts.assign(start=start, stop=stop)
        questions["renewal"] = _quoted(crm, "renewal", "contract_id", ours, quotes, notes, settings)
    questions = {
        outcome: one
        for outcome, one in questions.items()
        if len(one.y) >= LEAST_ROWS and 0 < one.y.mean() < 1
    }
    if not questions:
        raise RenewalError(
            expected=f"at least {LEAST_ROWS} first quotes linked to decided deals or contracts, won and lost",
            found=f"{len(quotes)} quotes with amounts, too few of them linked",
            do="Fill opportunity_id or contract_id of quotes.",
        )
    return questions


def quotes_of(crm: Crm) -> pd.DataFrame:
    """Quotes: discount_pct, at (µs), opportunity_id, contract_id (its own or the opportunity's)."""
    wanted = ("quote_id", "quoted_at", "list_amount", "net_amount", "opportunity_id", "contract_id")
    quotes = crm.frame("quotes", [c for c in wanted if crm.has("quotes", c)])
    for column in ("opportunity_id", "contract_id"):
        if column not in quotes:
            quotes[column] = pd.Series(pd.NA, index=quotes.index, dtype="string")
    if crm.has("opportunities", "opportunity_id", "contract_id"):
        deals = crm.frame("opportunities", ["opportunity_id", "contract_id"]).drop_duplicates(
            "opportunity_id"
        )
        through = (
            quotes["opportunity_id"].map(deals.set_index("opportunity_id")["contract_id"]).astype("string")
        )
        quotes["contract_id"] = quotes["contract_id"].fillna(through)
    full, net = (
        quotes[c].astype("Float64").to_numpy(float, na_value=np.nan) for c in ("list_amount", "net_amount")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        discount = 100.0 * (full - net) / full
    quotes = quotes.assign(at=micros(quotes["quoted_at"]), discount_pct=discount)
    return quotes[np.isfinite(discount) & (full > 0) & (quotes["at"] != MISSING)]


def _quoted(
    crm: Crm,
    kind: str,
    key: str,
    subjects: pd.DataFrame,
    quotes: pd.DataFrame,
    notes: list[str],
    settings: Settings,
) -> Question:
    """The question for subjects (key, start, stop, label) that got a quote within [start, stop)."""
    linked = subjects.merge(quotes[[key, "at", "discount_pct", "quote_id"]].dropna(subset=key), on=key)
    linked = linked[(linked["at"] >= linked["start"]) & (linked["at"] < linked["stop"])]
    first = (
        linked.sort_values([key, "at", "quote_id"], kind="stable").drop_duplicates(key).reset_index(drop=True)
    )
    notes = [*notes, f"{len(first):,} of {len(subjects):,} were quoted before they were decided"]
    arm = np.searchsorted(DISCOUNT_EDGES, np.round(first["discount_pct"].to_numpy(float), 6), side="right")
    y = first["label"].to_numpy(float)
    if len(first) < LEAST_ROWS:
        return Question(first, np.empty((len(first), 0)), arm, y, notes)
    at = first["at"].to_numpy()
    X, _, barred = covariates_of(crm, snapshots_at(first, at), kind, settings)
    notes += [f"not adjusted for {column}: {reason}" for column, reason in barred.items()]
    return Question(first, X, arm, y, notes)


def _enough(rows: pd.DataFrame, words: str) -> pd.DataFrame:
    if len(rows) < LEAST_ROWS or rows["label"].nunique() < 2:
        raise RenewalError(
            expected=f"at least {LEAST_ROWS} {words}, won and lost",
            found=f"{len(rows)}, {int(rows['label'].sum())} of them won",
            do="Add older deals and activities, or wait until more are decided.",
        )
    return rows


MOST_CALLS = 20
LEAST_DEALS = 30
OPEN, WON, LOST = 0, 1, 2


def cumulative_incidence(time: np.ndarray, event: np.ndarray, last: int) -> dict[str, np.ndarray]:
    """Aalen–Johansen cumulative incidence of two competing events on a whole-number clock.

    Args:
        time: (n,) the whole number at which each subject left.
        event: (n,) 0 censored then, 1 or 2 what happened. Events count before censorings at the same number.
        last: the largest number to distinguish, inclusive.

    Returns:
        `at_risk`, `won`, `lost` (last + 1,) and `won_error`, its standard error (Gaynor et al. 1993's delta
        form).
    """
    grid = np.arange(last + 1)
    at_risk = np.array([(time >= t).sum() for t in grid], dtype=float)
    counts = [
        np.array([((time == t) & (event == kind)).sum() for t in grid], dtype=float) for kind in (WON, LOST)
    ]
    safe = np.maximum(at_risk, 1.0)
    hazard = (counts[0] + counts[1]) / safe
    before = np.concatenate([[1.0], np.cumprod(1 - hazard)[:-1]])
    won, lost = np.cumsum(before * counts[0] / safe), np.cumsum(before * counts[1] / safe)
    return {"at_risk": at_risk, "won": won, "lost": lost, "won_error": _error(at_risk, counts, before, won)}


def _error(at_risk: np.ndarray, counts: list[np.ndarray], before: np.ndarray, won: np.ndarray) -> np.ndarray:
    """Standard errors of the first cumulative incidence."""
    both, safe = counts[0] + counts[1], np.maximum(at_risk, 1.0)
    left = np.maximum(safe * (safe - both), 1e-12)
    errors = np.empty(len(won))
    for t in range(len(won)):
        ahead = won[t] - won[: t + 1]
        n, d, s = safe[: t + 1], counts[0][: t + 1], before[: t + 1]
        died = np.where(safe[: t + 1] > both[: t + 1], both[: t + 1] / left[: t + 1], 0.0)
        variance = (
            np.sum(ahead**2 * died) + np.sum(s**2 * d * (n - d) / n**3) - 2 * np.sum(ahead * s * d / n**2)
        )
        errors[t] = np.sqrt(max(variance, 0.0))
    return errors


def calls_until_won(crm: Crm, by: str | None = None) -> list[dict[str, Any]]:
    """The curve for all deals and each group of at least 30: group, calls, won, low, high, lost, at_risk."""
    if not crm.has("opportunities", "opportunity_id", "is_won") or not crm.has("activities", "kind"):
        return []
    deals = _deals(crm)
    count = _calls(crm, deals)
    event = np.where(deals["is_won"].isna(), OPEN, np.where(deals["is_won"].fillna(False), WON, LOST)).astype(
        int
    )
    groups = {"all": np.ones(len(deals), dtype=bool), **groups_by(crm, by, deals)}
    rows: list[dict[str, Any]] = []
    for name, who in groups.items():
        if who.sum() < LEAST_DEALS:
            continue
        curve = cumulative_incidence(np.minimum(count[who], MOST_CALLS + 1), event[who], MOST_CALLS)
        for t in range(MOST_CALLS + 1):
            if curve["at_risk"][t] < 10:
                break
            half = 1.96 * curve["won_error"][t]
            rows.append(
                {
                    "group": name,
                    "calls": t,
                    "won": round(float(curve["won"][t]), 5),
                    "low": round(float(max(curve["won"][t] - half, 0.0)), 5),
                    "high": round(float(min(curve["won"][t] + half, 1.0)), 5),
                    "lost": round(float(curve["lost"][t]), 5),
                    "at_risk": int(curve["at_risk"][t]),
                }
            )
    return rows


def _deals(crm: Crm) -> pd.DataFrame:
    wanted = ("opportunity_id", "account_id", "created_at", "closed_at", "is_won", "kind")
    deals = crm.frame("opportunities", [c for c in wanted if crm.has("opportunities", c)])
    if "kind" in deals:
        deals = deals[~plain(deals["kind"]).str.contains("renew").to_numpy(bool)]
    deals = deals.reset_index(drop=True)
    none = pd.Series(pd.NaT, index=deals.index, dtype="datetime64[us]")
    created, closed = micros(deals.get("created_at", none)), micros(deals.get("closed_at", none))
    return deals.assign(start=created, stop=np.where(closed == MISSING, FOREVER, closed))


def _calls(crm: Crm, deals: pd.DataFrame) -> np.ndarray:
    """(n,) calls we made for each deal while it was open."""
    wanted = ("account_id", "opportunity_id", "occurred_at", "kind", "direction")
    calls = crm.frame("activities", [c for c in wanted if crm.has("activities", c)])
    is_ours = plain(calls["kind"]).isin(CALL_WORDS)
    if "direction" in calls:
        is_ours &= ~plain(calls["direction"]).isin(INBOUND_WORDS)
    calls = calls[is_ours.to_numpy(bool)]
    key = "opportunity_id"
    if key not in calls or not calls[key].isin(deals[key]).any():
        key = "account_id"
    rows = deals.assign(row=np.arange(len(deals)))[[key, "row", "start", "stop"]].dropna(subset=key)
    met = rows.merge(calls.assign(at=micros(calls["occurred_at"]))[[key, "at"]].dropna(subset=key), on=key)
    inside = (met["at"] >= met["start"]) & (met["at"] < met["stop"])
    return np.bincount(met.loc[inside, "row"], minlength=len(deals))
