"""The target trial as arrays: who waits for a contact, what ends the wait, what an estimate looks like.

What the nuisance models of the effect estimates see: few, well scaled columns out of many raw features.

Adjusting for everything a CRM records drowns small samples in noise, adjusting for what predicts the outcome
alone misses confounders. Columns are therefore chosen by double selection (Belloni, Chernozhukov & Hansen
2014): those that help predict the outcome, united with those that help predict the treatment, each found by
forward selection on the pooled rows. The chosen numeric columns get hinges at their terciles, so that a
threshold ("usage fell by half") can be learned by a linear model.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

NONE = "none"


@dataclass(frozen=True)
class Clock:
    """What ended the wait for a contact within one window, arrays of length n.

    Attributes:
        hit: the contact came, before any decision.
        decided: the decision came first.
        exposure: the share of the window passed by then, in [0, 1]; 1 if neither came.
    """

    hit: np.ndarray
    decided: np.ndarray
    exposure: np.ndarray


@dataclass(frozen=True)
class Window:
    """One window, arrays over all n persons; rows of those not at risk are ignored.

    Attributes:
        name: the bucket, e.g. `31-60`.
        X: (n, d) float, what was known at the window's start, NaN for missing.
        at_risk: (n,) bool, not contacted since the trial began, and undecided.
        any_contact: the wait for a human contact of either direction.
        outbound: the wait for one that we made.
    """

    name: str
    X: np.ndarray
    at_risk: np.ndarray
    any_contact: Clock
    outbound: Clock


@dataclass(frozen=True)
class Strategies:
    """Estimates of m strategies for n persons; NaN columns for a strategy that too few followed.

    Attributes:
        names: the buckets; for timing `none` is the last.
        contribution: (n, m) uncentred efficient influence values; means over persons are the estimates.
        weight: (n, m) final weight of those who followed the strategy, 0 for others.
        followed: (n, m) bool, who was seen to follow it plainly (decided early, uncontacted: `none` only).
        poor: (n, m) weights of those who hardly ever follow the strategy; means are shares of the
        cohort.
        y: (n,) outcomes.
        cluster: (n,) account of each person.
        inflation: (m,) by how much standard errors exceed those of the influence values (small samples).
        baseline: (n,) the outcome's probability by what was known at the start, whatever was done then.
    """

    names: tuple[str, ...]
    contribution: np.ndarray
    weight: np.ndarray
    followed: np.ndarray
    poor: np.ndarray
    y: np.ndarray
    cluster: np.ndarray
    inflation: np.ndarray | float = 1.0
    baseline: np.ndarray | None = None

    @property
    def estimate(self) -> np.ndarray:
        """(m,) probability of the outcome had everybody followed the strategy."""
        return np.clip(self.contribution.mean(axis=0), 0.0, 1.0)

    @property
    def influence(self) -> np.ndarray:
        """(n, m) centred influence function values, inflated where the sample is small."""
        return self.inflation * (self.contribution - self.contribution.mean(axis=0))

    @property
    def n(self) -> np.ndarray:
        """(m,) how many were seen to follow each."""
        return self.followed.sum(axis=0)

    @property
    def raw(self) -> np.ndarray:
        """(m,) the plain rate among them; NaN where there are none."""
        return np.where(self.n > 0, self.y @ self.followed / np.maximum(self.n, 1), np.nan)

    def effective_n(self) -> np.ndarray:
        """(m,) Kish's effective sample size of the followers, (Σh)²/Σh²."""
        squared = (self.weight**2).sum(axis=0)
        return np.where(squared > 0, self.weight.sum(axis=0) ** 2 / np.where(squared > 0, squared, 1.0), 0.0)

    def among(self, who: np.ndarray) -> "Strategies":
        """The same for some of the persons, (n,) bool: averages of their contributions."""
        by_person = ("contribution", "weight", "followed", "poor", "y", "cluster")
        baseline = None if self.baseline is None else self.baseline[who]
        return replace(self, baseline=baseline, **{name: getattr(self, name)[who] for name in by_person})


LEAST_LEVEL_SHARE = 0.02
LEAST_MISSING_SHARE = 0.01
CLIP_QUANTILES = (0.01, 0.99)
KNOT_QUANTILES = (1 / 3, 2 / 3)
LEAST_VALUES_FOR_KNOTS = 8
MOST_SCREENED_ROWS = 40_000
MOST_CHOSEN = 40
LEAST_T_SQUARED = 4.0


