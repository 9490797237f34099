"""Why a row got its probability: exact contributions in log-odds, grouped and worded, that add up to the
probability.

SHAP values of the trees (path-dependent, `training.treeshap`) and the regression's own terms are both
additive in log-odds, so their weighted mean explains the blend exactly. What calibration does to the sum is
the last term.

A feature's value in words that a sales person would use: "no meeting in 94 days", "3 calls in the last 90
days".
"""

import re
from dataclasses import dataclass
from math import isfinite
from typing import Any, TypedDict

import numpy as np

from features.catalog.declare import Info
from training.encode import Rows, category, quantity, rows_of, texts
from training.metrics import to_probability
from training.model import Model, comparison_bin
from training.reason_words import (
    PER_CENT,
    action_of,
    is_reportable,
    normal_of,
    subject_of,
    theme_of,
    trend_in_words,
    windows_of_trend,
)
from training.treeshap import shap_values

VERDICTS = {"renewal": "customers like this renew at", "win": "deals like this are won at"}
_SINCE_LAST = re.compile(r"days since the last (?P<what>.+)")
_COUNTED = re.compile(r"(?!times |levels |different )\w+s\b.*|(changes|earlier) .*")


def worded(info: Info, value: float | str | None) -> str:
    """One feature's value as a phrase.

    Args:
        info: its words and unit.
        value: as in the feature frame; None or NaN where missing.
    """
    since = _SINCE_LAST.fullmatch(info.words)
    if isinstance(value, float) and (trend := trend_in_words(info.words, value, None, None)) is not None:
        return trend if isfinite(value) else f"{info.words}: not known"
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return f"no {since['what']} on record" if since else f"{info.words}: not known"
    if isinstance(value, str):
        return f"{info.words} {value}" if info.words.endswith(" was") else f"{info.words}: {value}"
    if info.unit == "gaps":
        return f"{info.words.partition(',')[0]} for {value:,.1f} times as long as usual"
    if since:
        return f"no {since['what']} in {value:,.0f} days" if value >= 1.5 else f"{since['what']} just now"
    if info.unit == "count" and _COUNTED.fullmatch(info.words):
        return f"no {info.words}" if value == 0 else f"{info.words}: {value:,.0f}"
    if info.unit == "units" and PER_CENT.search(info.words):
        return f"{PER_CENT.sub('', info.words)}: {value:.0f} %"
    return f"{info.words}: {amount(value, info.unit, info.words)}"


def beside_normal(info: Info, value: float | str | None, normal: float | None) -> str:
    """One feature's value as a phrase, beside what is usual for this customer where that differs."""
    words = worded(info, value)
    if normal is None or not isfinite(normal) or not isinstance(value, float):
        return words
    if info.words.startswith("days since"):
        return f"{words} (usually every {normal:,.0f})" if normal >= 1 and normal < value else words
    rate = info.unit == "units" and PER_CENT.search(info.words)
    usual = f"{normal:.0f} %" if rate else amount(round(normal, 1), info.unit, info.words)
    return words if words.endswith(f": {usual}") else f"{words} (usually {usual})"


def amount(value: float, unit: str, words: str = "") -> str:
    """A number with its unit, which is left out where the words have said it."""
    if unit == "yes or no":
        return "yes" if value else "no"
    if unit == "share":
        return f"{100 * value:.0f} %"
    if unit == "per cent":
        return f"{value:.0f} %"
    if unit == "month":
        return str(round(value))
    number = f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:,.2g}"
    says_unit = unit in ("count", "number", "category", "money", "") or unit.rstrip("s") in words
    return number if says_unit else f"{number} {unit}"


def compared(kind: str, rate: float | None) -> str | None:
    """How those alike fared, such as "customers like this renew at 78 %"; None where too few are alike."""
    return None if rate is None else f"{VERDICTS[kind]} {100 * rate:.0f} %"


BASE, OTHER, CALIBRATION = "(base)", "(other)", "(calibration)"
FAINT = 1e-9


