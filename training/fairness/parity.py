"""Parity: whether a model treats customer segments alike; formulas for test data and live predictions both.

Each group is compared with everybody else of its attribute, at a level corrected for the number of groups
(Bonferroni). What is favourable, which outcome calls for it and which metric decides is declared beforehand.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from training.fairness.group_metrics import METRICS, Metric, Rows, gap, interval, spread

if TYPE_CHECKING:
    from features.crm.crm import Crm
    from training.model import Model

LEVEL = 0.90
ALERT_LEVEL = 0.95
POWER = 0.80
MIN_SIZE = 30
PARITY_FILE = "parity.json"


@dataclass(frozen=True)
class Declared:
    """What fairness means for a model, said before looking.

    Attributes:
        favourable: the treatment that a segment could be denied.
        positive: the outcome that calls for it.
        positive_label: that outcome's label.
        selected_below: whether rows are selected under the threshold (else at or above it).
        primary: the metric that decides; error rates and calibration cannot all be equal where base rates
            differ (Kleinberg et al. 2016).
    """

    favourable: str
    positive: str
    positive_label: int
    selected_below: bool
    primary: str


DECLARED = {
    "renewal": Declared(
        favourable="being listed at risk, and so being called on in time",
        positive="the contract is lost",
        positive_label=0,
        selected_below=True,
        primary="true positive rate",
    ),
    "win": Declared(
        favourable="being listed hot, and so being worked on",
        positive="the deal is won",
        positive_label=1,
        selected_below=False,
        primary="true positive rate",
    ),
}


def threshold(model: "Model") -> float:
    """Rows under it (renewal) or at or above it (win) are selected: the edge of the band worked on first."""
    return float(model.cuts[0 if DECLARED[model.kind].selected_below else 1])


def declared(kind: str, cut: float) -> dict[str, Any]:
    """What is declared of a model, for people and programs: favourable, positive, primary, threshold, …"""
    declaration = DECLARED[kind]
    return {
        "favourable": declaration.favourable,
        "positive": declaration.positive,
        "primary": declaration.primary,
        "threshold": cut,
        "selected": "under" if declaration.selected_below else "at or above",
    }


def segments_of(crm: "Crm") -> pd.DataFrame:
    """The CRM's table of segments, empty where it has none."""
    if not crm.has("segments", "account_id", "attribute", "value"):
        return pd.DataFrame({"account_id": [], "attribute": [], "value": []}, dtype="string")
    return crm.frame("segments")


def segment_rows(account_id: pd.Series, segments: pd.DataFrame) -> pd.DataFrame:
    """Segments by row position: `row`, `attribute`, `value`, `share` (1, or an area's share).

    Args:
        account_id: (n,) the account of each row.
        segments: the CRM's table (account_id, attribute, value and perhaps share).
    """
    rows = pd.DataFrame(
        {"account_id": account_id.astype("string").to_numpy(), "row": np.arange(len(account_id))}
    )
    filled = segments.assign(account_id=segments["account_id"].astype("string"))
    filled["share"] = filled["share"].astype(float).fillna(1.0) if "share" in filled else 1.0
    return rows.merge(filled, on="account_id")[["row", "attribute", "value", "share"]]


