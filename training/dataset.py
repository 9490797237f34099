"""A training set: matured, labelled snapshots with their features, and which rows belong together."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from features.catalog.declare import Info
from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings

if TYPE_CHECKING:
    from features.crm.crm import Crm

OUTCOMES = {"renewal": ("renewed", "lost"), "win": ("won", "lost")}
UNITS = {"renewal": "contracts", "win": "deals"}

Emphasis = Callable[[pd.Series, np.ndarray], np.ndarray]
"""Row weights of mean 1, from accounts (n,) and outcomes (n,); see `training.fairness.mitigation`."""


@dataclass(frozen=True)
class Dataset:
    """n snapshots with known outcome.

    Attributes:
        X: (n, k) features; float64 columns and pandas categories.
        y: (n,) 1.0 renewed or won, 0.0 lost.
        snapshots: (n, …) ids, as_of, lead_days, matured_at, amount; same order and index as X.
        infos: for each column what it is and how it is put in words.
        kind: `renewal` or `win`.
        dated: whether snapshots have dates to split by.
        groups: (n,) account codes; undated: rows that are equal share a code.
        weights: (n,) summing to the number of contracts or deals; the same for every row but for an emphasis.
        emphasis: weighs rows by segment and outcome, where parity is to be mended; None: all alike.
    """

    X: pd.DataFrame
    y: np.ndarray
    snapshots: pd.DataFrame
    infos: dict[str, Info]
    kind: str
    dated: bool
    groups: np.ndarray
    weights: np.ndarray
    emphasis: Emphasis | None = None

    def __len__(self) -> int:
        return len(self.y)

    @cached_property
    def subjects(self) -> np.ndarray:
        """(n,) a code for each contract or deal: what figures are counted by."""
        return _codes(self.snapshots["subject_id"])

    @property
    def together(self) -> np.ndarray:
        """(n,) codes of rows that no random fold may part: a contract's snapshots; undated: equal rows."""
        return self.subjects if self.dated else self.groups

    @property
    def base_rate(self) -> float:
        """The share of rows renewed or won."""
        return float(self.y.mean())

    def outcome_counts(self) -> tuple[int, int]:
        """How many distinct contracts or deals ended (well, badly)."""
        good = len(np.unique(self.subjects[self.y == 1]))
        return good, len(np.unique(self.subjects[self.y == 0]))

    def take(self, rows: np.ndarray) -> "Dataset":
        """The dataset of these row positions, weights counting its own contracts."""
        part = replace(
            self,
            X=self.X.iloc[rows],
            y=self.y[rows],
            snapshots=self.snapshots.iloc[rows],
            groups=self.groups[rows],
        )
        return part.weighed(self.emphasis)

    def weighed(self, emphasis: Emphasis | None) -> "Dataset":
        """The dataset with an emphasis, its weights worked out from its own rows."""
        weights = row_weights(self.snapshots["subject_id"])
        if emphasis is not None:
            weights = weights * emphasis(self.snapshots["account_id"], self.y)
        return replace(self, weights=weights, emphasis=emphasis)

    def without(self, columns: Iterable[str]) -> "Dataset":
        """The dataset less these columns; of undated data, rows that are now equal belong together."""
        barred = set(columns)
        X = self.X[[name for name in self.X.columns if name not in barred]]
        infos = {name: info for name, info in self.infos.items() if name not in barred}
        groups = self.groups if self.dated else equal_rows(X)
        return replace(self, X=X, infos=infos, groups=groups)

    @cached_property
    def fingerprint(self) -> str:
        """A hash of rows, columns and labels: the same data, the same study."""
        digest = hashlib.sha256()
        digest.update("|".join([self.kind, *map(str, self.X.columns)]).encode())
        for frame in (self.X, self.snapshots[["subject_id", "as_of"]], pd.Series(self.y)):
            digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
        if self.emphasis is not None:
            digest.update(self.weights.tobytes())
        return digest.hexdigest()[:16]