@dataclass(frozen=True)
class Contributions:
    """base + Σ values + calibration = log-odds of the probability, for each of n rows.

    Attributes:
        base: the mean of the training rows in log-odds.
        names: the k columns.
        values: (n, k) log-odds each adds.
        calibration: (n,) log-odds that calibration adds.
        log_odds: (n,) calibrated log-odds, bit for bit the model's own.
    """

    base: float
    names: tuple[str, ...]
    values: np.ndarray
    calibration: np.ndarray
    log_odds: np.ndarray

    def total(self) -> np.ndarray:
        """(n,) log-odds."""
        return self.base + self.values.sum(axis=1) + self.calibration


def contributions(model: Model, X: Rows, threads: int = 1) -> Contributions:
    """Exact contributions of every column to every row.

    Args:
        model: as served.
        X: (n, …) feature frame.
        threads: cores used for the trees.
    """
    return _contributions(model, model.encode(X), threads)


def grouped_contributions(model: Model, X: Rows, threads: int = 1) -> tuple[tuple[str, ...], np.ndarray]:
    """The groups of columns reported as one, and (n, groups) what each adds in log-odds."""
    grouping = _Grouping(model)
    return tuple(grouping.groups), grouping.sums(contributions(model, X, threads).values)


class Reason(TypedDict):
    """What raises or lowers the probability of one row's outcome, as stored and returned with scores.

    Attributes:
        feature: the column that leads its theme, or `(other)`, `(base)`, `(calibration)`.
        words: with what is usual for this customer.
        value: as people read it; None where missing.
        log_odds: what the theme adds.
        group: of columns reported as one.
        comparison: how those alike in this fared, or None.
        subject: the theme.
        action: what can be done where it lowers the probability of the outcome, or None.
    """

    feature: str
    words: str
    value: Any
    log_odds: float
    group: str
    comparison: str | None
    subject: str
    action: str | None


def reasons(model: Model, X: Rows, top: int = 5, threads: int = 1) -> list[list[Reason]]:
    """For each of n rows its strongest reasons, then what else adds up to its log-odds.

    The `top` strongest themes come first, those a team can do something about before the others, each
    strongest first; each is described by its leading column. Then `(other)` for all further ones, `(base)`
    for where everybody starts and, last, `(calibration)`: the list's `log_odds` sum to the logit of the
    probability.
    """
    return judged(model, X, top, threads)[1]


def judged(model: Model, X: Rows, top: int = 5, threads: int = 1) -> tuple[np.ndarray, list[list[Reason]]]:
    """Probability (n,) and reasons of each row: `model.probability` and `reasons` at the price of one."""
    E = model.encode(X)
    given = _contributions(model, E, threads)
    return to_probability(given.log_odds), _reasons(model, X, E, given, top)


def drivers(model: Model, X: Rows, money: np.ndarray | None = None, threads: int = 1) -> list[dict[str, Any]]:
    """What pulled a set of rows (the lost ones, say) down or up, most negative first.

    Returns:
        dicts: `group`, `words` (the leading column's), `log_odds` (the rows' mean, weighted by money if
        given), `share_against` (of the rows, or of the money, it speaks against), `is_spoken` (False: what is
        the seller's or gives a segment away, which is no reason for people).
    """
    weight = np.ones(rows_of(X)) if money is None else np.nan_to_num(np.asarray(money, dtype=float))
    if not rows_of(X) or weight.sum() <= 0:
        return []
    given = contributions(model, X, threads)
    grouping = _Grouping(model)
    sums = grouping.sums(given.values)
    mean = (weight @ sums) / weight.sum()
    against = (weight @ (sums < 0)) / weight.sum()
    size = np.abs(given.values).mean(axis=0, keepdims=True)
    lead = grouping.leading(size, grouping.sums(size))[0]
    rows = []
    for at, group in enumerate(grouping.groups):
        info = model.infos.get(model.features[lead[at]])
        rows.append(
            {
                "group": group,
                "words": PER_CENT.sub("", info.words) if info else model.features[lead[at]],
                "log_odds": float(mean[at]),
                "share_against": float(against[at]),
                "is_spoken": bool(grouping.spoken[at]),
            }
        )
    return sorted(rows, key=lambda row: row["log_odds"])


