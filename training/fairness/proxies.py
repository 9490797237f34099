"""Proxies: how well what a model reads gives a segment away, all columns together and each by itself.

A model that never sees a segment can still treat it apart through columns that stand for it; credit scores
and postcodes are the classic ones. Asked of one row an account, judged on accounts not learned from.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from training.boosting import DEFAULT, fit_trees
from training.encode import learn_encoding
from training.fairness.group_metrics import interval
from training.leakage_evidence import PRIOR_ROWS, Levels, cut, power, power_of
from training.metrics import to_probability
from training.split import cluster_folds

LIMIT = 0.65
"""AUC from which a segment is given away: two in three pairs (one inside, one outside) are ranked right."""

LEVEL = 0.90
ALERT_LEVEL = 0.95
POWER = 0.80
LEAST_ACCOUNTS = 30
MOST_ACCOUNTS = 5_000
SHOWN_COLUMNS = 5
TOGETHER = "all columns together"
CLASSICS = re.compile(r"credit|postal|post_?code|zip")
_ROUNDS, _FOLDS = 60, 5


@dataclass(frozen=True)
class Strength:
    """How well something predicts a segment: `auc` with its standard error; accuracy where it can be had."""

    column: str
    auc: float
    error: float
    accuracy: float | None = None


def proxies(
    X: pd.DataFrame,
    snapshots: pd.DataFrame,
    segments: pd.DataFrame,
    *,
    seed: int = 0,
    threads: int = 1,
    singly: bool = False,
) -> list[dict[str, Any]]:
    """Ask for each segment whether the columns give it away.

    Args:
        X: (n, k) features, what the model may read.
        snapshots: (n, …) with `account_id` and `as_of`; the newest row of each account is looked at.
        segments: the CRM's table; accounts known by an area's share only are not asked about.
        seed: of folds, boosting, and the sample of 5,000 where there are more accounts.
        threads: cores used.
        singly: ask each column by itself only; all together take most of the time.

    Returns:
        Rows, for each segment first that of all columns together (unless `singly`), then the five strongest
        columns, every other with an alert, and the classics: `segment`, `attribute`, `column`, `n` accounts,
        `base_rate`, `auc`, `low`, `high` (90 %), `accuracy` with `accuracy_low`, `accuracy_high` and
        `majority` (what always saying the larger side would reach), `tested` (comparisons the alert is
        corrected for), `threshold`, `verdict`, `why`. With fewer than 30 accounts inside or outside:
        unknown, no figures.
    """
    rows, account = _newest(snapshots, seed)
    frame = X.iloc[rows].reset_index(drop=True)
    candidates = _asked(account, segments)
    large = [one for one in candidates if one.is_large]
    cuts = {str(name): cut(frame[name]) for name in frame.columns} if large else {}
    results = [_hidden(one) for one in candidates if not one.is_large]
    for one in large:
        inside = one.inside[one.is_known].astype(float)
        if not singly:
            together = _together(frame[one.is_known], inside, seed, threads)
            results.append(_row(one, together, inside, len(large)))
        singles = [_single(name, levels, one.is_known, inside) for name, levels in cuts.items()]
        tested = len(large) * max(len(cuts), 1)
        results += _worth_showing([_row(one, each, inside, tested) for each in singles])
    return results


def giving_away(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The columns that alert by themselves, the strongest first."""
    alerts = [row for row in rows if row["verdict"] == "alert" and row["column"] != TOGETHER]
    return list(dict.fromkeys(row["column"] for row in sorted(alerts, key=lambda row: -row["auc"])))


@dataclass(frozen=True)
class _Asked:
    """A segment: accounts of which the attribute `is_known`, and those of them `inside`; both (accounts,)."""

    attribute: str
    value: str
    is_known: np.ndarray
    inside: np.ndarray
    by_area: bool

    @property
    def segment(self) -> str:
        return f"{self.attribute}={self.value}"

    @property
    def is_large(self) -> bool:
        n = int(self.inside.sum())
        return min(n, int(self.is_known.sum()) - n) >= LEAST_ACCOUNTS


def _newest(snapshots: pd.DataFrame, seed: int) -> tuple[np.ndarray, pd.Series]:
    """Positions of each account's newest row, and the accounts."""
    account = snapshots["account_id"].astype("string").reset_index(drop=True)
    order = np.argsort(snapshots["as_of"].to_numpy("datetime64[us]"), kind="stable")
    newest = account.iloc[order].drop_duplicates(keep="last").dropna()
    if len(newest) > MOST_ACCOUNTS:
        newest = newest.sample(MOST_ACCOUNTS, random_state=seed)
    newest = newest.sort_index()
    return newest.index.to_numpy(), newest.reset_index(drop=True)


def _asked(account: pd.Series, segments: pd.DataFrame) -> list[_Asked]:
    """Every value of every attribute; of an attribute with two values one, as the other mirrors it."""
    rows = segments.assign(account_id=segments["account_id"].astype("string"))
    share = rows["share"].astype(float).fillna(1.0) if "share" in rows else pd.Series(1.0, rows.index)
    rows, by_area = rows[share >= 1], set(rows.loc[share < 1, "attribute"])
    candidates = []
    for attribute in sorted(set(map(str, segments["attribute"].dropna()))):
        of = rows[rows["attribute"] == attribute].drop_duplicates("account_id")
        value = account.map(of.set_index("account_id")["value"].astype("string"))
        counts = value.value_counts()
        names = sorted(counts.index[-1:] if len(counts) == 2 else counts.index)
        is_known = value.notna().to_numpy()
        candidates += [
            _Asked(attribute, str(name), is_known, (value == name).fillna(False).to_numpy(bool), False)
            for name in names
        ]
        if not names:
            nobody = np.zeros(len(account), bool)
            candidates.append(_Asked(attribute, "any", nobody, nobody, attribute in by_area))
    return candidates


