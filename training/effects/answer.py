"""Estimates as an answer: rows, the best bucket, and every bucket not distinguishable from it.

Groups an effect is asked for: an attribute of accounts, contracts or opportunities, numbers in bands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from features.crm.crm import Crm
from features.errors import RenewalError
from training.effects.inference import Errors, lead_of_best, margin, pool, set_of_best, simultaneous
from training.effects.targeting import reasons
from training.effects.trial_arrays import Strategies

ALL = "all"
LEAST_CELLS = 2
LEAST_LENDERS = 3
SPREAD = 20
FEW = "can't tell: too few in every group, see all"
Answer = dict[str, Any]


@dataclass(frozen=True)
class Inferred:
    """What is said of one group's m buckets: estimates, ends, who may be the best, why nothing is said.

    `covariance` (m, m) is that of the estimates, NaN where nothing is said; `is_own` is False for buckets of
    which the group itself says nothing, so that other groups lend theirs: none of these is named the best;
    `between` is by how much effects differ between groups (a standard deviation).
    """

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    keep: np.ndarray
    why: list[str | None]
    covariance: np.ndarray
    is_own: np.ndarray
    between: float = 0.0

    @property
    def usable(self) -> np.ndarray:
        """(m,) bool."""
        return np.array([w is None for w in self.why])

    @classmethod
    def nothing(cls, why: list[str | None]) -> "Inferred":
        """No bucket has an estimate."""
        none = np.full(len(why), np.nan)
        keep, unknown = np.ones(len(why), dtype=bool), np.full((len(why), len(why)), np.nan)
        return cls(none, none.copy(), none.copy(), keep, why, unknown, keep.copy())


def answer(
    outcome: str,
    order: Sequence[str],
    strategies: Mapping[str, Strategies],
    unadjusted: Strategies,
    *,
    missing: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Answer:
    """Rows of §11, `best`, `indistinguishable`, `sensitivity`, what `HIDDEN` names, and `notes`, by group.

    A bucket without an estimate stays in the set of those not distinguishable from the best: it
    may be the best. Where no bucket stands out, `best` is None and the set is the whole family.

    Args:
        outcome: `renewal` or `win`.
        order: the buckets as they are to be listed; those not in `strategies` need a reason in `missing`.
        strategies: `all` and group names → estimates.
        unadjusted: the same for everybody with no covariates.
        missing: bucket → why it was not estimated at all.
        seed: of the simultaneous critical values.
    """
    whole = strategies[ALL]
    inferred = {ALL: infer(whole, seed)}
    usable = inferred[ALL].usable
    unseen = margin(whole.estimate, unadjusted.estimate, usable)
    groups = {name: one for name, one in strategies.items() if name != ALL}
    notes: list[str] = []
    if groups:
        inferred |= infer_groups(groups, inferred[ALL].why, notes, seed)
    result: Answer = {
        "rows": [],
        "best": {},
        "indistinguishable": {},
        "sensitivity": lead_of_best(whole.names, whole.estimate, unadjusted.estimate, usable),
        "notes": notes,
        "covariance": {group: _matrix(whole.names, one) for group, one in inferred.items()},
        "between": round(max(one.between for one in inferred.values()), 5),
        "baseline": {name: quantiles(one.baseline) for name, one in strategies.items()},
    }
    for group, one in inferred.items():
        place = {name: b for b, name in enumerate(whole.names)}
        for bucket in order:
            row = {"outcome": outcome, "group": group, "bucket": bucket}
            row |= (
                _row(strategies[group], one, unseen, place[bucket])
                if bucket in place
                else _empty_row((missing or {}).get(bucket))
            )
            result["rows"].append(row)
        result["best"][group] = _best(whole.names, one)
        result["indistinguishable"][group] = [b for b in order if b not in place or one.keep[place[b]]]
    return result


def quantiles(baseline: np.ndarray | None) -> list[float]:
    """The spread of a group's likelihoods in so many equal parts; empty: not known."""
    if baseline is None or not len(baseline):
        return []
    return np.quantile(baseline, (np.arange(SPREAD) + 0.5) / SPREAD).round(4).tolist()


