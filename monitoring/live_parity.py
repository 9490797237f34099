"""Parity by segment of what a model does live, beside what it did on its test data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from scipy.stats import norm

from features.crm.crm import Crm
from monitoring.checks import Check, Verdict
from monitoring.performance import Outcomes
from training.fairness.group_metrics import METRICS
from training.fairness.parity import DECLARED, LEVEL, parity, segment_rows, threshold
from training.model import Model

ALPHA = 0.01
"""Level of all live comparisons together, which are made again every night; the gate's is 0.05."""

_WITHOUT_OUTCOME = ("selection rate", "mean score")


@dataclass(frozen=True)
class ParityRows:
    """Predictions with outcomes whose parity is shown.

    Attributes:
        title: which rows they are, such as `live, decided`.
        rows: `account_id`, `subject_id`, `y` (0/1), `p`.
        segments: the CRM's table.
        threshold: rows under it (renewal) or at or above it (win) are selected.
        metrics: of `training.fairness.group_metrics.METRICS`; those that need no outcome if `y` is not known.
    """

    title: str
    rows: pd.DataFrame
    segments: pd.DataFrame
    threshold: float
    metrics: tuple[str, ...]


def live_rows(model: Model, crm: Crm, outcomes: Outcomes) -> list[ParityRows]:
    """Live predictions to compare by segment: those with an outcome, and all of them for what needs none."""
    if not crm.has("segments", "account_id", "attribute", "value"):
        return []
    segments = crm.frame("segments")
    cut = threshold(model)
    every = pd.concat([outcomes.decided, outcomes.undecided.assign(y=0.0)])
    parts = (("live, with outcome", outcomes.decided, tuple(METRICS)), ("live, all", every, _WITHOUT_OUTCOME))
    return [
        ParityRows(
            title,
            rows[["account_id", "subject_id", "y", "p"]].reset_index(drop=True),
            segments,
            cut,
            names,
        )
        for title, rows, names in parts
        if len(rows)
    ]


def parity_checks(
    kind: str, rows: pd.DataFrame, segments: pd.DataFrame, threshold: float, metrics: Sequence[str]
) -> list[dict[str, Any]]:
    """`training.fairness.parity` of rows with `account_id`, `y`, `p`; n counts accounts."""
    account = rows["account_id"].where(rows["account_id"].notna(), rows["subject_id"])
    return parity(
        rows["y"].to_numpy(float),
        rows["p"].to_numpy(float),
        threshold,
        segment_rows(rows["account_id"], segments),
        kind=kind,
        subjects=pd.factorize(account)[0],
        metrics=tuple(metrics),
    )


def nightly_parity(kind: str, table: ParityRows) -> list[dict[str, Any]]:
    """Parity of live predictions as reported everywhere: alerts that hold for one nightly look by itself.

    Each metric's rows are held to `ALPHA` together: a verdict is the same whichever metrics are shown.
    """
    rows = parity_checks(kind, table.rows, table.segments, table.threshold, table.metrics)
    return [row for name in table.metrics for row in sure([one for one in rows if one["metric"] == name])]


def parity_by_segment(
    kind: str, of_test: Sequence[dict[str, Any]], tables: Sequence[ParityRows]
) -> list[Check]:
    """The declared primary metric by segment: on the model's test data as its gate judged, and live."""
    primary = DECLARED[kind].primary
    checks = [_check("test data", row) for row in of_test if row["primary"]]
    for table in tables:
        if primary in table.metrics:
            parity_rows = nightly_parity(kind, table)
            checks += [_check(table.title, row) for row in parity_rows if row["primary"]]
    if checks:
        return checks
    return [Check("parity: segments", "", None, None, Verdict.UNKNOWN, "the CRM has no segments to compare")]


def parity_table(
    kind: str, of_test: Sequence[dict[str, Any]], tables: Sequence[ParityRows]
) -> list[dict[str, Any]]:
    """Every metric of every segment, with n, interval, difference and ratio: what the checks decide from.

    Each row of `training.fairness.parity` with `kind`, and `source` (test data, or which live predictions).
    """
    sourced_rows = [("test data", row) for row in of_test]
    for table in tables:
        sourced_rows += [(table.title, row) for row in nightly_parity(kind, table)]
    return [{"kind": kind, "source": source, **row} for source, row in sourced_rows]


def proxy_checks(proxies: Sequence[dict[str, Any]]) -> list[Check]:
    """What the served model reads that gives a segment away, as its training found."""
    return [
        Check(
            row["name"],
            row["segment"],
            row["auc"],
            row["threshold"],
            Verdict(row["verdict"]),
            row["why"],
            cause=f"proxies of {row['attribute']}",
        )
        for row in proxies
    ]


def sure(parity_rows: Sequence[dict[str, Any]], alpha: float = ALPHA) -> list[dict[str, Any]]:
    """The same rows, alerts that do not hold at `alpha` over all of them together made unknown."""
    tested = sum(row["difference"] is not None for row in parity_rows)
    least = norm.ppf(1 - alpha / max(tested, 1) / 2)
    result = []
    for row in parity_rows:
        if row["verdict"] == "alert" and _z(row) < least:
            row = {
                **row,
                "verdict": "unknown",
                "why": f"{row['why']}, but not surely enough for a nightly look",
            }
        result.append(row)
    return result


def _z(row: dict[str, Any]) -> float:
    """The difference in standard errors, from its interval on the side of zero."""
    edge = row["difference_high"] if row["difference"] < 0 else row["difference_low"]
    half = abs(edge - row["difference"])
    return float(abs(row["difference"]) / half * norm.ppf((1 + LEVEL) / 2)) if half > 0 else float("inf")


def _check(source: str, row: dict[str, Any]) -> Check:
    name = f"parity ({source}): {row['metric']}"
    return Check(name, row["segment"], row["value"], row["threshold"], Verdict(row["verdict"]), row["why"])
