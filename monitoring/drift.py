"""Whether columns moved between two windows: tests, effect sizes and one error rate for all of them together.

Numbers are compared by the two-sample Kolmogorov-Smirnov test, categories by the chi-square test of
homogeneity, missing shares and new categories by Fisher's exact test. Holm (1979) holds the chance that
anything unmoved is called moved, over all columns and tests together, at `alpha`. A difference must also be
large enough to care about, and larger than the column moves by itself, as windows of the past show: an
account's age grows every month, a campaign's channel changes with the campaign, and nothing is wrong.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from monitoring.windows import LEAST_ACCOUNTS, Past, Windows
from training.metrics import holm

ALPHA = 0.02
MOST_LEAST = 0.9
"""A column that by its own movement would have a higher limit could never be called moved: not judged."""

LEAST_EFFECT = {"values": 0.12, "missing": 0.1, "new category": 0.01}
"""KS distance or total variation; change of the missing share; share of rows in categories never seen."""

_TREND_P = 0.01
_TREND_SLACK = 1.5
_GONE = 0.01
_LEAST_EXPECTED = 5


@dataclass(frozen=True)
class Shift:
    """One test of one column.

    Attributes:
        column: its name.
        aspect: `values`, `missing` or `new category`.
        effect: how far it moved (see `LEAST_EFFECT`), 0 to 1.
        least: the effect from which on it counts; infinite where the column moves so much by itself that no
            move would be significant.
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
    reference_levels: Mapping[str, set] | None = None,
) -> list[Shift]:
    """Test all columns of two windows together.

    Args:
        windows: comparable rows; a column absent from `current` counts as missing in every row.
        columns: to test, as they are in the reference.
        alpha: chance of any false move.
        importance: column → mean |contribution|, any unit; absent columns count 0.
        reference_levels: categorical column → every category the whole reference holds, not only its sample.

    Returns:
        A row a test, those that moved first, heaviest first.
    """
    tested: list[Shift] = []
    for column in columns:
        levels = None if reference_levels is None else reference_levels.get(column)
        tested += _of_column(windows, column, levels)
    total = sum(importance.values()) if importance else 0.0
    corrected = holm([shift.p for shift in tested])
    judged = [
        Shift(
            **{
                **vars(shift),
                "p_holm": float(p),
                "has_moved": bool(p <= alpha and shift.effect >= shift.least),
                "weight": importance.get(shift.column, 0.0) / total if importance and total else float("nan"),
            }
        )
        for shift, p in zip(tested, corrected, strict=True)
    ]
    return sorted(judged, key=lambda s: (not s.has_moved, -_heaviness(s), s.p, s.column, s.aspect))


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


Measure = Callable[[pd.Series, pd.Series], tuple[float, float]]
"""Two columns → how far apart they are, and the p-value of their being alike."""


def _of_column(windows: Windows, column: str, levels: set | None) -> list[Shift]:
    before = windows.reference[column]
    now = windows.current[column] if column in windows.current else pd.Series(np.nan, windows.current.index)
    column_shifts = []
    if min(before.notna().sum(), now.notna().sum()) >= LEAST_ACCOUNTS:
        measure = _category_measure if is_category(before) else _number_measure
        effect, p = measure(before, now)
        least = _least(windows.pasts, column, "values", measure)
        column_shifts.append(
            Shift(column, "values", effect, least, p, _moved_words(before.dropna(), now.dropna()))
        )
    column_shifts.append(_missing(windows.pasts, column, before, now))
    if is_category(before):
        column_shifts.append(_new_category(windows.pasts, column, before, now, levels))
    return column_shifts


def _least(pasts: Sequence[Past], column: str, aspect: str, measure: Measure) -> float:
    """The effect from which on a move counts: more than the column moves by itself in such a time.

    Infinite where that is more than could ever be reached, so that no verdict on the column is possible.
    """
    least = LEAST_EFFECT[aspect]
    for past in pasts:
        effect, p = measure(past.before[column], past.after[column])
        if p < _TREND_P / len(pasts):
            least = max(least, _TREND_SLACK * past.stretch * effect)
    return least if least <= MOST_LEAST else np.inf


def _number_measure(before: pd.Series, now: pd.Series) -> tuple[float, float]:
    return number_shift(before.dropna().to_numpy(float), now.dropna().to_numpy(float))


def _category_measure(before: pd.Series, now: pd.Series) -> tuple[float, float]:
    return category_shift(before.dropna().astype(str).to_numpy(), now.dropna().astype(str).to_numpy())


def _missing(pasts: Sequence[Past], column: str, before: pd.Series, now: pd.Series) -> Shift:
    effect, p = _missing_measure(before, now)
    is_gone = now.notna().mean() < _GONE
    least = LEAST_EFFECT["missing"] if is_gone else _least(pasts, column, "missing", _missing_measure)
    words = f"missing in {now.isna().mean():.0%} of rows, was {before.isna().mean():.0%}"
    return Shift(column, "missing", effect, least, p, words)


def _missing_measure(before: pd.Series, now: pd.Series) -> tuple[float, float]:
    was, is_ = before.isna(), now.isna()
    table = [[was.sum(), (~was).sum()], [is_.sum(), (~is_).sum()]]
    return abs(float(is_.mean() - was.mean())), float(stats.fisher_exact(table).pvalue)


def _new_category(
    pasts: Sequence[Past], column: str, before: pd.Series, now: pd.Series, levels: set | None
) -> Shift:
    """Open vocabularies (a postal code) bring new categories all the time; that is their trend."""
    known_levels = set(before.dropna().astype(str)) | {str(value) for value in levels or ()}
    effect, p = _novelty(known_levels, len(before), now)
    least = _least(pasts, column, "new category", _novelty_measure)
    present = now.dropna().astype(str)
    fresh = present[~present.isin(known_levels)]
    common = ", ".join(fresh.value_counts().index[:3])
    words = f"never seen before: {common} ({len(fresh)} of {len(now)} rows)" if len(fresh) else "none new"
    return Shift(column, "new category", effect, least, p, words)


def _novelty(known_levels: set[str], rows_before: int, now: pd.Series) -> tuple[float, float]:
    present = now.dropna().astype(str)
    fresh = int((~present.isin(known_levels)).sum())
    table = [[0, rows_before], [fresh, len(now) - fresh]]
    p = float(stats.fisher_exact(table, alternative="less").pvalue)
    return (fresh / len(now) if len(now) else 0.0), p


def _novelty_measure(before: pd.Series, now: pd.Series) -> tuple[float, float]:
    return _novelty(set(before.dropna().astype(str)), len(before), now)


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