def infer(one: Strategies, seed: int) -> Inferred:
    """Simultaneous intervals and the set of the best for everybody."""
    inferred = Inferred.nothing(reasons(one))
    ok = inferred.usable
    if not ok.any():
        return inferred
    errors = Errors.of(one.influence[:, ok], one.cluster)
    inferred.estimate[ok] = one.estimate[ok]
    inferred.low[ok], inferred.high[ok] = simultaneous(one.estimate[ok], errors, seed)
    inferred.keep[ok] = set_of_best(one.estimate[ok], errors, seed)
    inferred.covariance[np.ix_(ok, ok)] = errors.covariance
    return inferred


def infer_groups(
    groups: Mapping[str, Strategies], why_all: list[str | None], notes: list[str], seed: int
) -> dict[str, Inferred]:
    """Groups with at least two estimable buckets, partially pooled; smaller ones are left open.

    A bucket too few of a group chose takes the pooled curve at the group's level if at least three other
    groups lend theirs, else it is left open, and so is one that the group hardly ever could choose.
    """
    ok = np.array([w is None for w in why_all])
    estimable = {name: np.array([w is None for w in reasons(one)]) & ok for name, one in groups.items()}
    large = [name for name in groups if estimable[name].sum() >= min(LEAST_CELLS, ok.sum()) > 1]
    inferred = {}
    for name, one in groups.items():
        small = f"can't tell: too few here ({len(one.cluster):,}), see all"
        inferred[name] = Inferred.nothing([w or small for w in why_all])
    if not large:
        return inferred
    shared = np.any([estimable[name] for name in large], axis=0)
    why_all = [w or (None if s else FEW) for w, s in zip(why_all, shared, strict=True)]
    ok = ok & shared
    estimate = np.array([np.where(estimable[name], groups[name].estimate, np.nan)[ok] for name in large])
    covariances = [
        Errors.of(
            np.where(estimable[name], groups[name].influence, 0.0)[:, ok], groups[name].cluster
        ).covariance
        for name in large
    ]
    pooled = pool(estimate, covariances)
    notes.append(
        f"groups are pooled; between them effects differ by about {100 * pooled.tau:.1f} points (sd)"
    )
    low, high = (
        ends.reshape(estimate.shape) for ends in simultaneous(pooled.estimate.ravel(), pooled.errors, seed)
    )
    for g, name in enumerate(large):
        lenders = np.sum([estimable[other] for other in large if other != name], axis=0)
        supported = estimable[name] | (lenders >= LEAST_LENDERS)
        one_group = Inferred.nothing(_why_in_group(groups[name], why_all, supported))
        usable, part = one_group.usable, one_group.usable[ok]
        one_group.estimate[usable], one_group.low[usable], one_group.high[usable] = (
            values[g][part] for values in (pooled.estimate, low, high)
        )
        errors = pooled.of_group(g).part(part)
        one_group.keep[usable] = set_of_best(one_group.estimate[usable], errors, seed, len(large))
        one_group.covariance[np.ix_(usable, usable)] = errors.covariance
        inferred[name] = replace(one_group, is_own=estimable[name], between=pooled.tau)
    return inferred


def _why_in_group(one: Strategies, why_all: list[str | None], supported: np.ndarray) -> list[str | None]:
    """Why a bucket has no estimate here: as for all, no overlap, or too few and no group to borrow from."""
    words = []
    for b, (everywhere, here) in enumerate(zip(why_all, reasons(one), strict=True)):
        few = None if supported[b] else f"can't tell: too few here ({one.n[b]:,}), see all"
        words.append(everywhere or (here if here is not None and "hardly" in here else few))
    return words


def _best(names: Sequence[str], one: Inferred) -> str | None:
    ok = one.usable
    candidates = ok & one.is_own & one.keep
    if ok.sum() < 2 or one.keep[ok].all() or not candidates.any():
        return None
    return names[int(np.argmax(np.where(candidates, one.estimate, -np.inf)))]


def _row(one: Strategies, inferred: Inferred, unseen: float, b: int) -> dict[str, Any]:
    ok = bool(inferred.usable[b])
    return {
        "estimate": _number(inferred.estimate[b]) if ok else None,
        "low": _number(inferred.low[b]) if ok else None,
        "high": _number(inferred.high[b]) if ok else None,
        "raw": _number(one.raw[b]),
        "n": int(one.n[b]),
        "overlap_ok": ok,
        "effective_n": round(float(one.effective_n()[b]), 1),
        "margin": _number(unseen) if ok else None,
        "why": inferred.why[b],
    }


def _empty_row(why: str | None) -> dict[str, Any]:
    empty: dict[str, Any] = dict.fromkeys(("estimate", "low", "high", "raw", "margin"))
    return empty | {
        "n": 0,
        "overlap_ok": False,
        "effective_n": 0.0,
        "why": why or "can't tell: nobody did so",
    }


