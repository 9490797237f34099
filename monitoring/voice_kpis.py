"""What customers say and what the silent would say: NPS, CSAT and CES of everybody asked.

Who answers is not drawn at random. With what is known of everybody asked, π is the probability of answering
and m the score expected; the mean over all asked of m + (answered / π) (score − m) is right if either of
them is (augmented inverse probability weighting: Robins, Rotnitzky & Zhao 1994), both fitted without the
account they are used for. Its error is that of the whole procedure, both fits included: all of it is
repeated without each tenth of the accounts (delete-a-group jackknife: Kott 2001). It cannot see what
moves both the score and the answering but is on no record: `if_worse` says what the figure would be
were the silent ones as much worse again as the record shows them to be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit

from features.crm.crm import Crm
from monitoring.journey_stages import top_of_scale
from monitoring.voice_record import DIMENSIONS, asked_surveys, encoded
from training.ridge import fit_ridge, fit_ridge_logistic, with_intercept
from training.split import cluster_folds

LEAST_ANSWERS = 10
LEAST_FREEDOM = 4.0
FOLDS, GROUPS = 5, 10
LEAST_PROBABILITY = 0.05
"""Of answering: no answer stands for more than twenty people."""
PENALTY = 1.0
ALL = "all"
KINDS = ("nps", "csat", "ces")


@dataclass(frozen=True)
class Everybody:
    """(n,) of all asked: `points` each stands for, whose mean is the estimate.

    `replicates` (GROUPS, n) are the same points without one group of accounts at a time, NaN where left out.
    """

    points: np.ndarray
    replicates: np.ndarray


@dataclass(frozen=True)
class Asked:
    """Everybody asked a kind of survey: as `asked_surveys` gives them, with (n,) points and their unit."""

    surveys: pd.DataFrame
    points: np.ndarray
    everybody: Everybody | None
    unit: str


def asked_of(crm: Crm, kind: str) -> Asked | None:
    """Everybody asked a kind of survey, and what they would say; None with fewer than ten answers."""
    surveys = asked_surveys(crm, kind)
    if surveys.empty or surveys["score"].notna().sum() < LEAST_ANSWERS:
        return None
    unit = "points" if kind == "nps" else f"of {top_of_scale(surveys['score']):g}"
    points = points_of(surveys["score"], kind)
    return Asked(surveys, points, whole(points, encoded(surveys), surveys["account_id"]), unit)


def voice(crm: Crm) -> dict[str, Any]:
    """NPS, CSAT and CES by stage, segment, owner and touchpoint.

    Returns:
        `rows`: `kpi`, `unit`, `dimension`, `group`, `asked`, `answered`, `response_rate`, `raw` with
        `raw_low`, `raw_high` (the mean of the answers), `estimate` with `low`, `high` (of all who were asked;
        90 %), `silent` (what those who gave no answer would say), `if_worse`; figures are None with fewer
        than ten answers. `notes` in words.
    """
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for kind in KINDS:
        everyone = asked_of(crm, kind)
        if everyone is None:
            continue
        surveys = everyone.surveys
        if everyone.everybody is None:
            notes.append(f"{kind.upper()}: everybody asked is on record as having answered")
        groups = [(ALL, ALL, np.ones(len(surveys), dtype=bool))]
        groups += [
            (name, str(value), (surveys[name] == value).to_numpy(bool))
            for name in DIMENSIONS
            if name in surveys
            for value in sorted(surveys[name].dropna().unique())
        ]
        for dimension, group, inside in groups:
            figures = figures_of(everyone.points, surveys["account_id"], everyone.everybody, inside)
            place = {"kpi": kind.upper(), "unit": everyone.unit, "dimension": dimension, "group": group}
            rows.append({**place, **figures})
    if not rows:
        notes.append("fewer than ten answers to any kind of survey are on record")
    return {"rows": rows, "notes": notes}


def points_of(score: pd.Series, kind: str) -> np.ndarray:
    """(n,) what a score counts: NPS −100, 0 or 100, else itself; NaN where there is none."""
    value = score.to_numpy(float)
    if kind != "nps":
        return value
    return np.where(np.isnan(value), np.nan, np.select([value >= 9, value <= 6], [100.0, -100.0], 0.0))


def whole(points: np.ndarray, X: np.ndarray, account: pd.Series, seed: int = 0) -> Everybody | None:
    """What everybody asked would say, answered or not; None where nobody was silent or too few spoke.

    Args:
        points: (n,) NaN for the silent.
        X: (n, k) what is known of everybody asked when asked, without missing values.
        account: (n,) what errors are counted by.
        seed: of the folds.
    """
    answered = np.isfinite(points)
    if answered.all() or answered.sum() < LEAST_ANSWERS or (~answered).sum() < LEAST_ANSWERS:
        return None
    group = cluster_folds(account.to_numpy(), GROUPS, seed)
    fold = cluster_folds(account.to_numpy(), FOLDS, seed + 1)
    starts: dict[int, np.ndarray] = {}
    of_all = _points(points, X, fold, starts)
    replicates = np.full((GROUPS, len(points)), np.nan)
    for left_out in range(GROUPS):
        stays = group != left_out
        replicates[left_out, stays] = _points(points[stays], X[stays], fold[stays], starts)
    return Everybody(of_all, replicates)


def _points(points: np.ndarray, X: np.ndarray, fold: np.ndarray, starts: dict[int, np.ndarray]) -> np.ndarray:
    """(n,) what each person asked stands for; neither model was fitted on the fold it predicts.

    `starts` holds, by fold, coefficients of the chance of answering to begin from; first ones stay.
    """
    answered = np.isfinite(points)
    answers, expected = np.empty(len(points)), np.empty(len(points))
    for here in range(FOLDS):
        out, used = fold == here, fold != here
        if not out.any():
            continue
        A = with_intercept((X - X[used].mean(axis=0)) / (X[used].std(axis=0) + 1e-9))
        figures = used & answered
        weight = np.ones(used.sum())
        chance = fit_ridge_logistic(A[used], answered[used].astype(float), weight, PENALTY, starts.get(here))
        starts.setdefault(here, chance)
        score = fit_ridge(A[figures], points[figures, None], np.ones(figures.sum()), PENALTY)[:, 0]
        answers[out], expected[out] = expit(A[out] @ chance), A[out] @ score
    low, high = np.nanmin(points), np.nanmax(points)
    expected = np.clip(expected, low, high)
    answers = np.clip(answers, LEAST_PROBABILITY, 1.0)
    weight = answered / answers
    weight = weight * len(weight) / weight.sum()  # weights that add up to everybody (Hájek 1971)
    return expected + weight * np.where(answered, points - expected, 0.0)


def figures_of(
    points: np.ndarray, account: pd.Series, everybody: Everybody | None, inside: np.ndarray
) -> dict[str, Any]:
    """The figures of one group of those asked; None where fewer than ten answered."""
    spoke = inside & np.isfinite(points)
    count, answered = int(inside.sum()), int(spoke.sum())
    figures: dict[str, Any] = {
        "asked": count,
        "answered": answered,
        "response_rate": answered / max(count, 1),
    }
    names = ("raw", "raw_low", "raw_high", "estimate", "low", "high", "silent", "if_worse")
    if answered < LEAST_ANSWERS:
        return figures | dict.fromkeys(names)
    raw, half = within_clusters(points[spoke], account[spoke])
    figures |= {"raw": raw, "raw_low": raw - half, "raw_high": raw + half}
    if everybody is None:
        return figures | {
            "estimate": raw,
            "low": raw - half,
            "high": raw + half,
            "silent": None,
            "if_worse": None,
        }
    estimate, half = _jackknifed(everybody, inside)
    low, high = float(np.nanmin(points)), float(np.nanmax(points))
    estimate = float(np.clip(estimate, low, high))
    share = answered / count
    silent = (estimate - share * raw) / (1 - share) if share < 1 else None
    figures |= {"estimate": estimate, "low": max(estimate - half, low), "high": min(estimate + half, high)}
    if silent is None:
        return figures | {"silent": None, "if_worse": None}
    silent = float(np.clip(silent, low, high))
    worse = float(np.clip(silent - abs(raw - silent), low, high))
    return figures | {"silent": silent, "if_worse": share * raw + (1 - share) * worse}


def _jackknifed(everybody: Everybody, inside: np.ndarray) -> tuple[float, float]:
    """Mean over a group of those asked, and half of its 90 % interval."""
    rows = everybody.replicates[:, inside]
    counts = np.isfinite(rows).sum(axis=1)
    means = np.nansum(rows, axis=1)[counts > 0] / counts[counts > 0]
    spread = (len(means) - 1) / len(means) * ((means - means.mean()) ** 2).sum()
    return float(everybody.points[inside].mean()), float(stats.t.isf(0.05, len(means) - 1) * np.sqrt(spread))


def within_clusters(values: np.ndarray, account: pd.Series) -> tuple[float, float]:
    """Mean and half of its 90 % interval, accounts being independent and not their answers.

    A few heavy weights make a standard error unsure: degrees of freedom by the kurtosis of what accounts
    contribute, 2c / (kurtosis − 1) (Satterthwaite 1946).
    """
    centred = values - values.mean()
    sums = np.bincount(pd.factorize(account)[0], centred)
    clusters = max(len(sums), 2)
    error = np.sqrt((sums**2).sum() * clusters / (clusters - 1)) / len(values)
    kurtosis = clusters * (sums**4).sum() / max((sums**2).sum() ** 2, 1e-300)
    freedom = max(2 * clusters / max(kurtosis - 1, 1e-9), LEAST_FREEDOM)
    return float(values.mean()), float(stats.t.isf(0.05, freedom) * error)


def shown_groups(rows: Sequence[Mapping[str, Any]], hidden: Sequence[str]) -> list[dict[str, Any]]:
    """Rows without some dimensions."""
    return [dict(row) for row in rows if row["dimension"] not in hidden]
