"""Where along the journey, from reach to recommendation, customers of a segment are lost.

At each stage the groups of an attribute are compared by one test (score, errors by account), and all
tests together are held to one error rate (Holm 1979): where nothing is unfair, hardly any stage is named. A
gap is named where the group also goes on clearly less often than the best one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from features.crm.crm import Crm
from monitoring.journey_stages import STAGES, cost_of_acquisition, kpis, reached, stage_rows
from training.fairness.group_metrics import interval
from training.metrics import holm

ALPHA = 0.01
"""Of all tests together: the far tails of rates are a little heavier than the tests suppose, so not 0.05."""

LEAST_ACCOUNTS = 30
"""Groups with fewer accounts at a stage: their figures are not shown."""

WORST_RATIO = 0.9
LEVEL = 0.9
_ACCOUNT_COLUMNS = ("region", "industry", "country")


@dataclass(frozen=True)
class Group:
    """A segment at a stage.

    Attributes:
        segment: its value. `accounts`: distinct accounts that came to the stage.
        n: rows (weighted by the segment's share). `rate`: the share that went on; reach: accounts by people.
        error: its standard error, summed by account.
    """

    segment: str
    accounts: int
    n: float
    rate: float
    error: float


def journey(crm: Crm) -> dict[str, Any]:
    """The journey by segment.

    Args:
        crm: with a table `segments`; without one, accounts' region, industry and country serve.

    Returns:
        `rows` (stage, attribute, segment, n, accounts, rate, low, high, ratio to the best, verdict: unknown
        where nothing was tested, why), `compared` and `not_compared` (attributes in which a gap was and was
        not looked for), `gaps` (attribute, segment, stage, ratio, p, why; the first of an attribute is where
        its gap opens),
        `costs` of acquisition by segment and `kpis` (NPS, CSAT, CES by quarter).
    """
    segments, is_audited = account_segments(crm)
    stages = stage_rows(crm)
    compared: list[tuple[str, str, list[Group]]] = []
    for attribute, of_attribute in segments.groupby("attribute", sort=True):
        reach = _reach(crm, str(attribute), of_attribute)
        if reach:
            compared.append((str(attribute), "reach", reach))
        for stage in STAGES[1:]:
            if stage in stages:
                compared.append((str(attribute), stage, _groups(stages[stage], of_attribute)))
    named = [(a, s, g) for a, s, g in compared if a in is_audited and len(_large(g)) >= 2]
    gaps = _gaps(named)
    tested = {(a, s) for a, s, _ in named}
    opened = {(gap["attribute"], gap["stage"], gap["segment"]): gap["why"] for gap in gaps}
    rows = [
        _decided(row, (attribute, stage) in tested, opened)
        for attribute, stage, groups in compared
        for row in _shown(attribute, stage, groups)
    ]
    attributes = dict.fromkeys(attribute for attribute, _, _ in compared)
    looked_for = {attribute for attribute, _ in tested}
    return {
        "rows": rows,
        "compared": [name for name in attributes if name in looked_for],
        "not_compared": [name for name in attributes if name not in looked_for],
        "gaps": gaps,
        "costs": _costs(crm, segments),
        "kpis": kpis(crm),
        "absent": [stage for stage in STAGES if not any(s == stage for _, s, _ in compared)],
    }


def _decided(row: dict[str, Any], is_tested: bool, opened: dict[tuple[str, str, str], str]) -> dict[str, Any]:
    """A shown row with the verdict of the test of gaps; unknown where there was none."""
    if row["rate"] is None:
        return row
    gap = opened.get((row["attribute"], row["stage"], row["segment"]))
    if gap is not None:
        return {**row, "verdict": "alert", "why": gap}
    return row if is_tested else {**row, "verdict": "unknown", "why": f"{row['why']}; not tested for gaps"}


def account_segments(crm: Crm) -> tuple[pd.DataFrame, set[str]]:
    """Every account's segments, and the attributes in which a gap is named.

    Those of the table `segments`. What else `population` counts (a region) is shown beside them: wins differ
    by region for good reasons. Only a CRM without the table has its accounts' own columns judged.
    """
    parts = []
    if crm.has("segments"):
        parts.append(crm.frame("segments"))
    audited = set(parts[0]["attribute"]) if parts else set()
    counted = set(crm.frame("population", ["attribute"])["attribute"]) if crm.has("population") else set()
    for column in sorted((counted if audited else counted | set(_ACCOUNT_COLUMNS)) - audited):
        if crm.has("accounts", column):
            column_values = crm.frame("accounts", ["account_id", column]).rename(columns={column: "value"})
            parts.append(
                column_values.assign(attribute=column, value=column_values["value"].astype("string")).dropna()
            )
    if not parts:
        return pd.DataFrame(columns=["account_id", "attribute", "value", "share"]), set()
    segments = pd.concat(parts, ignore_index=True)
    share = segments["share"].astype(float) if "share" in segments else pd.Series(1.0, segments.index)
    segments = segments.assign(share=share.fillna(1.0))[["account_id", "attribute", "value", "share"]]
    return segments, audited or set(segments["attribute"])


def _reach(crm: Crm, attribute: str, segments: pd.DataFrame) -> list[Group]:
    """Accounts reached for each of the people (or firms) out there, as `population` counts them."""
    if not crm.has("population"):
        return []
    population = crm.frame("population", ["attribute", "value", "people"])
    people = population[population["attribute"] == attribute].groupby("value")["people"].sum()
    here = segments[segments["account_id"].isin(reached(crm))]
    counts = here.groupby("value")["share"].sum()
    groups = []
    for value, there in people.items():
        n = float(counts.get(value, 0.0))
        if there > 0:
            groups.append(
                Group(str(value), round(n), float(there), n / there, float(np.sqrt(max(n, 1.0)) / there))
            )
    return groups


def _groups(rows: pd.DataFrame, segments: pd.DataFrame) -> list[Group]:
    joined = rows.merge(segments, on="account_id")
    return [_group(str(value), part) for value, part in joined.groupby("value", sort=True)]


def _group(segment: str, rows: pd.DataFrame) -> Group:
    """Rate and standard error by leaving out one account after another, at least that of independent rows.

    The jackknife (Tukey 1958) sees it when one account with hundreds of rows makes the whole rate.
    """
    weight, y = rows["share"].to_numpy(float), rows["went_on"].to_numpy(float)
    _, account = np.unique(rows["account_id"].to_numpy(str), return_inverse=True)
    came, went = np.bincount(account, weight), np.bincount(account, weight * y)
    n, accounts = float(came.sum()), len(came)
    rate = float(went.sum() / n)
    if accounts < 2:
        return Group(segment, accounts, n, rate, 1.0)
    without = (went.sum() - went) / (n - came)
    variance = float(((without - without.mean()) ** 2).sum()) * (accounts - 1) / accounts
    smooth = (rate * n + 1) / (n + 2)
    return Group(segment, accounts, n, rate, float(np.sqrt(max(variance, smooth * (1 - smooth) / n))))


def _costs(crm: Crm, segments: pd.DataFrame) -> list[dict[str, Any]]:
    """Cost of acquisition by segment, without figures where fewer than 30 accounts are in it."""
    accounts = segments.groupby(["attribute", "value"])["share"].sum()
    costs = cost_of_acquisition(crm, segments)
    hidden = dict.fromkeys(("cost", "wins", "cost_per_win"))
    return [
        row if accounts[row["attribute"], row["segment"]] >= LEAST_ACCOUNTS else {**row, **hidden}
        for row in costs
    ]


def _large(groups: list[Group]) -> list[Group]:
    return [group for group in groups if group.accounts >= LEAST_ACCOUNTS]


def _shown(attribute: str, stage: str, groups: list[Group]) -> list[dict[str, Any]]:
    large = _large(groups)
    best = max((group.rate for group in large), default=0.0)
    rows = []
    for group in groups:
        row: dict[str, Any] = {"stage": stage, "attribute": attribute, "segment": group.segment}
        if group not in large:
            why = f"fewer than {LEAST_ACCOUNTS} accounts: figures are not shown"
            figures = dict.fromkeys(("n", "accounts", "rate", "low", "high", "ratio"))
            rows.append({**row, **figures, "verdict": "unknown", "why": why})
            continue
        low, high = _interval(stage, group)
        ratio = group.rate / best if best > 0 else None
        figures = {
            "n": round(group.n),
            "accounts": group.accounts,
            "rate": group.rate,
            "low": low,
            "high": high,
        }
        why = f"{group.accounts:,} accounts"
        rows.append({**row, **figures, "ratio": ratio, "verdict": "ok", "why": why})
    return rows


def _interval(stage: str, group: Group) -> tuple[float, float]:
    """Wilson's with the number of rows that are worth as much as these; reach: Poisson's, normal."""
    if stage == "reach":
        half = stats.norm.ppf((1 + LEVEL) / 2) * group.error
        return max(group.rate - half, 0.0), group.rate + half
    worth = min(group.n, max(group.rate * (1 - group.rate), 1e-6) / group.error**2)
    spread = float(np.sqrt(group.rate * (1 - group.rate)))
    return interval(group.rate, spread, max(worth, 1.0), True, LEVEL)


def _gaps(compared: list[tuple[str, str, list[Group]]]) -> list[dict[str, Any]]:
    """The stages where a group goes on less often than the best, surely and clearly."""
    tests = [(a, s, _large(groups)) for a, s, groups in compared]
    corrected = holm([_score_test(groups) for _, _, groups in tests])
    gaps = []
    for (attribute, stage, groups), p in zip(tests, corrected, strict=True):
        best = max(groups, key=lambda group: group.rate)
        for group in sorted(groups, key=lambda group: group.rate):
            if (
                p <= ALPHA
                and best.rate > 0
                and group.rate / best.rate <= WORST_RATIO
                and _is_below(group, best)
            ):
                gaps.append(_gap(attribute, stage, group, best, float(p)))
    return gaps


def _score_test(groups: list[Group]) -> float:
    """p-value of all groups having one rate, its variance under just that (Rao and Scott 1984).

    A small group of whom nearly all go on has next to no variance of its own, and a test that believes it
    (Wald's) finds gaps where there are none; the variance of the common rate is taken instead, times how much
    more than independent rows the group's own accounts make of theirs.
    """
    n, rate = np.array([g.n for g in groups]), np.array([g.rate for g in groups])
    common = float((n * rate).sum() / n.sum())
    if not _variance(common) > 0:
        return 1.0
    own_variance = np.maximum(_variance(rate), _variance((n * rate + 1) / (n + 2))) / n
    design = np.maximum(np.array([g.error for g in groups]) ** 2 / own_variance, 1.0)
    weight = n / (design * _variance(common))
    middle = (weight * rate).sum() / weight.sum()
    return float(stats.chi2.sf((weight * (rate - middle) ** 2).sum(), len(groups) - 1))


def _variance(rate: Any) -> Any:
    """Of one row that goes on at a rate; at reach, where more may come than were counted, Poisson's."""
    return np.where(rate < 1, rate * (1 - rate), np.where(rate > 1, rate, 0.0))


def _is_below(group: Group, best: Group) -> bool:
    """The group's own difference from the best is beyond chance too, not only that of all of them."""
    error = float(np.hypot(group.error, best.error))
    return (best.rate - group.rate) / error > stats.norm.ppf(0.99)


def _gap(attribute: str, stage: str, group: Group, best: Group, p: float) -> dict[str, Any]:
    ratio = group.rate / best.rate
    rates = "" if stage == "reach" else f" ({group.rate:.0%} against {best.rate:.0%})"
    who = f"{attribute}={group.segment} goes on from {stage}"
    why = f"{who} {ratio:.2f} times as often as {best.segment}{rates}, corrected p {p:.2g}"
    return {
        "attribute": attribute,
        "segment": group.segment,
        "stage": stage,
        "ratio": ratio,
        "best": best.segment,
        "p": p,
        "why": why,
    }