def _together(X: pd.DataFrame, inside: np.ndarray, seed: int, threads: int) -> Strength:
    """Boosted trees on all columns, probability of accounts not learned from."""
    encoding = learn_encoding(X)
    E = encoding.encode(X)
    categories = [cut(X[name]).codes for name in X.columns if X[name].dtype == "category"]
    types = [*encoding.types, *["q"] * len(categories)]
    fold = cluster_folds(np.arange(len(inside)), _FOLDS, seed=0)
    p = np.empty(len(inside))
    for at in range(_FOLDS):
        learn, judge = fold != at, fold == at
        rates = [_level_rates(codes, inside, np.where(judge, -1, fold)) for codes in categories]
        every = np.column_stack([E, *rates])
        trees = fit_trees(
            every[learn],
            inside[learn],
            np.ones(learn.sum()),
            types,
            [0] * len(types),
            DEFAULT,
            _ROUNDS,
            seed=seed,
            threads=threads,
        )
        p[judge] = to_probability(trees.margin(every[judge]))
    strength = power_of(p, inside)
    return Strength(TOGETHER, strength.auc, strength.error, float(((p >= 0.5) == inside).mean()))


def _level_rates(codes: np.ndarray, inside: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """(n,) the share inside of each row's level, learned on other folds; those of fold −1 teach nothing.

    Trees cannot split the many levels of a postcode; as a rate it is one number.
    """
    rates = np.empty(len(codes))
    for at in np.unique(fold):
        learn, judge = (fold != at) & (fold >= 0), fold == at
        rows = np.bincount(codes[learn], minlength=codes.max() + 1)
        hits = np.bincount(codes[learn], inside[learn], codes.max() + 1)
        base = inside[learn].mean()
        rates[judge] = ((hits + PRIOR_ROWS * base) / (rows + PRIOR_ROWS))[codes[judge]]
    return rates


def _single(column: str, levels: Levels, is_known: np.ndarray, inside: np.ndarray) -> Strength:
    here = Levels(levels.codes[is_known], levels.names, levels.exact)
    strength = power(here, inside, np.arange(len(inside)))
    return Strength(column, strength.auc, strength.error)


def _row(one: _Asked, measured: Strength, inside: np.ndarray, tested: int) -> dict[str, Any]:
    n, rate = len(inside), float(inside.mean())
    half = norm.ppf((1 + LEVEL) / 2) * measured.error
    verdict, why = _verdict(measured, tested)
    row = {
        **_named(one, measured.column),
        "n": n,
        "base_rate": rate,
        "auc": measured.auc,
        "low": max(measured.auc - half, 0.0),
        "high": min(measured.auc + half, 1.0),
        "majority": max(rate, 1 - rate),
        "tested": tested,
        "verdict": verdict,
        "why": why,
    }
    if measured.accuracy is not None:
        low, high = interval(measured.accuracy, 0.0, n, True, LEVEL)
        row |= {"accuracy": measured.accuracy, "accuracy_low": low, "accuracy_high": high}
    return row


def _verdict(measured: Strength, tested: int) -> tuple[str, str]:
    """Alert: at the limit or beyond it, and surely better than chance; ok: within it, and it would show."""
    sure = measured.auc - norm.ppf(1 - (1 - ALERT_LEVEL) / tested) * measured.error > 0.5
    noticed = (norm.ppf(ALERT_LEVEL) + norm.ppf(POWER)) * measured.error
    text = f"ranks {measured.auc:.1%} of pairs right (limit {LIMIT:.0%}, chance 50%)"
    if measured.auc >= LIMIT:
        return ("alert", text) if sure else ("unknown", f"{text}, but chance alone could do so")
    if noticed > LIMIT - 0.5:
        return "unknown", f"{text}; with so few accounts only {0.5 + noticed:.0%} would surely be seen"
    return "ok", text


def _named(one: _Asked, column: str) -> dict[str, Any]:
    named = {"name": f"proxy: {column}", "segment": one.segment, "attribute": one.attribute}
    return {**named, "column": column, "threshold": LIMIT, **dict.fromkeys(_FIGURES)}


_FIGURES = (
    "n", "base_rate", "auc", "low", "high", "accuracy", "accuracy_low", "accuracy_high", "majority", "tested",
)  # fmt: skip


def _hidden(one: _Asked) -> dict[str, Any]:
    why = f"fewer than {LEAST_ACCOUNTS} accounts inside or outside: figures are not shown"
    if one.by_area:
        why = "known by an area's share only: whatever reveals the area reveals the share"
    return {**_named(one, TOGETHER), "verdict": "unknown", "why": why}


def _worth_showing(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The strongest columns, all that alert, and the classic proxies."""
    ranked = sorted(rows, key=lambda row: -row["auc"])
    return [
        row
        for at, row in enumerate(ranked)
        if at < SHOWN_COLUMNS or row["verdict"] == "alert" or CLASSICS.search(row["column"].lower())
    ]