class _Grouping:
    """Which columns are reported as one: those of a group, or of a whole theme."""

    def __init__(self, model: Model, by_theme: bool = False) -> None:
        infos = [model.infos.get(name) for name in model.features]
        group_names = [
            (info.group or name) if info else name for info, name in zip(infos, model.features, strict=True)
        ]
        barred = {group_names[model.features.index(c)] for c in _never_shown(model)}
        self.reportable = np.array([info is None or is_reportable(info) for info in infos], dtype=bool)
        if by_theme:
            group_names = [
                group if group in barred or info is None else theme_of(info)
                for group, info in zip(group_names, infos, strict=True)
            ]
        self.groups = list(dict.fromkeys(group_names))
        number = {group: at for at, group in enumerate(self.groups)}
        place = np.array([number[group] for group in group_names], dtype=int)
        self.order = np.argsort(place, kind="stable")
        self.place = place[self.order]
        self.starts = np.searchsorted(self.place, np.arange(len(self.groups)))
        unreported = set(self.groups) - {
            group for group, reportable in zip(group_names, self.reportable, strict=True) if reportable
        }
        self.spoken = np.array([group not in barred | unreported for group in self.groups], dtype=bool)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(n, groups) what each group adds."""
        if not self.groups:
            return np.zeros((len(values), 0))
        return np.add.reduceat(values[:, self.order], self.starts, axis=1)

    def leading(self, values: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """(n, groups) the column of each group that says most in the direction of the group's sum."""
        if not self.groups:
            return np.zeros(sums.shape, dtype=int)
        signed = values[:, self.order] * np.where(sums < 0, -1.0, 1.0)[:, self.place]
        signed = np.where(self.reportable[self.order], signed, -np.inf)
        most = np.maximum.reduceat(signed, self.starts, axis=1)
        rank = np.where(signed == most[:, self.place], np.arange(len(self.order)), len(self.order))
        return self.order[np.minimum.reduceat(rank, self.starts, axis=1)]


def _never_shown(model: Model) -> list[str]:
    """Columns used by the model but never shown: each alone gives a segment away (`training.given_away`)."""
    return [name for name in model.about.get("unspoken", ()) if name in model.features]


def _contributions(model: Model, E: np.ndarray, threads: int) -> Contributions:
    values, base, margin = np.zeros(E.shape), model.base, np.full(len(E), model.base)
    if model.trees is not None or model.logistic is not None:
        base, margin = 0.0, np.zeros(len(E))
    if model.trees is not None:
        tabled = model.trees.tables
        read = np.ascontiguousarray(E[:, model.trees.columns])
        values[:, model.trees.columns] += model.share * shap_values(tabled, read, threads)
        base += model.share * tabled.base
        margin += model.share * model.trees.margin_of_many(E)
    if model.logistic is not None:
        start, linear = model.logistic.contributions(E)
        values += (1 - model.share) * linear
        base += (1 - model.share) * start
        margin += (1 - model.share) * model.logistic.sum(linear)
    log_odds = model.calibration(margin)
    calibration = log_odds - base - values.sum(axis=1)
    return Contributions(base, model.features, values, calibration, log_odds)


def _reasons(model: Model, X: Rows, E: np.ndarray, given: Contributions, top: int) -> list[list[Reason]]:
    grouping = _Grouping(model, by_theme=True)
    sums = grouping.sums(given.values)
    lead = grouping.leading(given.values, sums)
    agrees = np.take_along_axis(given.values, lead, axis=1) * np.sign(sums) > 0
    shown = np.where(grouping.spoken & agrees, np.abs(sums), 0.0)
    strongest = np.argsort(-shown, axis=1, kind="stable")[:, :top]
    top_sums = np.take_along_axis(sums, strongest, axis=1)
    shows = np.take_along_axis(shown, strongest, axis=1) > FAINT
    in_words = _worded_reasons(
        model, X, E, grouping, np.where(shows, np.take_along_axis(lead, strongest, axis=1), -1), top_sums
    )
    rest = sums.sum(axis=1) - np.where(shows, top_sums, 0.0).sum(axis=1)
    base = _base_reason(model, given.base)
    out = []
    for row, other, calibration in zip(in_words, rest.tolist(), given.calibration.tolist(), strict=True):
        row.sort(key=lambda reason: reason["action"] is None)
        row += [
            _extra(OTHER, "everything else together", other),
            base,
            _extra(CALIBRATION, "correction for how past predictions came true", calibration),
        ]
        out.append(row)
    return out