def dataset(
    X: pd.DataFrame, y: np.ndarray, snapshots: pd.DataFrame, infos: dict[str, Info], kind: str, dated: bool
) -> Dataset:
    """A dataset of aligned parts, with its groups and weights worked out."""
    X, snapshots = X.reset_index(drop=True), snapshots.reset_index(drop=True)
    groups = _codes(snapshots["account_id"]) if dated else equal_rows(X)
    weights = row_weights(snapshots["subject_id"])
    return Dataset(X, np.asarray(y, dtype=float), snapshots, infos, kind, dated, groups, weights)


def build(crm: "Crm", kind: str, settings: Settings, say: Say = silent) -> Dataset:
    """The snapshots of a CRM that may be trained on, with their features.

    Raises:
        RenewalError: the CRM has no such table, or too few decided contracts or deals.
    """
    from features.engine import feature_rows
    from features.snapshots import renewal_snapshots, win_snapshots

    snapshots = (renewal_snapshots if kind == "renewal" else win_snapshots)(crm)
    dated = bool(snapshots["as_of"].notna().any())
    is_matured = snapshots["label"].notna()
    if dated:
        is_matured &= snapshots["matured_at"] <= crm.until
    matured = snapshots[is_matured]
    say(f"{len(matured):,} of {len(snapshots):,} snapshots have a known, matured outcome")
    _require_both(matured, kind, settings.min_positives)
    features = feature_rows(crm, matured, kind, settings)
    return dataset(
        features.frame, matured["label"].to_numpy(float), matured, dict(features.infos), kind, dated
    )


def _require_both(snapshots: pd.DataFrame, kind: str, least: int) -> None:
    label = snapshots["label"]
    require_outcomes(
        kind,
        snapshots.loc[label == 1, "subject_id"].nunique(),
        snapshots.loc[label == 0, "subject_id"].nunique(),
        least,
    )


def require_outcomes(kind: str, good: int, bad: int, least: int) -> None:
    """Refuse to learn from fewer than `least` contracts or deals of either outcome.

    Raises:
        RenewalError: says how many of which outcome are missing.
    """
    (good_word, bad_word), unit = OUTCOMES[kind], UNITS[kind]
    missing = [f"{least - n} more {word}" for n, word in ((good, good_word), (bad, bad_word)) if n < least]
    if missing:
        raise RenewalError(
            expected=f"at least {least} {good_word} and {least} {bad_word} {unit} with a matured outcome",
            found=f"{good} {good_word} and {bad} {bad_word}",
            do=f"Add history with {' and '.join(missing)} {unit}, or wait until more are decided.",
        )


def row_weights(subject_id: pd.Series) -> np.ndarray:
    """(n,) weights that sum to the number of contracts or deals, the same for every row.

    Snapshots of one contract are not independent, so penalties must be measured against contracts. A weight
    of 1 / own snapshots would do that too, but how many snapshots a contract has depends on how soon it is
    decided,
    which depends on the outcome: it would count early renewals and quick deals too heavily at every lead
        time.
    """
    n = len(subject_id)
    return np.full(n, subject_id.nunique() / n if n else 1.0)


def equal_rows(X: pd.DataFrame) -> np.ndarray:
    """(n,) codes such that equal rows share one.

    Where few columns leave few different rows (fewer than 50, or one in ten the same), equality is
    coincidence and
    folds could not be cut: each row then stands alone.
    """
    hashed = pd.util.hash_pandas_object(X, index=False) if X.shape[1] else pd.Series(np.zeros(len(X)))
    codes = _codes(hashed)
    if len(X) and (codes.max() + 1 < 50 or np.bincount(codes).max() > len(X) / 10):
        return np.arange(len(X))
    return codes


def _codes(values: pd.Series) -> np.ndarray:
    return pd.factorize(values, use_na_sentinel=False)[0]
