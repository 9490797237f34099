"""Learn the parts of the fit score: ridge and logistic regressions over one design, shrunk as folds advise.

Folds keep accounts together. Memberships of the rules found stand beside the attributes, so that a profile
may be worth more than its conditions are one by one; the penalty decides how much.

What the list would have brought: the score learned on earlier deals, judged on later ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import skew
from sklearn.linear_model import LogisticRegression

from training.calibrate import one_line
from training.encode import learn_encoding
from training.icp.fit_score import LEAST_HOURS, PARTS, Fit, Part, as_logs
from training.icp.grades import meaning
from training.icp.prospect_outcomes import Periods, Sample
from training.icp.prospects import Observed
from training.icp.rules import Rule
from training.icp.weights import exponents_of
from training.linear_terms import design, design_terms
from training.metrics import losses, to_logit, to_probability
from training.split import cluster_folds

FOLDS = 5
PENALTIES = np.geomspace(3, 3000, 7)
LEAST_ROWS = 40
SKEWED_FROM = 2.0
MOST_PEERS = 1001


@dataclass(frozen=True)
class Lesson:
    """What one part learns from: rows of the prospects' frame, their accounts and the outcome."""

    row: np.ndarray
    account: np.ndarray
    y: np.ndarray


def learn(
    frame: pd.DataFrame,
    account: np.ndarray,
    deals: pd.DataFrame,
    samples: Sequence[Sample],
    rules: Sequence[Rule],
    *,
    seed: int = 0,
) -> Fit:
    """A fit score from deals and outcomes.

    Args:
        frame: (rows, attributes) the prospects.
        account: (rows,) their account codes.
        deals: decided deals with `row`, `won`, `amount`, `hours`, `discount`.
        samples: the outcomes; of them `discount` and `renews without contact` are used.
        rules: whose membership may count of its own.
        seed: of the folds.
    """
    lessons, notes = _lessons(account, deals, {s.name: s for s in samples})
    logged = tuple(name for name in frame.columns if _is_skewed(frame[name]))
    used = np.unique(np.concatenate([np.empty(0, np.int64), *[one.row for one in lessons.values()]]))
    encoding = learn_encoding(as_logs(frame.iloc[used], logged))
    E = encoding.encode(as_logs(frame, logged))
    terms = design_terms(E[used], encoding.types, True)
    D, shares = _with_rules(design(E, terms), frame, rules, used)
    parts = {}
    for name, link in LINKS.items():
        lesson = lessons.get(name)
        if lesson is None or len(lesson.y) < LEAST_ROWS or np.ptp(lesson.y) == 0:
            parts[name] = _constant(name, link, lesson, D.shape[1])
            notes.append(CONSTANT[name])
        else:
            parts[name] = _learn(link, D[lesson.row], lesson, seed)
    fit = Fit(encoding, logged, terms, tuple(rules), shares, parts, notes=tuple(notes))
    return replace(fit, peers=_peers(fit, frame, account))


LINKS = {"win": "logit", "amount": "log", "discount": "share", "renewal": "share", "effort": "log"}
CONSTANT = {
    "win": "too few deals to estimate win probability: all get the same",
    "amount": "too few amounts: every deal counts alike",
    "discount": "discounts are not known: none is taken off",
    "renewal": "renewal without contact can't be estimated: only the first term counts",
    "effort": "effort is not known: every deal is taken to cost the same",
}
FALLBACK = {"win": 0.5, "amount": 1.0, "discount": 0.0, "renewal": 0.0, "effort": 1.0}


def _lessons(
    account: np.ndarray, deals: pd.DataFrame, samples: dict[str, Sample]
) -> tuple[dict[str, Lesson], list[str]]:
    lessons: dict[str, Lesson] = {}
    notes: list[str] = []
    decided = deals[["row", "won", "amount", "hours", "discount"]]
    lessons["win"] = _lesson(account, decided, decided["won"])
    amounts = decided["amount"].where(decided["amount"] > 0)
    lost = decided["won"] == 0
    if lost.any() and amounts[lost].notna().mean() < 0.5 * amounts[~lost].notna().mean():
        amounts = amounts.where(~lost)
        notes.append("amounts of lost deals are mostly empty: expected amounts come from won deals alone")
    lessons["amount"] = _lesson(account, decided, np.log(amounts))
    lessons["effort"] = _lesson(account, decided, np.log(decided["hours"] + LEAST_HOURS))
    for part, name in (("discount", "discount"), ("renewal", "renews without contact")):
        if name in samples:
            s = samples[name]
            lessons[part] = Lesson(s.row, s.account, s.value)
    return lessons, notes


