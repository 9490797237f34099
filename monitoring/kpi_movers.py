"""Which touchpoints move a customer KPI: by how much it would differ with and without each, in which groups.

A row is a survey that was asked, or a contract 30 days before its end. What was on record 30 days before is
adjusted for, and of those 30 days the touchpoints that lead to this one (`order`), so that a call is not
blamed for the case it was about. The estimate is that of the effects, `estimate_arms`: doubly robust,
cross-fitted by account, on outcomes scaled to 0…1 (Gruber & van der Laan 2010). Who gave no answer is an arm
of its own, so that the other two cover everybody asked (treatment and response as one: Bang & Robins
2005).
Intervals hold for all touchpoints of a KPI together; by persona and segment they are partially pooled.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from features.catalog.contact import CALL_WORDS, EMAIL_WORDS, MEETING_WORDS
from features.crm.crm import Crm
from features.kernel import DAY
from features.snapshots import renewal_snapshots
from monitoring.customer_kpis import account_groups
from monitoring.kpi_rows import survey_responses
from monitoring.voice_kpis import points_of
from monitoring.voice_record import asked_surveys, counted, encoded, on_record
from training.effects.contacts import plain
from training.effects.estimate import estimate_arms
from training.effects.inference import TIMES, Errors, pool
from training.effects.targeting import reasons
from training.effects.trial_arrays import Strategies

WINDOW_DAYS = 30
LEAD_DAYS = 30
LEAST_ROWS = 100
LEAST_IN_GROUP = 60
MOST_KINDS = 8
MOST_ROWS = 40_000
LEVEL = 0.05
CANT_TELL = "can't tell"
ARMS = ("without", "with", "silent")
WITHOUT, WITH, SILENT = range(3)
CONTACTS = {"call": CALL_WORDS, "meeting": MEETING_WORDS, "e-mail": EMAIL_WORDS}


@dataclass(frozen=True)
class Touchpoint:
    """Something that happens between a customer and us: a moment of a table, for the rows that count.

    `order`: one of a lower order may lead to it, one of a higher order may follow from it.
    """

    name: str
    table: str
    column: str
    order: int
    among: Callable[[pd.DataFrame], pd.Series] | None = None


@dataclass(frozen=True)
class Outcome:
    """A KPI as rows: account_id, at (µs), y in 0…1 with NaN for no answer, all (n,); its span in units.

    `about`: (n,) what was asked, where it differs between rows; it is adjusted for.
    """

    kpi: str
    unit: str
    account_id: pd.Series
    at: np.ndarray
    y: np.ndarray
    span: float
    about: pd.Series | None = None


def movers(crm: Crm, personas: Mapping[str, str] | None = None, seed: int = 0) -> dict[str, Any]:
    """How far each KPI moves with each touchpoint, for everybody and by persona and segment.

    Args:
        crm: any CRM.
        personas: account → its persona; None: not known.
        seed: of folds.

    Returns:
        `movers`: kpi, unit, touchpoint, dimension, group, n (with it), of (rows), estimate, low, high (in the
        KPI's unit; None: can't tell), raw (plain difference), margin (how far off if what no record shows
        moves it three times as much as all records), verdict (raises, lowers, can't tell), why. `notes`: what
        was not looked at, with the reason.
    """
    groups = account_groups(crm, personas)
    touchpoints = touchpoints_of(crm)
    rows: list[dict[str, Any]] = []
    notes = [] if touchpoints else ["no touchpoints are on record: neither activities, cases nor touches"]
    for outcome, why in _outcomes(crm):
        if isinstance(outcome, str):
            notes.append(f"{outcome}: {why}")
        else:
            rows += _of_outcome(crm, outcome, touchpoints, groups, seed)
    return {"movers": rows, "notes": notes}


def touchpoints_of(crm: Crm) -> list[Touchpoint]:
    """The touchpoints a CRM records: calls, meetings, mails and other kinds of activity, cases, touches, …"""
    found_kinds: list[Touchpoint] = []
    if crm.has("activities", "account_id", "occurred_at", "kind"):
        kinds = plain(crm.frame("activities", ["kind"])["kind"])
        named = frozenset().union(*CONTACTS.values())
        others = kinds[~kinds.isin(named) & (kinds != "")].value_counts().index[:MOST_KINDS]
        words = {**CONTACTS, **{str(kind): frozenset({str(kind)}) for kind in others}}
        for name, these in words.items():
            if kinds.isin(these).any():
                found_kinds.append(Touchpoint(name, "activities", "occurred_at", 3, _of_kind(these)))
    escalated = Touchpoint("case escalated", "cases", "opened_at", 1, _is_escalated)
    fixed = (
        Touchpoint("case opened", "cases", "opened_at", 0),
        *((escalated,) if crm.has("cases", "escalated") else ()),
        Touchpoint("case closed", "cases", "closed_at", 2),
        Touchpoint("campaign touch", "touches", "sent_at", 3),
        Touchpoint("quote", "quotes", "quoted_at", 3),
        Touchpoint("survey", "surveys", "asked_at", 4),
    )
    return found_kinds + [one for one in fixed if crm.has(one.table, "account_id", one.column)]


def _of_kind(words: frozenset[str]) -> Callable[[pd.DataFrame], pd.Series]:
    return lambda rows: plain(rows["kind"]).isin(words)


def _is_escalated(rows: pd.DataFrame) -> pd.Series:
    return rows["escalated"].fillna(False).astype(bool)


def _outcomes(crm: Crm) -> Sequence[tuple[Outcome | str, str]]:
    """Every KPI that can be moved, or its name with why it was not looked at."""
    results: list[tuple[Outcome | str, str]] = []
    for kind in ("nps", "csat", "ces"):
        surveys = asked_surveys(crm, kind)
        points = points_of(surveys["score"], kind)
        if np.isfinite(points).sum() < LEAST_ROWS:
            results.append((kind.upper(), f"fewer than {LEAST_ROWS} answers"))
            continue
        low, high = float(np.nanmin(points)), float(np.nanmax(points))
        span = high - low or 1.0
        at = surveys["asked_at"].to_numpy("datetime64[us]").astype(np.int64)
        unit = "points" if kind == "nps" else "on its scale"
        y = (points - low) / span
        about = surveys.get("touchpoint")
        results.append((Outcome(kind.upper(), unit, surveys["account_id"], at, y, span, about), ""))
    for name, rows in (("survey response", survey_responses(crm)), ("retention", _run_up(crm))):
        if rows is None or len(rows) < LEAST_ROWS or rows["value"].nunique() < 2:
            results.append((name, f"fewer than {LEAST_ROWS} rows whose outcome is known, or all alike"))
            continue
        at = rows["at"].to_numpy("datetime64[us]").astype(np.int64)
        y = rows["value"].to_numpy(float)
        account, about = rows["account_id"].reset_index(drop=True), rows.get("about")
        results.append((Outcome(name, "share", account, at, y, 1.0, about), ""))
    return results


def _run_up(crm: Crm) -> pd.DataFrame | None:
    """Contracts 30 days before their end, undecided then, whose outcome has matured."""
    if not crm.has("contracts", "end_date") or not crm.dated("renewal"):
        return None
    rows = renewal_snapshots(crm)
    rows = rows[(rows["lead_days"] == LEAD_DAYS) & rows["label"].notna() & (rows["matured_at"] <= crm.until)]
    return rows.rename(columns={"as_of": "at", "label": "value"}).reset_index(drop=True)


def _of_outcome(
    crm: Crm,
    outcome: Outcome,
    touchpoints: Sequence[Touchpoint],
    groups: Mapping[str, pd.Series],
    seed: int,
) -> list[dict[str, Any]]:
    outcome = _newest(outcome)
    account, at = outcome.account_id, outcome.at
    before = at - WINDOW_DAYS * DAY
    kind = outcome.kpi.lower()
    known_then = on_record(crm, account, before, kind if kind in ("nps", "csat", "ces") else "nps")
    if outcome.about is not None:
        known_then["touchpoint"] = outcome.about.to_numpy(object)
    record = encoded(known_then)
    counts = [counted(crm, one.table, one.column, account, at, one.among)(WINDOW_DAYS) for one in touchpoints]
    earlier = [counted(crm, one.table, one.column, account, before, one.among)(90) for one in touchpoints]
    within = np.column_stack([*counts]) > 0 if counts else np.empty((len(at), 0), bool)
    history = np.column_stack([record, *(np.log1p(each) for each in earlier), at / DAY])
    rows = []
    for place, touchpoint in enumerate(touchpoints):
        leads_to_it = [other.order <= touchpoint.order for other in touchpoints]
        leads_to_it[place] = False
        X = np.column_stack([history, within[:, leads_to_it]])
        facts = {"kpi": outcome.kpi, "unit": outcome.unit, "touchpoint": touchpoint.name}
        estimates = _arms(outcome, X, within[:, place], seed)
        level = LEVEL / len(touchpoints)
        everybody = _whole(estimates, outcome, level)
        rows.append({**facts, "dimension": "all", "group": "all", **everybody})
        for dimension, of_account in groups.items():
            parts = _pooled(estimates, outcome, account.map(of_account), level, everybody)
            rows += [{**facts, "dimension": dimension, **part} for part in parts]
    return rows


def _newest(outcome: Outcome) -> Outcome:
    """The newest rows, where there are very many."""
    if len(outcome.y) <= MOST_ROWS:
        return outcome
    kept_rows = np.sort(np.argsort(outcome.at, kind="stable")[-MOST_ROWS:])
    account = outcome.account_id.iloc[kept_rows].reset_index(drop=True)
    about = None if outcome.about is None else outcome.about.iloc[kept_rows]
    return replace(outcome, account_id=account, at=outcome.at[kept_rows], y=outcome.y[kept_rows], about=about)


def _arms(outcome: Outcome, X: np.ndarray, has: np.ndarray, seed: int) -> Strategies:
    """The outcome of everybody asked, had all of them had the touchpoint, and had none."""
    silent = np.isnan(outcome.y)
    arm = np.where(silent, SILENT, np.where(has, WITH, WITHOUT))
    y = np.where(silent, np.nanmean(outcome.y), outcome.y)
    names = ARMS if silent.any() else ARMS[:SILENT]
    account = outcome.account_id.to_numpy(object)
    quick = estimate_arms(X, arm, names, y, account, seed=seed, errors=False)
    return quick if _why(quick) else estimate_arms(X, arm, names, y, account, seed=seed)


def _whole(estimates: Strategies, outcome: Outcome, level: float) -> dict[str, Any]:
    """The difference of the two arms for everybody."""
    counts = _counts(estimates)
    if why := _why(estimates):
        return _unknown(why, counts, estimates, outcome)
    errors = Errors.of(estimates.influence[:, :SILENT], estimates.cluster)
    contrast = np.array([[-1.0], [1.0]])
    half = _half(errors, contrast, stats.t.isf(level / 2, errors.freedom(contrast))[0])
    difference = float(estimates.estimate[WITH] - estimates.estimate[WITHOUT])
    return _estimated(difference, half, estimates, outcome)


def _pooled(
    estimates: Strategies, outcome: Outcome, group: pd.Series, level: float, everybody: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The same in each group, partially pooled; without an estimate for everybody, no group has one."""
    names = [name for name in group.value_counts().index if (group == name).sum() >= LEAST_IN_GROUP]
    parts = {str(name): estimates.among((group == name).to_numpy(bool)) for name in names}
    reasons_of = {
        name: everybody["why"] if everybody["estimate"] is None else _why(part)
        for name, part in parts.items()
    }
    large = [name for name, why in reasons_of.items() if why is None]
    if len(large) < 2:
        few = "can't tell: fewer than two groups are large enough"
        return [
            {"group": name, **_unknown(reasons_of[name] or few, _counts(part), part, outcome)}
            for name, part in parts.items()
        ]
    errors = [Errors.of(parts[name].influence[:, :SILENT], parts[name].cluster).covariance for name in large]
    pooled = pool(np.array([parts[name].estimate[:SILENT] for name in large]), errors)
    critical = stats.norm.isf(level / len(large) / 2)
    rows = []
    for name, part in parts.items():
        if name not in large:
            rows.append({"group": name, **_unknown(reasons_of[name] or "", _counts(part), part, outcome)})
            continue
        place = large.index(name)
        half = _half(pooled.of_group(place), np.array([[-1.0], [1.0]]), critical)
        difference = float(pooled.estimate[place, WITH] - pooled.estimate[place, WITHOUT])
        rows.append({"group": name, **_estimated(difference, half, part, outcome)})
    return rows


def _half(errors: Errors, contrast: np.ndarray, critical: float) -> float:
    return float(critical * np.sqrt((contrast.T @ errors.covariance @ contrast)[0, 0]))


def _why(estimates: Strategies) -> str | None:
    """Why one of the two arms has no estimate, or None."""
    without, with_it = reasons(estimates)[:SILENT]
    if with_it is not None:
        return f"with it: {with_it}"
    return None if without is None else f"without it: {without}"


def _counts(estimates: Strategies) -> dict[str, int]:
    return {"n": int(estimates.n[WITH]), "of": int(estimates.n[:SILENT].sum())}


def _raw(estimates: Strategies) -> float:
    return float(estimates.raw[WITH] - estimates.raw[WITHOUT])


def _estimated(difference: float, half: float, estimates: Strategies, outcome: Outcome) -> dict[str, Any]:
    """A difference in the KPI's unit, and whether it is beyond chance and beyond what records miss."""
    unseen = TIMES * abs(difference - _raw(estimates))
    sign = "raises" if difference > 0 else "lowers"
    if abs(difference) <= half:
        verdict, why = CANT_TELL, "may be chance"
    elif abs(difference) <= unseen:
        verdict, why = CANT_TELL, f"{TIMES:.0f} times what the records explain would undo it"
    else:
        verdict, why = sign, f"beyond chance, and beyond {TIMES:.0f} times what the records explain"
    ends = (difference, difference - half, difference + half, _raw(estimates), unseen)
    names = ("estimate", "low", "high", "raw", "margin")
    figures = {name: _number(outcome.span * end) for name, end in zip(names, ends, strict=True)}
    return {**_counts(estimates), **figures, "verdict": verdict, "why": why}


def _unknown(why: str, counts: dict[str, int], estimates: Strategies, outcome: Outcome) -> dict[str, Any]:
    empty = dict.fromkeys(("estimate", "low", "high"))
    raw = _number(outcome.span * _raw(estimates))
    return {**counts, **empty, "raw": raw, "margin": None, "verdict": CANT_TELL, "why": why}


def _number(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None