def _worded_reasons(
    model: Model, X: Rows, E: np.ndarray, grouping: _Grouping, column: np.ndarray, log_odds: np.ndarray
) -> list[list[Reason]]:
    """Each row's reasons in words, strongest first, worded a column at a time.

    Args:
        model: as served.
        X: (n, …) feature rows; E: (n, k) encoded.
        grouping: of the columns.
        column: (n, top) the columns shown, -1 for none.
        log_odds: (n, top) what their groups add.
    """
    top = column.shape[1]
    flat, size = column.ravel(), log_odds.ravel().tolist()
    order = np.argsort(flat, kind="stable")
    cuts = np.flatnonzero(np.diff(flat[order])) + 1
    worded_reasons: list[Reason | None] = [None] * len(flat)
    for places in np.split(order, cuts):
        if not len(places) or flat[places[0]] < 0:
            continue
        at, rows = int(flat[places[0]]), places // top
        name = model.features[at]
        info = model.infos.get(name)
        group = (info.group or name) if info else name
        values = _values(X, name, model, rows)
        words = _in_words(X, name, info, values, rows)
        alike = _compared(model, name, E[rows, at])
        subject, action = (subject_of(info), action_of(info)) if info else (name, None)
        for place, value, phrase, comparison in zip(places.tolist(), values, words, alike, strict=True):
            worded_reasons[place] = {
                "feature": name,
                "words": phrase,
                "value": value,
                "log_odds": size[place],
                "group": group,
                "comparison": comparison,
                "subject": subject,
                "action": action if size[place] < 0 else None,
            }
    return [
        [each for each in worded_reasons[at : at + top] if each]
        for at in range(0, len(worded_reasons), top or 1)
    ] or [[] for _ in column]


def _in_words(X: Rows, name: str, info: Info | None, values: list[Any], rows: np.ndarray) -> list[str]:
    """The column's values in some rows as phrases, beside what is usual for each customer."""
    if info is None:
        return [f"{name}: {value}" for value in values]

    def others(other: str) -> np.ndarray | None:
        return quantity(X, other)[rows] if other in X else None

    if (windows := windows_of_trend(info, others)) is not None:
        recent, before = (each.tolist() for each in windows)
        return [
            (None if value is None else trend_in_words(info.words, value, now, then)) or worded(info, value)
            for value, now, then in zip(values, recent, before, strict=True)
        ]
    normal = normal_of(info, others) if values and not isinstance(values[0], str) else None
    if normal is None:
        words = {value: worded(info, value) for value in set(values)}
        return [words[value] for value in values]
    return [beside_normal(info, value, usual) for value, usual in zip(values, normal.tolist(), strict=True)]


def _compared(model: Model, name: str, encoded: np.ndarray) -> list[str | None]:
    comparison = model.comparisons.get(name)
    if comparison is None:
        return [None] * len(encoded)
    places = comparison_bin(encoded, comparison.edges, len(comparison.rates) - 1)
    phrases = [compared(model.kind, rate) for rate in comparison.rates]
    return [phrases[place] for place in places.tolist()]


def _values(X: Rows, name: str, model: Model, rows: np.ndarray) -> list[Any]:
    """The column's values in some rows as people read them, None where missing."""
    if name not in X:
        return [None] * len(rows)
    if model.encoding.is_category(name):
        return texts(category(X, name))[rows].tolist()
    return [value if isfinite(value) else None for value in quantity(X, name)[rows].tolist()]


def _base_reason(model: Model, base: float) -> Reason:
    rate = float(to_probability(np.array([base]))[0])
    what = "contract" if model.kind == "renewal" else "deal"
    return _extra(BASE, f"where a usual {what} starts: {100 * rate:.0f} %", base)


def _extra(feature: str, words: str, log_odds: float) -> Reason:
    return {
        "feature": feature,
        "words": words,
        "value": None,
        "log_odds": log_odds,
        "group": feature,
        "comparison": None,
        "subject": "",
        "action": None,
    }