def parity(
    y: np.ndarray,
    p: np.ndarray,
    threshold: float,
    segments: pd.DataFrame,
    *,
    kind: str = "win",
    subjects: np.ndarray | None = None,
    min_size: int = MIN_SIZE,
    metrics: Sequence[str] = tuple(METRICS),
) -> list[dict[str, Any]]:
    """Compare every segment, and every pair of segments, with the rest.

    Args:
        y: (n,) outcomes 0/1.
        p: (n,) probabilities of outcome 1.
        threshold: rows under it (renewal) or at or above it (win) are selected.
        segments: as `segment_rows` gives them.
        kind: `renewal` or `win`: what is declared favourable.
        subjects: (n,) codes of contracts or deals; each row its own if not given.
        min_size: groups with fewer contracts in a metric's base are `unknown`, their figures hidden.
        metrics: names of `METRICS` to compute.

    Returns:
        A dict a group and metric: name, segment, metric, primary, n, estimate, low, high, rest, difference,
        difference_low, difference_high, ratio, value, threshold, verdict (ok, alert, unknown), why.
    """
    meant = DECLARED[kind]
    positive = (y == meant.positive_label).astype(int)
    score = p if meant.positive_label == 1 else 1 - p
    selected = (p < threshold if meant.selected_below else p >= threshold).astype(int)
    every = np.arange(len(y)) if subjects is None else subjects
    rows = Rows(positive, selected, np.asarray(score, dtype=float), every)
    checks: list[dict[str, Any]] = []
    for groups in (_one_way(segments, len(y)), _two_way(segments, len(y), min_size, every)):
        for name in metrics:
            checks += _compare(rows, groups, name, name == meant.primary, min_size)
    return checks


@dataclass(frozen=True)
class Group:
    """A segment: `inside` and `rest` are row weights (n,), the rest being who else has the attribute."""

    name: str
    inside: np.ndarray
    rest: np.ndarray


