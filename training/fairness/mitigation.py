"""Mending unequal treatment by means that may be used: weights, a constraint, fewer columns.

All three act while the model learns. A customer's score never asks for the segment: other thresholds or
scores for other segments would treat people differently for what they are, and are not offered.

Row weights by segment and outcome, for training alone: the probabilities themselves never ask for a segment.

The primary metric of each segment and of the rest, under any number of resamplings of accounts.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from training.boosting import threads_for
from training.candidates import fit_recipe
from training.dataset import Dataset
from training.fairness.group_metrics import METRICS
from training.fairness.parity import DECLARED, MIN_SIZE, segment_shares, threshold
from training.fairness.proxies import giving_away, proxies
from training.metrics import log_loss
from training.model import BAND_SHARES
from training.select import tuning_folds
from training.selection_figures import Selection

PASSES = 5
SMALLEST, LARGEST = 0.2, 5.0
LEAST_ROWS = 10


@dataclass(frozen=True)
class Reweighing:
    """Weights under which every attribute is independent of the outcome (Kamiran and Calders 2012).

    A row of segment s and outcome y weighs P(s)·P(y) / P(s, y), worked out on whatever rows are learned from.
    Several attributes are taken in turn until all are independent (iterative proportional fitting); a row
    that belongs to a segment by an area's share gets the mixture of the weights.

    Attributes:
        segments: `account_id`, `attribute`, `value` and perhaps `share`.
    """

    segments: pd.DataFrame = field(repr=False)

    @property
    def name(self) -> str:
        """Equal for equal weights."""
        return f"reweighing-{_digest(self.segments)}"

    def __call__(self, account_id: pd.Series, y: np.ndarray) -> np.ndarray:
        """(n,) weights of mean 1 for rows of these accounts and outcomes 0/1."""
        every = segment_shares(account_id, self.segments)
        weight = np.ones(len(y))
        for _ in range(PASSES if len(every) > 1 else 1):
            for shares in every.values():
                weight *= _independent(weight, shares, y)
        return weight / weight.mean() if len(weight) else weight


def _independent(weight: np.ndarray, shares: dict[str, np.ndarray], y: np.ndarray) -> np.ndarray:
    """(n,) factors that make one attribute independent of the outcome."""
    coverage = np.minimum(sum(shares.values()), 1.0)
    total = (weight * coverage).sum()
    factor = 1.0 - coverage
    for share in shares.values():
        inside = weight * share
        of_outcome = np.array([(weight * coverage)[y == outcome].sum() for outcome in (0, 1)])
        met = np.array([inside[y == outcome].sum() for outcome in (0, 1)])
        enough = np.array([share[y == outcome].sum() >= LEAST_ROWS for outcome in (0, 1)])
        wanted = np.where(enough, inside.sum() * of_outcome / np.where(met > 0, met * total, np.inf), 1.0)
        factor = factor + share * np.clip(wanted, SMALLEST, LARGEST)[y.astype(int)]
    return factor


@dataclass(frozen=True)
class Lift:
    """More weight on one outcome's rows of some segments, less on others' (FairBatch, Roh et al. 2021).

    What each outcome weighs in all stays as it is, and so does the mean of the probability.

    Attributes:
        segments: as for `Reweighing`.
        by: (attribute, value) → factor.
        outcome: the label of the rows it applies to.
    """

    segments: pd.DataFrame = field(repr=False)
    by: dict[tuple[str, str], float]
    outcome: int

    @property
    def name(self) -> str:
        """Equal for equal weights."""
        factors = ",".join(f"{a}={v}:{factor:.4f}" for (a, v), factor in sorted(self.by.items()))
        return f"lift-{self.outcome}-{factors}-{_digest(self.segments)}"

    def __call__(self, account_id: pd.Series, y: np.ndarray) -> np.ndarray:
        """(n,) weights of mean 1 for rows of these accounts and outcomes 0/1."""
        log = np.zeros(len(y))
        for attribute, shares in segment_shares(account_id, self.segments).items():
            for value, share in shares.items():
                log += share * np.log(self.by.get((attribute, value), 1.0))
        weight = np.ones(len(y))
        here = y == self.outcome
        weight[here] = np.exp(log[here]) / np.exp(log[here]).mean() if here.any() else 1.0
        return weight


def _digest(segments: pd.DataFrame) -> str:
    hashed = pd.util.hash_pandas_object(segments.astype("string"), index=False).to_numpy()
    return hashlib.sha256(np.sort(hashed).tobytes()).hexdigest()[:12]


def cut_share(kind: str) -> float:
    """The share of rows under the threshold at which rows are selected."""
    return BAND_SHARES[0 if DECLARED[kind].selected_below else 1]


@dataclass(frozen=True)
class Sums:
    """For each account and segment, what its rate is made of: rows selected and rows, inside and beside it.

    Attributes:
        keys: (attribute, value) of the segments that are large enough, inside and beside.
        accounts: how many.
        hit, met, rest_hit, rest_met: (accounts, segments).
    """

    keys: list[tuple[str, str]]
    accounts: int
    hit: np.ndarray
    met: np.ndarray
    rest_hit: np.ndarray
    rest_met: np.ndarray

    @staticmethod
    def of(ds: Dataset, p: np.ndarray, threshold: float, segments: pd.DataFrame) -> "Sums":
        """The sums of rows with probabilities p (n,), selected at a threshold."""
        declared = DECLARED[ds.kind]
        base = METRICS[declared.primary].base
        positive = ds.y == declared.positive_label
        counted = {"all": np.ones(len(p), bool), "positive": positive, "negative": ~positive}[base]
        selected = (p < threshold if declared.selected_below else p >= threshold) & counted
        account = np.unique(ds.groups, return_inverse=True)[1]
        n = int(account.max()) + 1
        keys: list[tuple[str, str]] = []
        columns: list[list[np.ndarray]] = []
        for attribute, shares in segment_shares(ds.snapshots["account_id"], segments).items():
            coverage = np.minimum(sum(shares.values()), 1.0)
            for value, share in shares.items():
                rest = coverage - np.minimum(share, coverage)
                if min(_subjects(ds, share * counted), _subjects(ds, rest * counted)) < MIN_SIZE:
                    continue
                keys.append((attribute, value))
                columns.append(
                    [np.bincount(account, w * of, n) for w in (share, rest) for of in (selected, counted)]
                )
        stacked = np.array(columns).reshape(len(keys), 4, n).transpose(1, 2, 0)
        return Sums(keys, n, *stacked)

    def rates(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rates inside and beside, (draws, segments), under how often each account is counted (draws, n)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return counts @ self.hit / (counts @ self.met), counts @ self.rest_hit / (counts @ self.rest_met)


def _subjects(ds: Dataset, weight: np.ndarray) -> float:
    """How many contracts or deals stand behind a weight, each by its largest share."""
    held = pd.Series(weight).groupby(ds.subjects).max()
    return float(held.sum())


ROUNDS, STEP = 8, 2.0
BASE_RATE = "base rate"

Choose = Callable[[Dataset], Selection]


@dataclass(frozen=True)
class Mended:
    """What a mitigation came to: the dataset as it was learned from, the selection, and what was done."""

    name: str
    ds: Dataset
    selection: Selection
    what: str


@dataclass(frozen=True)
class Case:
    """A model as it would be trained, and who its customers are.

    Attributes:
        ds: the rows, barred columns left out.
        segments: the CRM's table.
        selection: of the unmended model.
        choose: selects a model of a dataset, the same way each time.
    """

    ds: Dataset
    segments: pd.DataFrame
    selection: Selection
    choose: Choose

    @property
    def threshold(self) -> float:
        """Where rows are selected."""
        return threshold(self.selection.model)


def mend(name: str, case: Case, settings: Settings, say: Say = silent) -> Mended:
    """Select the model again under a mitigation.

    Args:
        name: of `MITIGATIONS`.
        case: the model as it is.
        settings: seed and threads.
        say: called with each line of progress.

    Raises:
        RenewalError: no such mitigation, no segments, or nothing that it could do.
    """
    if name not in MITIGATIONS:
        raise RenewalError(
            expected=f"a mitigation of {', '.join(MITIGATIONS)}", found=repr(name), do="Name one of these."
        )
    if case.segments.empty:
        raise RenewalError(
            expected="a table segments, which says who is to be treated alike",
            found="none",
            do="Add segments to the CRM data, or train without --mitigate.",
        )
    ds, what = MITIGATIONS[name](case, settings, say)
    say(f"{name}: {what}")
    return Mended(name, ds, case.selection if ds is case.ds else case.choose(ds), what)


def _reweighed(case: Case, settings: Settings, say: Say) -> tuple[Dataset, str]:
    attributes = ", ".join(sorted(set(map(str, case.segments["attribute"]))))
    return case.ds.weighed(Reweighing(case.segments)), f"weights make the outcome independent of {attributes}"


def _without_proxies(case: Case, settings: Settings, say: Say) -> tuple[Dataset, str]:
    """Leave out what gives a segment away by itself, asked of the rows learned from."""
    ds, at = case.ds, _earlier(case)
    X, snapshots = ds.X.iloc[at], ds.snapshots.iloc[at]
    columns = giving_away(proxies(X, snapshots, case.segments, seed=settings.seed, singly=True))
    if not columns or len(columns) == ds.X.shape[1]:
        raise RenewalError(
            expected="some columns that give a segment away, and others that do not",
            found="all of them" if columns else "none that surely does",
            do="Choose another mitigation.",
        )
    return ds.without(columns), f"left out {', '.join(columns)}"


def _constrained(case: Case, settings: Settings, say: Say) -> tuple[Dataset, str]:
    """The least weights under which held-out rows keep every segment within the limit of the primary metric.

    Each round puts more weight on the rows that a segment's rate is a rate of where it falls short of the
    rest, and judges the recipe on folds of the rows learned from; a round that goes too far is tried again at
    half the step. Where none keeps the limit, the nearest to it is taken.
    """
    if case.selection.recipe.served == BASE_RATE:
        raise RenewalError(
            expected="a model that ranks customers",
            found="the base rate",
            do="There is nothing to mend.",
        )
    held = _Held.of(case, settings)
    best, step = held.look({}), STEP
    for number in range(1, ROUNDS + 1):
        if best.ratio >= held.limit:
            break
        say(f"constraint, round {number}: log loss {best.loss:.4f}, least ratio {best.ratio:.2f}")
        following = held.look(best.next_factors(step))
        best, step = (following, step) if following.ratio > best.ratio else (best, step / 2)
    weights = ", ".join(f"{a}={v} ×{f:.2f}" for (a, v), f in sorted(best.factors.items()))
    verdict = "kept" if best.ratio >= held.limit else f"not kept (at best {best.ratio:.2f})"
    what = f"weights {weights or 'as they are'}; a ratio of {held.limit:g} on held-out rows was {verdict}"
    if not best.factors:
        return case.ds, what
    return case.ds.weighed(Lift(case.segments, best.factors, held.outcome)), what


@dataclass(frozen=True)
class _Round:
    """Weights tried, and what the held-out rows said: gap to the rest by segment, least ratio, log loss."""

    factors: dict[tuple[str, str], float]
    gaps: dict[tuple[str, str], float]
    ratio: float
    loss: float

    def next_factors(self, step: float) -> dict[tuple[str, str], float]:
        """More weight where a segment falls short of the rest, less where it is ahead."""
        return {
            key: float(np.clip(self.factors.get(key, 1.0) * np.exp(-step * gap), SMALLEST, LARGEST))
            for key, gap in self.gaps.items()
        }


MITIGATIONS: dict[str, Callable[[Case, Settings, Say], tuple[Dataset, str]]] = {
    "reweighing": _reweighed,
    "constraint": _constrained,
    "drop-proxies": _without_proxies,
}


def _earlier(case: Case) -> np.ndarray:
    """Positions of the rows learned from; all of undated data, which is judged on its folds."""
    split = case.selection.split
    return np.arange(len(case.ds)) if split is None else split.train


def _learned_from(case: Case) -> Dataset:
    """The rows learned from, as known when the first row judged was scored."""
    split = case.selection.split
    if split is None:
        return case.ds
    start = case.ds.snapshots["as_of"].to_numpy("datetime64[us]")[split.test].min()
    return case.ds.take(split.train, start)


@dataclass(frozen=True)
class _Held:
    """Folds of the rows learned from, on which the constraint is looked at."""

    case: Case
    settings: Settings
    ds: Dataset
    folds: list[Any]
    outcome: int
    limit: float

    @staticmethod
    def of(case: Case, settings: Settings) -> "_Held":
        declared = DECLARED[case.ds.kind]
        ds = _learned_from(case)
        folds = [
            replace(fold, test=fold.test[ds.is_known[fold.test]]) for fold in tuning_folds(ds, settings.seed)
        ]
        metric = METRICS[declared.primary]
        outcome = declared.positive_label if metric.base == "positive" else 1 - declared.positive_label
        return _Held(case, settings, ds, folds, outcome, metric.limit)

    def look(self, factors: dict[tuple[str, str], float]) -> _Round:
        """Fit the recipe on the folds under these weights, and judge it."""
        p = self._predicted(self.ds.weighed(Lift(self.case.segments, factors, self.outcome)))
        held_out = self.ds.take(np.concatenate([fold.test for fold in self.folds]))
        sums = Sums.of(held_out, p, float(np.quantile(p, cut_share(held_out.kind))), self.case.segments)
        inside, rest = sums.rates(np.ones(sums.accounts)[None, :])
        ratio = float(np.min(inside / np.maximum(rest, 1e-9))) if sums.keys else 1.0
        gaps = dict(zip(sums.keys, (inside - rest)[0].tolist(), strict=True))
        return _Round(factors, gaps, ratio, log_loss(held_out.y, p))

    def _predicted(self, ds: Dataset) -> np.ndarray:
        parts = []
        recipe, threads = self.case.selection.recipe.at_base(), threads_for(ds.X.size, self.settings.threads)
        for fold in self.folds:
            model = fit_recipe(ds.take(fold.train), recipe, seed=self.settings.seed, threads=threads)
            parts.append(model.probability(ds.X.iloc[fold.test]))
        return np.concatenate(parts)