def encode(frame: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Numbers and categories as one float matrix (n, d) with NaN for missing, and its column names.

    A category becomes one indicator a level; levels under 2 % of the rows stay together as the reference.
    """
    columns: list[np.ndarray] = []
    names: list[str] = []
    for name in frame.columns:
        column = frame[name]
        if isinstance(column.dtype, pd.CategoricalDtype) or not pd.api.types.is_numeric_dtype(column.dtype):
            shares = column.value_counts(normalize=True)
            levels = [level for level, share in shares.items() if share >= LEAST_LEVEL_SHARE]
            for level in sorted(levels, key=str)[:20]:
                columns.append((column == level).to_numpy(dtype=float, na_value=0.0))
                names.append(f"{name} = {level}")
        else:
            columns.append(column.to_numpy(dtype=float, na_value=np.nan))
            names.append(str(name))
    matrix = np.column_stack(columns) if columns else np.empty((len(frame), 0))
    return matrix, names


@dataclass(frozen=True)
class Scaling:
    """How raw columns become finite, comparable ones; fitted once on all pooled rows."""

    low: np.ndarray
    high: np.ndarray
    middle: np.ndarray
    scale: np.ndarray
    flagged: np.ndarray

    @classmethod
    def fit(cls, X: np.ndarray) -> "Scaling":
        """Clip limits, medians and scales of the columns of X (n, d), NaN being missing."""
        d = X.shape[1]
        low, high, middle, scale = np.zeros(d), np.zeros(d), np.zeros(d), np.ones(d)
        missing = np.isnan(X).mean(axis=0) if len(X) else np.zeros(d)
        for j in range(d):
            present = X[np.isfinite(X[:, j]), j]
            if not len(present):
                continue
            low[j] = np.quantile(present, CLIP_QUANTILES[0], method="higher")
            high[j] = np.quantile(present, CLIP_QUANTILES[1], method="lower")
            if low[j] == high[j]:
                low[j], high[j] = present.min(), present.max()
            clipped = np.clip(present, low[j], high[j])
            middle[j], spread = np.median(clipped), clipped.std()
            scale[j] = spread if spread > 1e-12 else 1.0
        return cls(
            low, high, middle, scale, np.flatnonzero((missing >= LEAST_MISSING_SHARE) & (missing < 0.99))
        )

    def apply(self, X: np.ndarray) -> np.ndarray:
        """Clipped, imputed by the median and scaled columns (n, d), then flags of missing values."""
        filled = np.clip(np.where(np.isfinite(X), X, self.middle), self.low, self.high)
        flags = np.isnan(X[:, self.flagged]).astype(float)
        return np.hstack([(filled - self.middle) / self.scale, flags])


def forward_select(gram: np.ndarray, cross: np.ndarray, total: float, n: float, most: int) -> list[int]:
    """Indices of columns chosen one by one by the squared t of the residual, until none reaches 4.

    Args:
        gram: (d, d) cross products of the centred columns.
        cross: (d,) cross products with the centred target.
        total: the target's centred sum of squares.
        n: the number of independent rows behind the sums.
        most: the largest number chosen.
    """
    G, b, rest = gram.copy(), cross.copy(), float(total)
    floor = 1e-3 * np.diag(gram)
    chosen: list[int] = []
    for _ in range(min(most, len(b))):
        spread = np.diag(G)
        usable = spread > np.maximum(floor, 1e-9)
        usable[chosen] = False
        gain = np.where(usable, b**2 / np.where(usable, spread, 1.0), 0.0)
        best = int(np.argmax(gain))
        if rest <= 0 or gain[best] / (rest / n) < LEAST_T_SQUARED:
            break
        chosen.append(best)
        direction = G[:, best] / spread[best]
        rest -= gain[best]
        b = b - direction * b[best]
        G = G - np.outer(direction, G[best])
    return chosen


def choose(Z: np.ndarray, stratum: np.ndarray, targets: list[tuple[np.ndarray, int]]) -> np.ndarray:
    """The columns of Z worth adjusting for, by double selection over `targets`.

    Args:
        Z: (rows, d) scaled columns, several rows a person.
        stratum: (rows,) the window of each row; columns and targets are centred within it.
        targets: outcome and treatments, (rows,) each with the number of independent observations behind it:
            the rows for a hazard, the persons for an outcome that all rows of a person repeat.
    """
    chosen: set[int] = set()
    rows = np.arange(len(Z))[:: len(Z) // MOST_SCREENED_ROWS + 1]
    centred = np.column_stack([Z, *(target for target, _ in targets)])[rows]
    for level in np.unique(stratum[rows]):
        inside = stratum[rows] == level
        centred[inside] -= centred[inside].mean(axis=0)
    gram, d = centred.T @ centred, Z.shape[1]
    for t, (_, independent) in enumerate(targets, start=d):
        count = min(independent, len(rows))
        chosen.update(forward_select(gram[:d, :d], gram[:d, t], gram[t, t], count, MOST_CHOSEN))
    return np.array(sorted(chosen), dtype=int)


def with_hinges(Z: np.ndarray, knots: list[np.ndarray]) -> np.ndarray:
    """Z (n, d) followed by max(z − knot, 0) for every knot of every column."""
    hinges = [np.maximum(Z[:, [j]] - at, 0.0) for j, at in enumerate(knots) if len(at)]
    return np.hstack([Z, *hinges]) if hinges else Z


def knots_of(Z: np.ndarray) -> list[np.ndarray]:
    """The terciles of every column of Z that has enough values to bend at, else no knot."""
    knots = []
    for j in range(Z.shape[1]):
        values = np.unique(Z[:, j])
        bends = KNOT_QUANTILES if len(values) >= LEAST_VALUES_FOR_KNOTS else []
        at: np.ndarray = np.unique(np.quantile(Z[:, j], bends))
        knots.append(np.array([k for k in at if values[0] < k < values[-1]]))
    return knots
