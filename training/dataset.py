"""A training set: matured, labelled snapshots with their features, and which rows belong together."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from features.catalog.declare import Info
from features.crm.contract import SUBJECTS
from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from training.close_timing import known_by, open_so_far
from training.looks import repeats

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
        y: (n,) 1.0 renewed or won, 0.0 lost; of deals still open the label they lean to.
        snapshots: (n, …) ids, as_of, lead_days, matured_at, amount; same order and index as X.
        infos: for each column what it is and how it is put in words.
        kind: `renewal` or `win`.
        dated: whether snapshots have dates to split by.
        groups: (n,) account codes; undated: rows that are equal share a code.
        weights: (n,) to learn by, summing to the number of contracts or deals; 0 for looks at which nothing
            had happened (`training.looks`), less for deals that are still open (`training.close_timing`).
        emphasis: weighs rows by segment and outcome, where parity is to be mended; None: all alike.
        alike: (n,) codes of dated contracts alike in every column; None: every contract differs.
        until: when the rows were known; None: rows are known once they have matured.
        horizon_days: of dated win labels.
        ended: (n,) how dated deals ended, NaN where that is not known yet; else empty.
        information: (n,) what each row's label is worth, 1 where it is known; empty: all are.
        repeats: (n,) looks at contracts that say nothing new; None: there are none.
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
    alike: np.ndarray | None = None
    until: np.datetime64 | None = None
    horizon_days: int = 0
    ended: np.ndarray = field(default_factory=lambda: np.empty(0))
    information: np.ndarray = field(default_factory=lambda: np.empty(0))
    repeats: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.y)

    @cached_property
    def subjects(self) -> np.ndarray:
        """(n,) a code for each contract or deal: what figures are counted by."""
        return _codes(self.snapshots["subject_id"])

    @cached_property
    def plain_weights(self) -> np.ndarray:
        """(n,) the weights without an emphasis, by which spread and level are judged."""
        return row_weights(self.snapshots["subject_id"]) * self.worth

    @property
    def worth(self) -> np.ndarray:
        """(n,) the information, whether any is given or not."""
        return self.information if len(self.information) else np.ones(len(self))

    @property
    def known_at(self) -> np.ndarray:
        """(n,) when each row's label was known."""
        column = "known_at" if "known_at" in self.snapshots else "matured_at"
        return self.snapshots[column].to_numpy("datetime64[us]")

    @property
    def is_known(self) -> np.ndarray:
        """(n,) rows whose outcome is known; the other ones are open deals."""
        return np.ones(len(self), dtype=bool) if self.until is None else known_by(self, self.until)

    def decided(self) -> "Dataset":
        """The rows whose outcome is known, as they are: all that a library can learn from."""
        part = self.take(np.flatnonzero(self.is_known))
        return replace(part, until=None, ended=np.empty(0), information=np.empty(0)).weighed(part.emphasis)

    @property
    def is_settled(self) -> np.ndarray:
        """(n,) rows whose horizon is over, known whichever way they went: what may be judged on."""
        if self.until is None:
            return np.ones(len(self), dtype=bool)
        return self.snapshots["matured_at"].to_numpy("datetime64[us]") <= self.until

    @property
    def together(self) -> np.ndarray:
        """(n,) codes of rows that no random fold may part: those of contracts alike; undated: equal rows."""
        if not self.dated:
            return self.groups
        return self.subjects if self.alike is None else self.alike

    @property
    def base_rate(self) -> float:
        """The share of rows renewed or won, open deals counted for what is known of them."""
        return float(np.average(self.y, weights=self.plain_weights))

    def outcome_counts(self) -> tuple[int, int]:
        """How many distinct contracts or deals ended (well, badly)."""
        y, subjects = self.y[self.is_known], self.subjects[self.is_known]
        return len(np.unique(subjects[y == 1])), len(np.unique(subjects[y == 0]))

    def take(self, rows: np.ndarray, until: np.datetime64 | None = None) -> "Dataset":
        """The dataset of these row positions, as known at `until` (None: as before), weights its own."""
        part = replace(
            self,
            X=self.X.iloc[rows],
            y=self.y[rows],
            snapshots=self.snapshots.iloc[rows],
            groups=self.groups[rows],
            alike=None if self.alike is None else self.alike[rows],
            repeats=None if self.repeats is None else self.repeats[rows],
            ended=self.ended[rows] if len(self.ended) else self.ended,
            information=self.information[rows] if len(self.information) else self.information,
        )
        if until is not None and self.until is not None:
            part = part.as_known_at(until)
        return part.weighed(self.emphasis)

    def as_known_at(self, until: np.datetime64) -> "Dataset":
        """Deals with the labels, and what these are worth, that were known at `until`."""
        y, information = open_so_far(self, until)
        return replace(self, until=until, y=y, information=information)

    def weighed(self, emphasis: Emphasis | None) -> "Dataset":
        """The dataset with an emphasis, its weights worked out from its own rows."""
        weights = self.plain_weights
        if self.repeats is not None and not self.repeats.all():
            counts = np.where(self.repeats, 0.0, weights)
            weights = counts * (weights.sum() / counts.sum())
        if emphasis is not None:
            weights = weights * emphasis(self.snapshots["account_id"], self.y)
        return replace(self, weights=weights, emphasis=emphasis)

    def without(self, columns: Iterable[str]) -> "Dataset":
        """The dataset less these columns; of undated data, rows that are now equal belong together."""
        barred = set(columns)
        X = self.X[[name for name in self.X.columns if name not in barred]]
        infos = {name: info for name, info in self.infos.items() if name not in barred}
        groups = self.groups if self.dated else equal_rows(X)
        part = replace(self, X=X, infos=infos, groups=groups)
        return part.with_repeats() if barred else part

    def with_repeats(self) -> "Dataset":
        """The dataset with its repeated looks marked; deals have none, as their chances fade with age."""
        if self.kind != "renewal" or not self.dated:
            return self
        return replace(self, repeats=repeats(self.X, self.snapshots)).weighed(self.emphasis)

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
    aligned = Dataset(X, np.asarray(y, dtype=float), snapshots, infos, kind, dated, groups, weights)
    return aligned.with_repeats()


