"""Whether columns moved between two windows: tests, effect sizes and one error rate for all of them together.

Numbers are compared by the two-sample Kolmogorov-Smirnov test, categories by the chi-square test of
homogeneity, missing shares and new categories by Fisher's exact test. Holm (1979) holds the chance that
anything unmoved is called moved, over all columns and tests together, at `alpha`. A difference must also be
large enough to care about, and larger than the column's own trend inside the reference would have it by now:
an account's age grows every month, and nothing is wrong.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from monitoring.windows import Windows

ALPHA = 0.02
LEAST_ACCOUNTS = 100
"""Fewer independent accounts on either side: unknown."""

LEAST_EFFECT = {"values": 0.1, "missing": 0.1, "new category": 0.01}
"""KS distance or total variation; change of the missing share; share of rows in categories never seen."""

_TREND_P = 0.01
_TREND_SLACK = 1.25
_MOST_TREND = 4.0
_LEAST_EXPECTED = 5


@dataclass(frozen=True)
class Shift:
    """One test of one column.

    Attributes:
        column: its name.
        aspect: `values`, `missing` or `new category`.
        effect: how far it moved (see `LEAST_EFFECT`), 0 to 1.
        least: the effect from which on it counts.
        p: of the test alone. `p_holm`: corrected for all tests of the comparison.
        has_moved: significant after correction, and far enough.
        weight: the column's share in the scores, 0 to 1; NaN unknown.
        detail: for people.
    """

    column: str
    aspect: str
    effect: float
    least: float
    p: float
    detail: str
    p_holm: float = 1.0
    has_moved: bool = False
    weight: float = float("nan")


def shifts(
    windows: Windows,
    columns: Sequence[str],
    *,
    alpha: float = ALPHA,
    importance: Mapping[str, float] | None = None,
    seen: Mapping[str, set] | None = None,
) -> list[Shift]:
    """Test all columns of two windows together.

    Args:
        windows: comparable rows; a column absent from `current` counts as missing in every row.
        columns: to test, as they are in the reference.
        alpha: chance of any false move.
        importance: column → mean |contribution|, any unit; absent columns count 0.
        seen: categorical column → every category the whole reference holds, not only its sample.

    Returns:
        A row a test, those that moved first, heaviest first.
    """
    halves = _halves(windows)
    found: list[Shift] = []
    for column in columns:
        known = None if seen is None else seen.get(column)
        found += _of_column(windows, column, halves, known)
    total = sum(importance.values()) if importance else 0.0
    corrected = holm([shift.p for shift in found])
    judged = [
        Shift(
            **{
                **vars(shift),
                "p_holm": float(p),
                "has_moved": bool(p <= alpha and shift.effect >= shift.least),
                "weight": importance.get(shift.column, 0.0) / total if importance and total else float("nan"),
            }
        )
        for shift, p in zip(found, corrected, strict=True)
    ]
    return sorted(judged, key=lambda s: (not s.has_moved, -_heaviness(s), s.p, s.column, s.aspect))


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjusted p-values (Holm 1979)."""
    values = np.asarray(p, float)
    order = np.argsort(values, kind="stable")
    adjusted = np.maximum.accumulate(np.minimum(1, values[order] * np.arange(len(values), 0, -1)))
    result = np.empty_like(values)
    result[order] = adjusted
    return result


def number_shift(reference: np.ndarray, current: np.ndarray) -> tuple[float, float]:
    """Kolmogorov-Smirnov distance of two samples without missing values, and its asymptotic p-value."""
    if not len(reference) or not len(current):
        return 0.0, 1.0
    result = stats.ks_2samp(reference, current, method="asymp")
    return float(result.statistic), float(result.pvalue)


def category_shift(reference: np.ndarray, current: np.ndarray) -> tuple[float, float]:
    """Total variation distance of two samples of categories, and the p-value of homogeneity.

    Categories expected fewer than five times on a side are pooled.
    """
    if not len(reference) or not len(current):
        return 0.0, 1.0
    counts = pd.DataFrame({"r": pd.Series(reference).value_counts(), "c": pd.Series(current).value_counts()})
    table = counts.fillna(0).to_numpy(float)
    distance = _variation(table)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    rare = (expected < _LEAST_EXPECTED).any(axis=1)
    pooled = np.vstack([table[~rare], table[rare].sum(axis=0)]) if rare.any() else table
    pooled = pooled[pooled.sum(axis=1) > 0]
    if len(pooled) < 2:
        return distance, 1.0
    return distance, float(stats.chi2_contingency(pooled, correction=False).pvalue)


def _variation(table: np.ndarray) -> float:
    return float(np.abs(table[:, 0] / table[:, 0].sum() - table[:, 1] / table[:, 1].sum()).sum() / 2)


def is_category(column: pd.Series) -> bool:
    """Whether a feature column holds categories (else numbers)."""
    return not pd.api.types.is_numeric_dtype(column)


