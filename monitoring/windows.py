"""Which rows are compared: one a contract and lead time, one an account, the same lead times on both sides.

Nightly scoring repeats a contract every day and an account has several contracts; compared as they are, such
repeats count as evidence and raise false alarms. What is left here is independent between accounts, so that
ordinary tests keep their level.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

LEADS = {"renewal": (180, 150, 120, 90, 60, 30, 14), "win": (0, 7, 14, 30, 60, 90, 180)}
"""Days before the end of a contract, or since a deal's creation, at which snapshots are taken."""

MAX_ROWS = 5_000
"""A sample of so many rows a side shows any difference worth an alert."""

LEAST_ACCOUNTS = 100
"""Fewer independent accounts on either side: unknown."""

PASTS = 4
_ROWS_IN_PAST = 400
_MOST_STRETCH = 4.0
_FEW_WEEKDAYS = 4
_LEAST_IN_BUCKET = 20
_MONTHS_FOR_SEASONS = 12
_LEAST_IN_SEASON = 500


@dataclass(frozen=True)
class Past:
    """Two windows of the past: how far columns move by themselves.

    `stretch`: how many times further apart than these two the reference and the current rows lie, 1 or more.
    """

    before: pd.DataFrame
    after: pd.DataFrame
    stretch: float


@dataclass(frozen=True)
class Windows:
    """Rows to compare: `reference` and `current`, with equal columns about them and independent accounts."""

    reference: pd.DataFrame
    current: pd.DataFrame
    pasts: tuple[Past, ...] = ()

    @property
    def accounts(self) -> int:
        """Accounts on the smaller side: the sample size of the tests."""
        return min(len(self.reference), len(self.current))


def lead_bucket(lead_days: pd.Series, kind: str) -> np.ndarray:
    """The nearest snapshot day of each lead time; -1 where there is none (undated)."""
    grid = np.array(LEADS[kind], float)
    days = lead_days.to_numpy(float)
    nearest = grid[np.abs(days[:, None] - grid).argmin(axis=1)] if len(days) else np.empty(0)
    return np.where(np.isnan(days), -1, nearest).astype(int)


def one_per_lead(rows: pd.DataFrame, kind: str) -> pd.DataFrame:
    """One row a subject and lead time: the nearest to that day, of those the first. Adds `lead_bucket`."""
    bucket = lead_bucket(rows["lead_days"], kind)
    away = (rows["lead_days"] - bucket).abs().fillna(0)
    key = pd.DataFrame(
        {"subject": rows["subject_id"], "bucket": bucket, "away": away, "as_of": rows["as_of"]}
    )
    place = np.arange(len(rows))
    ranked = key.assign(place=place).sort_values(["away", "as_of", "place"])
    chosen = np.sort(ranked.drop_duplicates(["subject", "bucket"])["place"].to_numpy())
    return pd.concat(
        [rows.iloc[chosen], pd.Series(bucket[chosen], rows.index[chosen], name="lead_bucket")], axis=1
    )


def windows(
    reference: pd.DataFrame, current: pd.DataFrame, kind: str, seed: int, history: pd.DataFrame | None = None
) -> Windows:
    """Make two sets of rows comparable.

    Args:
        reference: rows of the model's own window, with `subject_id`, `account_id`, `as_of`, `lead_days`.
        current: rows logged since, likewise.
        kind: `renewal` or `win`.
        seed: of the sampling.
        history: rows from before the reference, likewise; what moved between them and the reference moves
            by itself. Without them, the reference's own halves are compared.

    Returns:
        At most one row an account and `MAX_ROWS` rows on each side. The reference is taken from seasons of
        the current rows where it spans a year and leaves enough, and has their mix of lead times; current
        rows of a lead time the reference hardly has are left out.
    """
    generator = np.random.default_rng(seed)
    current, reference = one_per_lead(current, kind), one_per_lead(reference, kind)
    reference = _same_season(reference, current)
    counts = reference.groupby("lead_bucket")["account_id"].nunique()
    current = current[current["lead_bucket"].isin(counts.index[counts >= _LEAST_IN_BUCKET])]
    current = _sample(_one_per_account(current, np.ones(len(current)), generator), MAX_ROWS, generator)
    mix = current["lead_bucket"].value_counts(normalize=True)
    reference = _like(reference, mix, generator)
    earlier = None if history is None else one_per_lead(history, kind)
    return Windows(reference, current, _pasts(reference, current, earlier, mix, generator))