def build(crm: "Crm", kind: str, settings: Settings, say: Say = silent) -> Dataset:
    """The snapshots of a CRM that may be trained on, with their features.

    Raises:
        RenewalError: the CRM has no such table, or too few decided contracts or deals.
    """
    from features.engine import feature_rows
    from features.snapshots import renewal_snapshots, win_horizon_days

    snapshots = renewal_snapshots(crm) if kind == "renewal" else _deals(crm, settings.min_positives, say)
    dated = bool(snapshots["as_of"].notna().any())
    is_known = snapshots["label"].notna()
    if dated:
        is_known &= snapshots["known_at"] <= crm.until
    say(f"{is_known.sum():,} of {len(snapshots):,} snapshots have a known outcome")
    _require_both(snapshots[is_known], kind, settings.min_positives)
    censored = kind == "win" and dated
    used = snapshots[snapshots["as_of"].notna()] if censored else snapshots[is_known]
    features = feature_rows(crm, used, kind, settings)
    ended = used["label"].where(is_known[used.index]).to_numpy(float)
    rows = dataset(without_forecasts(features.frame), ended, used, dict(features.infos), kind, dated)
    if not censored:
        return rows
    deals = replace(rows, horizon_days=win_horizon_days(crm), ended=ended)
    return deals.as_known_at(np.datetime64(crm.until, "us")).weighed(None)


def without_forecasts(X: pd.DataFrame) -> pd.DataFrame:
    """Features without the owners' own forecasts (`forecast`, `forecast_category`, …).

    The model is compared with them: one that repeats them could not be judged beside them.
    """
    subjects = tuple(f"{table}." for table in SUBJECTS.values())
    names = [str(name) for name in X.columns]
    theirs = [name for name in names if name.startswith(subjects) and "forecast" in name.lower()]
    return X.drop(columns=theirs)


def _deals(crm: "Crm", least: int, say: Say) -> pd.DataFrame:
    """Looks at opportunities, without those that renew a contract: a renewal's likelihood is its contract's.

    They stay where too few others are decided to learn from.
    """
    from features.renewal_opportunities import contracts_of_renewals
    from features.snapshots import win_snapshots

    snapshots = win_snapshots(crm)
    others = snapshots[~snapshots["opportunity_id"].isin(contracts_of_renewals(crm).index)]
    fewest = min(others.loc[others["label"] == y, "subject_id"].nunique() for y in (0, 1))
    left_out = snapshots["subject_id"].nunique() - others["subject_id"].nunique()
    if not left_out or fewest < least:
        return snapshots
    say(f"{left_out:,} opportunities renew a contract and are left to the renewal model")
    return others.reset_index(drop=True)


def renewals_left_out(crm: "Crm", kind: str, ds: Dataset) -> int:
    """How many opportunities a win model does not train on, as they renew a contract."""
    from features.renewal_opportunities import contracts_of_renewals

    if kind != "win":
        return 0
    renewals = contracts_of_renewals(crm).index
    return 0 if ds.snapshots["subject_id"].isin(renewals).any() else len(renewals)


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
    return np.arange(len(X)) if is_by_chance(codes) else codes


def is_by_chance(codes: np.ndarray) -> bool:
    """Whether so few contents differ that equality is coincidence: fewer than 50, or one in ten the same."""
    return bool(len(codes)) and bool(codes.max() + 1 < 50 or np.bincount(codes).max() > len(codes) / 10)


def _codes(values: pd.Series) -> np.ndarray:
    return pd.factorize(values, use_na_sentinel=False)[0]