def _lesson(account: np.ndarray, deals: pd.DataFrame, y: pd.Series) -> Lesson:
    keep = np.isfinite(y.to_numpy(float))
    row = deals["row"].to_numpy(np.int64)[keep]
    return Lesson(row, account[row], y.to_numpy(float)[keep])


def _is_skewed(column: pd.Series) -> bool:
    """Whether a positive quantity is better described by its logarithm."""
    if not pd.api.types.is_numeric_dtype(column):
        return False
    values = column.dropna().to_numpy(float)
    return len(values) > 20 and bool(values.min() >= 0) and float(skew(values)) > SKEWED_FROM


def _with_rules(
    D: np.ndarray, frame: pd.DataFrame, rules: Sequence[Rule], used: np.ndarray
) -> tuple[np.ndarray, tuple[float, ...]]:
    if not rules:
        return D, ()
    inside = np.column_stack([rule.covers(frame) for rule in rules]).astype(float)
    shares = inside[used].mean(axis=0)
    return np.column_stack([D, inside - shares]), tuple(float(share) for share in shares)


def _constant(name: str, link: str, lesson: Lesson | None, columns: int) -> Part:
    value = FALLBACK[name]
    if lesson is not None and len(lesson.y) >= 10 and link != "log":
        value = float(np.clip(lesson.y.mean(), 0.01, 0.99))
    if link == "logit":
        value = float(to_logit(np.array([value]))[0])
    if link == "log":
        value = float(lesson.y.mean()) if lesson is not None and len(lesson.y) >= 10 else float(np.log(value))
    return Part(link, value, np.zeros(columns))


def _learn(link: str, D: np.ndarray, lesson: Lesson, seed: int) -> Part:
    fold = cluster_folds(lesson.account, FOLDS, seed)
    solve = _logistic_path if link == "logit" else _ridge_path
    held_out = np.zeros((len(PENALTIES), len(lesson.y)))
    for mark in np.unique(fold):
        train, test = fold != mark, fold == mark
        intercepts, coefficients = solve(D[train], lesson.y[train])
        held_out[:, test] = intercepts[:, None] + coefficients @ D[test].T
    best = int(np.argmin([_loss(link, lesson.y, linear) for linear in held_out]))
    intercepts, coefficients = solve(D, lesson.y)
    part = Part(link, float(intercepts[best]), coefficients[best])
    if link == "logit":
        return replace(part, calibration=one_line(held_out[best], lesson.y))
    if link == "log":
        return replace(part, scale=float(np.exp(lesson.y).sum() / np.exp(held_out[best]).sum()))
    return part


def _loss(link: str, y: np.ndarray, linear: np.ndarray) -> float:
    if link == "logit":
        return float(losses(y, to_probability(linear)).mean())
    return float(((y - linear) ** 2).mean())