@dataclass(frozen=True)
class _Halves:
    """The reference's earlier and later half, and how much further away the current rows lie."""

    early: pd.DataFrame
    late: pd.DataFrame
    stretch: float


def _halves(windows: Windows) -> _Halves | None:
    """None where the reference is undated or too small to show a trend."""
    reference, moments = windows.reference, windows.reference["as_of"]
    if moments.isna().any() or windows.current["as_of"].isna().any() or len(reference) < 2 * LEAST_ACCOUNTS:
        return None
    is_early = moments <= moments.median()
    early, late = reference[is_early], reference[~is_early]
    if min(len(early), len(late)) < LEAST_ACCOUNTS:
        return None
    apart = late["as_of"].mean() - early["as_of"].mean()
    away = windows.current["as_of"].mean() - moments.mean()
    return _Halves(early, late, float(np.clip(away / apart, 1.0, _MOST_TREND)))


def _of_column(windows: Windows, column: str, halves: _Halves | None, seen: set | None) -> list[Shift]:
    before = windows.reference[column]
    now = windows.current[column] if column in windows.current else pd.Series(np.nan, windows.current.index)
    found = []
    if min(before.notna().sum(), now.notna().sum()) >= LEAST_ACCOUNTS:
        found.append(_values(column, before.dropna(), now.dropna(), halves))
    found.append(_missing(column, before, now, halves))
    if is_category(before):
        found.append(_new_category(column, before, now, seen))
    return found


def _values(column: str, before: pd.Series, now: pd.Series, halves: _Halves | None) -> Shift:
    measure = _category_measure if is_category(before) else _number_measure
    effect, p = measure(before, now)
    least = LEAST_EFFECT["values"]
    if halves is not None:
        parts = halves.early[column].dropna(), halves.late[column].dropna()
        least = max(least, _trend(*measure(*parts), halves.stretch)) if min(map(len, parts)) else least
    return Shift(column, "values", effect, least, p, _moved_words(before, now))


def _number_measure(before: pd.Series, now: pd.Series) -> tuple[float, float]:
    return number_shift(before.to_numpy(float), now.to_numpy(float))


def _category_measure(before: pd.Series, now: pd.Series) -> tuple[float, float]:
    return category_shift(before.astype(str).to_numpy(), now.astype(str).to_numpy())


def _trend(effect: float, p: float, stretch: float) -> float:
    """What a trend already there in the reference leads one to expect by now."""
    return min(1.0, _TREND_SLACK * stretch * effect) if p < _TREND_P else 0.0


def _missing(column: str, before: pd.Series, now: pd.Series, halves: _Halves | None) -> Shift:
    effect, p = _share_shift(before.isna(), now.isna())
    least = LEAST_EFFECT["missing"]
    if halves is not None:
        trend = _share_shift(halves.early[column].isna(), halves.late[column].isna())
        least = max(least, _trend(*trend, halves.stretch))
    words = f"missing in {now.isna().mean():.0%} of rows, was {before.isna().mean():.0%}"
    return Shift(column, "missing", effect, min(least, 0.95), p, words)


def _share_shift(before: pd.Series, now: pd.Series) -> tuple[float, float]:
    table = [[before.sum(), (~before).sum()], [now.sum(), (~now).sum()]]
    return abs(float(now.mean() - before.mean())), float(stats.fisher_exact(table).pvalue)


def _new_category(column: str, before: pd.Series, now: pd.Series, seen: set | None) -> Shift:
    known = set(before.dropna().astype(str)) | {str(value) for value in seen or ()}
    present = now.dropna().astype(str)
    fresh = present[~present.isin(known)]
    table = [[0, len(before)], [len(fresh), len(now) - len(fresh)]]
    p = float(stats.fisher_exact(table, alternative="less").pvalue)
    common = ", ".join(fresh.value_counts().index[:3])
    words = f"never seen before: {common} ({len(fresh)} of {len(now)} rows)" if len(fresh) else "none new"
    share = len(fresh) / len(now) if len(now) else 0.0
    return Shift(column, "new category", share, LEAST_EFFECT["new category"], p, words)


def _moved_words(before: pd.Series, now: pd.Series) -> str:
    if not is_category(before):
        middle = f"median {now.median():.4g}, was {before.median():.4g}"
        return f"{middle}; mean {now.mean():.4g}, was {before.mean():.4g}"
    shares = pd.DataFrame(
        {
            "now": now.astype(str).value_counts(normalize=True),
            "was": before.astype(str).value_counts(normalize=True),
        }
    ).fillna(0)
    most = int((shares["now"] - shares["was"]).abs().to_numpy().argmax())
    return (
        f"{shares.index[most]} in {shares['now'].iloc[most]:.0%} of rows, was {shares['was'].iloc[most]:.0%}"
    )


def _heaviness(shift: Shift) -> float:
    """Drift × what the column carries of the score; unknown weights count fully."""
    return shift.effect * (1.0 if np.isnan(shift.weight) else shift.weight)