def _matrix(names: Sequence[str], one: Inferred) -> dict[str, Any]:
    """A group's estimated buckets and the covariance of their estimates, for what is derived from them."""
    usable = np.flatnonzero(one.usable)
    return {
        "buckets": [names[int(b)] for b in usable],
        "matrix": one.covariance[np.ix_(usable, usable)].tolist(),
    }


def _number(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None


MOST_GROUPS = 20
BANDS = 4
MOST_EXPLAINED = 0.5
OUTCOMES = ("renewed", "is_won", "decided_at", "closed_at", "lost_reason")
NO_GROUP = ("_id", "_at", "_date", "renewed", "is_won", "lost_reason", "name", "domain")
KEY = {"accounts": "account_id", "contracts": "contract_id", "opportunities": "opportunity_id"}


def groups_by(crm: Crm, by: str | None, rows: pd.DataFrame) -> dict[str, np.ndarray]:
    """Name → (n,) bool over `rows`, largest group first; nothing if `by` is None.

    Args:
        crm: the CRM.
        by: a column name, `industry` or `contracts.product`; looked for in accounts, contracts,
        opportunities.
        rows: with account_id and contract_id or opportunity_id, and label where outcomes are known.

    Raises:
        RenewalError: no such column, or one that is the outcome in other words.
    """
    if by is None:
        return {}
    values = attribute(crm, by, rows)
    if "label" in rows and (explained := _explained_share(values, rows["label"])) > MOST_EXPLAINED:
        raise RenewalError(
            expected="--by to name what was known before the outcome",
            found=f"{by}, which by itself explains {explained:.0%} of the outcome",
            do=f"Choose one of: {_offered(crm, rows)}.",
        )
    counts = values.value_counts()
    return {
        f"{by} {name}" if name == "all" else str(name): (values == name).to_numpy(bool, na_value=False)
        for name in counts.index[:MOST_GROUPS]
    }


def _explained_share(values: pd.Series, label: pd.Series) -> float:
    """The share of the outcome's variance between groups, less what as many groups of chance would have."""
    y = label.to_numpy(float)
    by_group = pd.Series(y).groupby(values.fillna("").to_numpy(object))
    within, total = (
        float(by_group.transform(lambda one: (one - one.mean()) ** 2).sum()),
        float(np.var(y) * len(y)),
    )
    free = len(y) - by_group.ngroups
    if total == 0 or free < 1:
        return 0.0
    return 1 - (within / free) / (total / max(len(y) - 1, 1))


def attribute(crm: Crm, by: str, rows: pd.DataFrame) -> pd.Series:
    """(n,) the attribute of each row as words; numbers in four bands of about equal size."""
    table, column = _place(crm, by, rows)
    key = KEY[table]
    values = crm.frame(table, [key, column]).drop_duplicates(key).set_index(key)[column]
    by_row = rows[key].map(values)
    if pd.api.types.is_datetime64_any_dtype(by_row):
        by_row = by_row.dt.year.astype("Int64")
    is_number = pd.api.types.is_numeric_dtype(by_row) and not pd.api.types.is_bool_dtype(by_row)
    if is_number and by_row.nunique() > 12:
        return pd.qcut(by_row.astype(float), BANDS, duplicates="drop").astype("string")
    return by_row.astype("string")


def _place(crm: Crm, by: str, rows: pd.DataFrame) -> tuple[str, str]:
    tables = [table for table, key in KEY.items() if key in rows and crm.has(table, key)]
    table, _, column = by.rpartition(".")
    for name in [table] if table else tables:
        if name in tables and crm.has(name, column) and column not in (*KEY.values(), *OUTCOMES):
            return name, column
    raise RenewalError(
        expected="--by to name an attribute of accounts, contracts or opportunities",
        found=repr(by),
        do=f"Choose one of: {_offered(crm, rows)}.",
    )


def _offered(crm: Crm, rows: pd.DataFrame) -> str:
    """Attributes to choose from, in words."""
    columns_by_table: Mapping[str, tuple[str, ...]] = crm.tables
    tables = [table for table, key in KEY.items() if key in rows and crm.has(table, key)]
    return ", ".join(
        sorted({c for t in tables for c in columns_by_table[t] if not c.endswith(NO_GROUP)})[:20]
    )