def _ridge_path(D: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Intercepts and coefficients of a ridge regression for each penalty."""
    middle, mean = D.mean(axis=0), y.mean()
    gram, cross = (D - middle).T @ (D - middle), (D - middle).T @ (y - mean)
    coefficients = np.stack([np.linalg.solve(gram + p * np.eye(D.shape[1]), cross) for p in PENALTIES])
    return mean - coefficients @ middle, coefficients


def _logistic_path(D: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same for a logistic regression; its penalty is in units of a deal's information (¼)."""
    intercepts, coefficients = [], []
    for penalty in PENALTIES:
        model = LogisticRegression(C=4 / penalty, solver="newton-cholesky", max_iter=100)
        model.fit(D, y)
        intercepts.append(model.intercept_[0])
        coefficients.append(model.coef_[0])
    return np.array(intercepts), np.stack(coefficients)


def _peers(fit: Fit, frame: pd.DataFrame, account: np.ndarray) -> dict[str, np.ndarray]:
    """The parts of the accounts' own scores, of 1,001 of them where there are more."""
    first = np.unique(account, return_index=True)[1]
    scored = fit.score(frame.iloc[first]).sort_values("value_per_hour", kind="stable")
    scored = scored.rename(columns={"expected_effort_hours": "effort"})
    chosen = np.unique(np.linspace(0, len(scored) - 1, MOST_PEERS).round().astype(int))
    return {name: scored[name].to_numpy()[chosen] for name in PARTS}


SHARE_LISTED = 0.2
LEAST_DEALS, LEAST_WINS = 50, 10


@dataclass(frozen=True)
class Hindsight:
    """The first fifth of later deals as the earlier score would have ranked them; None where too few.

    Attributes:
        conversions_caught: share of the later wins in it.
        value_caught: share of the won amounts in it.
        band_ratio: won money for each hour spent in it over that of the last fifth.
        win_ratio: its win rate over that of the last fifth.
        deals: later deals looked at.
        grades: what each grade has meant on them (`grades.meaning`); empty where too few.
    """

    conversions_caught: float | None = None
    value_caught: float | None = None
    band_ratio: float | None = None
    win_ratio: float | None = None
    deals: int = 0
    grades: tuple[dict[str, Any], ...] = ()


def hindsight(
    observed: Observed, periods: Periods, rules: Sequence[Rule], weights: dict[str, float], *, seed: int = 0
) -> Hindsight:
    """Learn on the deals before the cut only, rank those after it, and see what became of them.

    Args:
        observed: prospects and outcomes.
        periods: its outcomes, cut in two.
        rules: those that were searched on the earlier of the two.
        weights: by outcome, summing to 1.
        seed: of the folds.
    """
    cut = periods.cuts.get("win")
    if cut is None:
        return Hindsight()
    is_later = (observed.deals["created_at"] >= cut).to_numpy(bool)
    early, late = observed.deals[~is_later], observed.deals[is_later]
    if len(late) < LEAST_DEALS or late["won"].sum() < LEAST_WINS or early["won"].sum() < LEAST_WINS:
        return Hindsight(deals=len(late))
    fit = learn(observed.frame, observed.account, early, periods.earlier, rules, seed=seed)
    fit = replace(fit, exponents=exponents_of(weights))
    scored = fit.score(observed.frame.iloc[late["row"].to_numpy(np.int64)])
    by_grade = meaning(scored["fit"].to_numpy(), late, won_money(late))
    return replace(caught(scored["priority"].to_numpy(), late), deals=len(late), grades=tuple(by_grade))


def won_money(deals: pd.DataFrame) -> np.ndarray:
    """(n,) what each decided deal brought after its discount; 0 where it was lost."""
    won, amount = deals["won"].to_numpy(float), deals["amount"].fillna(0).to_numpy(float)
    return won * amount * (1 - deals["discount"].fillna(0).to_numpy(float))


def caught(score: np.ndarray, deals: pd.DataFrame) -> Hindsight:
    """Figures of a ranking of decided deals (`won`, `amount`, `hours`, `discount`) by a score (n,)."""
    order = np.argsort(-score, kind="stable")
    first = order[: max(round(SHARE_LISTED * len(order)), 1)]
    last = order[-len(first) :]
    won, money = deals["won"].to_numpy(float), won_money(deals)
    hours = deals["hours"].fillna(deals["hours"].mean()).fillna(1.0).to_numpy(float)
    hourly = [money[rows].sum() / max(hours[rows].sum(), 1e-9) for rows in (first, last)]
    bottom = won[last].mean()
    return Hindsight(
        conversions_caught=float(won[first].sum() / won.sum()) if won.sum() else None,
        value_caught=float(money[first].sum() / money.sum()) if money.sum() else None,
        band_ratio=float(hourly[0] / hourly[1]) if hourly[1] > 0 else None,
        win_ratio=float(won[first].mean() / bottom) if bottom > 0 else None,
        deals=len(deals),
    )