def _pasts(
    reference: pd.DataFrame,
    current: pd.DataFrame,
    history: pd.DataFrame | None,
    mix: pd.Series,
    generator: np.random.Generator,
) -> tuple[Past, ...]:
    """Windows of the past against the reference; none where rows are undated or too few."""
    if reference["as_of"].isna().any() or current["as_of"].isna().any() or not len(reference):
        return ()
    away = _days_apart(reference, current)
    if history is None or history.empty:
        is_early = reference["as_of"] <= reference["as_of"].median()
        pairs = [(reference[is_early], reference[~is_early])]
    else:
        whole = history[history["as_of"] < reference["as_of"].min()].sort_values("as_of", kind="stable")
        parts = np.array_split(np.arange(len(whole)), max(1, min(PASTS, len(whole) // _ROWS_IN_PAST)))
        pairs = [(_like(whole.iloc[part], mix, generator), reference) for part in parts]
    pairs += _weekdays(
        reference if history is None else pd.concat([history, reference]), current, mix, generator
    )
    large = [(one, other) for one, other in pairs if min(len(one), len(other)) >= LEAST_ACCOUNTS]
    return tuple(Past(one, other, _stretch(away, one, other)) for one, other in large)


def _weekdays(
    reference: pd.DataFrame, current: pd.DataFrame, mix: pd.Series, generator: np.random.Generator
) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """Where scores were made on a few weekdays only: past rows of other weekdays against those of the same.

    What is logged once a week looks different on a Monday, and snapshots for training fall on all days.
    """
    same = reference["as_of"].dt.weekday.isin(current["as_of"].dt.weekday.unique())
    if current["as_of"].dt.weekday.nunique() > _FEW_WEEKDAYS:
        return []
    return [(_like(reference[~same], mix, generator), _like(reference[same], mix, generator))]


def _stretch(away: float, before: pd.DataFrame, after: pd.DataFrame) -> float:
    apart = _days_apart(before, after)
    return float(np.clip(away / apart, 1.0, _MOST_STRETCH)) if apart > 0 else 1.0


def _days_apart(before: pd.DataFrame, after: pd.DataFrame) -> float:
    origin, day = before["as_of"].min(), pd.Timedelta(days=1)
    return float(((after["as_of"] - origin) / day).mean() - ((before["as_of"] - origin) / day).mean())


def _like(rows: pd.DataFrame, mix: pd.Series, generator: np.random.Generator) -> pd.DataFrame:
    """One row an account, in this mix of lead times."""
    weight = rows["lead_bucket"].map(mix).fillna(0.0).to_numpy()
    return _in_mix(_one_per_account(rows[weight > 0], weight[weight > 0], generator), mix, generator)


def _same_season(reference: pd.DataFrame, current: pd.DataFrame) -> pd.DataFrame:
    months = reference["as_of"].dt.to_period("M").nunique()
    if months < _MONTHS_FOR_SEASONS:
        return reference
    same = reference[reference["as_of"].dt.month.isin(current["as_of"].dt.month.unique())]
    return same if same["account_id"].nunique() >= _LEAST_IN_SEASON else reference


def _one_per_account(rows: pd.DataFrame, weight: np.ndarray, generator: np.random.Generator) -> pd.DataFrame:
    """One row an account, drawn by weight (Efraimidis and Spirakis 2006); no account: each row for itself."""
    account = rows["account_id"].where(rows["account_id"].notna(), rows["subject_id"])
    drawn = generator.random(len(rows)) ** (1 / weight)
    order = np.argsort(-drawn, kind="stable")
    first = ~account.iloc[order].duplicated().to_numpy()
    return rows.iloc[np.sort(order[first])]


def _in_mix(rows: pd.DataFrame, mix: pd.Series, generator: np.random.Generator) -> pd.DataFrame:
    """The most rows that have this mix of lead times."""
    there = rows["lead_bucket"].value_counts()
    if not len(mix) or not set(mix.index) <= set(there.index):
        return rows.iloc[:0]
    size = min(MAX_ROWS, (there[mix.index] / mix).min())
    parts = [
        _sample(rows[rows["lead_bucket"] == bucket], max(1, int(size * share)), generator)
        for bucket, share in mix.items()
    ]
    return pd.concat(parts)


def _sample(rows: pd.DataFrame, size: int, generator: np.random.Generator) -> pd.DataFrame:
    if len(rows) <= size:
        return rows
    return rows.iloc[np.sort(generator.choice(len(rows), size, replace=False))]