def segment_shares(account_id: pd.Series, segments: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Attribute → value → (n,) share of each row in it, 0 where nothing is known."""
    return _shares(segment_rows(account_id, segments), len(account_id))


def _shares(segments: pd.DataFrame, n: int) -> dict[str, dict[str, np.ndarray]]:
    """Attribute → value → (n,) share of each row."""
    shares: dict[str, dict[str, np.ndarray]] = {}
    for (attribute, value), part in segments.groupby(["attribute", "value"], sort=True, observed=True):
        weight = np.bincount(part["row"], weights=part["share"], minlength=n)
        shares.setdefault(str(attribute), {})[str(value)] = np.minimum(weight, 1.0)
    return shares


def _one_way(segments: pd.DataFrame, n: int) -> list[Group]:
    groups = []
    for attribute, values in _shares(segments, n).items():
        coverage = np.minimum(sum(values.values()), 1.0)
        groups += [
            Group(f"{attribute}={value}", w, coverage - np.minimum(w, coverage))
            for value, w in values.items()
        ]
    return groups


def _two_way(segments: pd.DataFrame, n: int, min_size: int, subjects: np.ndarray) -> list[Group]:
    """Pairs of segments that are large enough to be looked at."""
    shares = _shares(segments, n)
    groups = []
    for one, other in combinations(shares, 2):
        coverage = np.minimum(sum(shares[one].values()), 1.0) * np.minimum(sum(shares[other].values()), 1.0)
        for a, first in shares[one].items():
            for b, second in shares[other].items():
                inside = first * second
                if _size(inside, subjects) >= min_size:
                    groups.append(Group(f"{one}={a} & {other}={b}", inside, np.maximum(coverage - inside, 0)))
    return groups


def _size(weight: np.ndarray, subjects: np.ndarray) -> float:
    """How many contracts or deals a weight counts: each by its mean share, however many snapshots it has."""
    inside = weight > 0
    if not inside.any():
        return 0.0
    _, codes = np.unique(subjects[inside], return_inverse=True)
    return float((np.bincount(codes, weight[inside]) / np.bincount(codes)).sum())


def _compare(
    rows: Rows, groups: list[Group], name: str, primary: bool, min_size: int
) -> list[dict[str, Any]]:
    metric = METRICS[name]
    base = {"all": np.ones(len(rows.positive)), "positive": rows.positive, "negative": 1 - rows.positive}[
        metric.base
    ]
    sized = [
        (group, _size(group.inside * base, rows.subjects), _size(group.rest * base, rows.subjects))
        for group in groups
    ]
    tested = sum(min(n, rest) >= min_size for _, n, rest in sized)
    checks = []
    for group, n, rest_n in sized:
        check: dict[str, Any] = {
            "name": f"parity: {name}",
            "segment": group.name,
            "metric": name,
            "primary": primary,
            "n": round(n),
            "threshold": metric.limit,
        }
        if min(n, rest_n) < min_size:
            hidden = (
                f"fewer than {min_size} contracts or deals in the group or beside it: figures are not shown"
            )
            checks.append({**check, **dict.fromkeys(FIGURES), "n": None, "verdict": "unknown", "why": hidden})
        else:
            figures = _figures(rows, group, metric, base, (n, rest_n), tested)
            if ((group.inside > 0) & (group.inside < 1)).any():
                figures["why"] += BY_AREA
            checks.append({**check, **figures})
    return checks


BY_AREA = "; by shares of areas, which say who lives around a customer: a hint, no finding"


FIGURES = (
    "estimate", "low", "high", "rest", "difference", "difference_low", "difference_high", "ratio", "value",
)  # fmt: skip


def _figures(
    rows: Rows,
    group: Group,
    metric: Metric,
    base: np.ndarray,
    sizes: tuple[float, float],
    tested: int,
) -> dict[str, Any]:
    here, there = metric.estimate(rows, group.inside), metric.estimate(rows, group.rest)
    spreads = [spread(rows, metric, weight * base) for weight in (group.inside, group.rest)]
    low, high = interval(here, spreads[0], sizes[0], metric.is_rate, LEVEL)
    shown = gap(metric, (here, there), spreads, sizes, LEVEL)
    sure = gap(metric, (here, there), spreads, sizes, 1 - (1 - ALERT_LEVEL) / max(tested, 1))
    ratio = here / there if metric.is_rate and there > 0 else None
    error = float(np.sqrt(sum(s**2 / n for s, n in zip(spreads, sizes, strict=True))))
    noticed = (norm.ppf(ALERT_LEVEL) + norm.ppf(POWER)) * error
    matters = (1 - metric.limit) * there if metric.by_ratio else metric.limit
    verdict, why = _verdict(metric, here - there, matters, sure, noticed)
    return {
        "estimate": here,
        "low": low,
        "high": high,
        "rest": there,
        "difference": here - there,
        "difference_low": shown[0],
        "difference_high": shown[1],
        "ratio": ratio,
        "value": ratio if metric.by_ratio else here - there,
        "verdict": verdict,
        "why": why,
    }


def _verdict(
    metric: Metric, difference: float, matters: float, sure: tuple[float, float], noticed: float
) -> tuple[str, str]:
    """Alert: beyond the limit, and surely. Ok: within it, and a gap that matters would have shown."""
    beyond = difference < -matters if metric.by_ratio else abs(difference) > matters
    differs = sure[1] < 0 or sure[0] > 0
    text = f"differs from the rest by {difference:+.3f} (limit {matters:.3f})"
    if beyond and differs:
        return "alert", f"{text}, more than chance explains"
    if beyond:
        return "unknown", f"{text}, but chance alone could explain it"
    if matters <= 0 or noticed > matters:
        return "unknown", f"{text}; with these numbers only a gap of {noticed:.3f} would surely be seen"
    return "ok", text


def save_parity(folder: Path, checks: Sequence[dict[str, Any]], proxies: Sequence[dict[str, Any]]) -> None:
    """Keep parity and proxies of a training beside its result, for monitoring."""
    content = {"parity": list(checks), "proxies": list(proxies)}
    (folder / PARITY_FILE).write_text(json.dumps(content, allow_nan=False), encoding="utf-8")


def load_parity(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """`parity` and `proxies` of a training; both empty where it was registered without them."""
    file = Path(folder) / PARITY_FILE
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"parity": [], "proxies": []}


def verdict_of(checks: Sequence[dict[str, Any]]) -> str:
    """One verdict over the primary metric: alert if any group has one, ok if every single segment is ok.

    Pairs of segments can alert, but too few of a pair does not make the whole unknown.
    """
    decisive = [check for check in checks if check["primary"]]
    if any(check["verdict"] == "alert" for check in decisive):
        return "alert"
    single = [check["verdict"] for check in decisive if " & " not in check["segment"]]
    return "ok" if single and set(single) == {"ok"} else "unknown"
