"""What one column says about the outcome by itself: the figures the leakage guard judges by.

What the leakage guard looks at beside the dataset: open rows, raw dates and text, and the history.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import beta, fisher_exact, rankdata, spearmanr

from features.columns import BEGINS, KEYS, NEVER, SEEN_FROM
from features.crm.contract import TABLES, Kind
from features.settings import Settings
from training.dataset import Dataset
from training.split import cluster_folds

if TYPE_CHECKING:
    from features.crm.crm import Crm


MISSING = "missing"
BINS = 12
MASS_SHARE = 0.03
MOST_LEVELS = 200
PRIOR_ROWS = 5.0


@dataclass(frozen=True)
class Levels:
    """A column cut into levels: `codes` (n,) int; `exact` is true where a level is one value, not a range."""

    codes: np.ndarray
    names: tuple[str, ...]
    exact: tuple[bool, ...]


@dataclass(frozen=True)
class Power:
    """How well one column alone ranks the outcome, out of fold.

    `auc` with its standard error (Hanley and McNeil 1982); `separation` is the largest true minus false
    positive rate over all cuts (Kolmogorov-Smirnov, Youden's J): 1 − 2·noise for a noisy copy of the label.
    """

    auc: float
    error: float
    separation: float
    separation_error: float


@dataclass(frozen=True)
class Pure:
    """A level met (nearly) only with one outcome: `rows` in it, `odd` of the other outcome, `outcome` 0 or 1.

    `rate_ratio` is the upper 95 % bound of the other outcome's rate in the level over that rate among all
    rows; `covered` the share of the outcome's rows that stand in the level.
    """

    level: str
    outcome: int
    rows: int
    odd: int
    rate_ratio: float
    covered: float


def cut(column: pd.Series) -> Levels:
    """Cut a column into levels: categories, values that many rows share, ranges of the rest, and missing."""
    if column.dtype == "category" or column.dtype == object or pd.api.types.is_string_dtype(column):
        return _cut_category(column)
    return _cut_number(column.to_numpy(dtype=float, na_value=np.nan))


def _cut_category(column: pd.Series) -> Levels:
    text = column.astype("string")
    counts = text.value_counts()
    names = [str(name) for name in counts.index[:MOST_LEVELS]]
    place = {name: i + 1 for i, name in enumerate(names)}
    codes = np.where(text.isna(), 0, text.map(place).fillna(len(names) + 1).to_numpy(dtype=int))
    return Levels(codes, (MISSING, *names, "any other"), (True, *([True] * len(names)), False))


def _cut_number(values: np.ndarray) -> Levels:
    filled = ~np.isnan(values)
    distinct, counts = np.unique(values[filled], return_counts=True)
    few = len(distinct) <= 20
    masses = distinct if few else distinct[counts >= MASS_SHARE * len(values)]
    codes = np.zeros(len(values), dtype=int)
    names, exact = [MISSING], [True]
    for value in masses:
        codes[values == value] = len(names)
        names.append(f"{value:g}")
        exact.append(True)
    rest = filled & ~np.isin(values, masses)
    if rest.any():
        edges = np.unique(np.quantile(values[rest], np.linspace(0, 1, BINS + 1)))
        codes[rest] = len(names) + np.clip(np.searchsorted(edges, values[rest], side="right") - 1, 0, None)
        names += [f"from {edge:g}" for edge in edges]
        exact += [False] * len(edges)
    return Levels(codes, tuple(names), tuple(exact))


def power(levels: Levels, y: np.ndarray, groups: np.ndarray, folds: int = 5) -> Power:
    """Rank rows by the outcome rate of their level, as learned on other groups' rows.

    Args:
        levels: the cut column, (n,).
        y: outcomes 0/1, (n,), both present.
        groups: (n,) codes; rows of a group are never on both sides.
        folds: number of grouped folds.
    """
    fold = cluster_folds(groups, folds, seed=0)
    size = len(levels.names)
    cell = fold * size + levels.codes
    rows = np.bincount(cell, minlength=folds * size).reshape(folds, size)
    good = np.bincount(cell, weights=y, minlength=folds * size).reshape(folds, size)
    rows, good = rows.sum(axis=0) - rows, good.sum(axis=0) - good
    base = good.sum(axis=1) / np.maximum(rows.sum(axis=1), 1)
    score = ((good + PRIOR_ROWS * base[:, None]) / (rows + PRIOR_ROWS))[fold, levels.codes]
    return power_of(score, y)


def power_of(score: np.ndarray, y: np.ndarray) -> Power:
    """How well a score (n,) ranks outcomes (n,), both of which are present."""
    positives, negatives = int(y.sum()), int(len(y) - y.sum())
    area = (rankdata(score)[y == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)
    tpr, fpr = np.cumsum(y[order]) / positives, np.cumsum(1 - y[order]) / negatives
    best = int(np.argmax(np.where(last, tpr - fpr, -1)))
    spread = tpr[best] * (1 - tpr[best]) / positives + fpr[best] * (1 - fpr[best]) / negatives
    return Power(
        auc=float(area),
        error=_auc_error(float(area), positives, negatives),
        separation=float(max(tpr[best] - fpr[best], 0)),
        separation_error=float(np.sqrt(spread)),
    )


def _auc_error(area: float, positives: int, negatives: int) -> float:
    q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (positives - 1) * (q1 - area**2) + (negatives - 1) * (q2 - area**2)
    return float(np.sqrt(max(spread, 0) / (positives * negatives)))


def pure_levels(levels: Levels, y: np.ndarray) -> list[Pure]:
    """Exact levels whose rows nearly all share one outcome, the purest first."""
    pure = []
    for code in np.unique(levels.codes):
        if not levels.exact[code]:
            continue
        inside = y[levels.codes == code]
        outcome = int(inside.mean() >= 0.5)
        odd = int((inside != outcome).sum())
        bound = 1.0 if odd == len(inside) else float(beta.ppf(0.95, odd + 1, len(inside) - odd))
        covered = (len(inside) - odd) / max((y == outcome).sum(), 1)
        level = Pure(levels.names[code], outcome, len(inside), odd, bound / (y != outcome).mean(), covered)
        pure.append(level)
    return sorted(pure, key=lambda level: (level.rate_ratio, -level.rows))


def fill_rates(column: pd.Series, y: np.ndarray) -> tuple[float, float, float]:
    """Share filled among outcome 1 and outcome 0, and Fisher's p that the two are the same."""
    filled = column.notna().to_numpy()
    table = [[int((filled & (y == k)).sum()), int((~filled & (y == k)).sum())] for k in (1, 0)]
    return filled[y == 1].mean(), filled[y == 0].mean(), float(fisher_exact(table)[1])


def open_fill(decided: pd.Series, undecided: pd.Series) -> tuple[float, float, float]:
    """Share filled among decided rows and among rows still open, and Fisher's p that the two are the same."""
    table = [[int(part.notna().sum()), int(part.isna().sum())] for part in (decided, undecided)]
    return decided.notna().mean(), undecided.notna().mean(), float(fisher_exact(table)[1])


def shared_values(decided: pd.Series, undecided: pd.Series) -> float | None:
    """Share of open rows whose category decided rows know too; None where that cannot be asked."""
    if decided.dtype != "category" and not pd.api.types.is_string_dtype(decided):
        return None
    decided_values, open_values = decided.dropna().astype(str), undecided.dropna().astype(str)
    if len(open_values) == 0 or decided_values.nunique() > 50:
        return None
    return float(open_values.isin(set(decided_values)).mean())


@dataclass(frozen=True)
class Common:
    """The value most open rows hold, its share of them and of decided rows, Fisher's p of no difference."""

    value: str
    open_share: float
    decided_share: float
    p: float


def common_open_value(decided: pd.Series, undecided: pd.Series) -> Common | None:
    """What stands on most open rows that are filled, and how common that is once they are decided."""
    open_values, decided_values = undecided.dropna(), decided.dropna()
    if open_values.empty or decided_values.empty:
        return None
    counts = open_values.astype(float if pd.api.types.is_numeric_dtype(decided) else str).value_counts()
    value, held = counts.index[0], int(counts.iloc[0])
    same = int((decided_values.astype(counts.index.dtype) == value).sum())
    p = float(fisher_exact([[held, len(open_values) - held], [same, len(decided_values) - same]])[1])
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return Common(shown, held / len(open_values), same / len(decided_values), p)


def share_of_level(column: pd.Series, level: str, is_number: bool) -> float:
    """Share of rows of a column that stand in a level named as `cut` names exact levels of such a column."""
    if level == MISSING:
        return float(column.isna().mean())
    if is_number:
        values = column.to_numpy(dtype=float, na_value=np.nan)
        return float(np.isclose(values, float(level), rtol=1e-5).mean())
    return float((column.astype("string") == level).fillna(False).mean())


@dataclass(frozen=True)
class Running:
    """How much a column numbers its rows.

    `unique` distinct values / entities, `whole` numbers only, `dense` distinct values / span, `trend` the
    absolute rank correlation with time, `values` how many are distinct.
    """

    unique: float
    whole: bool
    dense: float
    trend: float
    values: int


def running_number(column: pd.Series, entity: np.ndarray, moment: np.ndarray, y: np.ndarray) -> Running:
    """Measure whether a column numbers its rows.

    Args:
        column: (n,) values; the last run of digits is taken from text.
        entity: (n,) the thing the column belongs to (account, contract); each is asked once.
        moment: (n,) float time or row order, NaN where unknown.
        y: outcomes; the trend is also taken inside each outcome, so that an offset cannot hide it.
    """
    numbers = _numbers(column)
    rows = pd.DataFrame({"entity": entity, "number": numbers, "moment": moment, "y": y})
    first = rows.dropna(subset="number").drop_duplicates("entity")
    n = len(first)
    if n < 20:
        return Running(0.0, False, 0.0, 0.0, 0)
    distinct = np.unique(first.number)
    whole = bool((distinct == np.round(distinct)).all())
    span = distinct[-1] - distinct[0] + 1
    parts = [first, first[first.y == 0], first[first.y == 1]]
    trends = [_trend(part) for part in parts if len(part) >= 20]
    inside = trends[1:] or [0.0]
    trend = max(abs(trends[0]), min(map(abs, inside)))
    return Running(len(distinct) / n, whole, float(len(distinct) / span), trend, len(distinct))


def _numbers(column: pd.Series) -> np.ndarray:
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(dtype=float, na_value=np.nan)
    digits = column.astype("string").str.extract(r"(\d+)\D*$")[0]
    return pd.to_numeric(digits, errors="coerce").to_numpy(dtype=float, na_value=np.nan)


def _trend(part: pd.DataFrame) -> float:
    dated = part.dropna(subset="moment")
    if dated.moment.nunique() < 5 or dated.number.nunique() < 5:
        return 0.0
    return float(spearmanr(dated.number, dated.moment).statistic)


def unique_share(column: pd.Series, entity: np.ndarray) -> float:
    """Distinct values over entities that have one: 1 for an identifier."""
    first = pd.DataFrame({"entity": entity, "value": column.to_numpy()}).dropna().drop_duplicates("entity")
    return float(first.value.nunique() / len(first)) if len(first) >= 20 else 0.0


DECIDED = {"renewal": ("contracts", "decided_at"), "win": ("opportunities", "closed_at")}
RAW_KINDS = (Kind.TEXT, Kind.TIME, Kind.DATE)
FEWEST_CHANGES = 20


@dataclass(frozen=True)
class Beside:
    """What a dataset does not hold.

    Attributes:
        open_rows: the same features for rows still undecided, one a contract or deal.
        raw: rows as in the dataset, a column each `table.column` of dates and free text as the CRM holds them
            today, and `decided_at`.
        raw_open: the same for the rows of `open_rows`.
        changes_after: `table.column` → share of its recorded changes that came after the decision, where the
            history speaks of some rows only.
    """

    open_rows: pd.DataFrame | None = None
    raw: pd.DataFrame | None = None
    raw_open: pd.DataFrame | None = None
    changes_after: dict[str, float] | None = None


def beside(crm: "Crm", ds: Dataset, settings: Settings) -> Beside:
    """Read it from the CRM that the dataset was made of."""
    from features.engine import feature_rows
    from features.snapshots import to_score

    undecided = to_score(crm, ds.kind)
    return Beside(
        open_rows=feature_rows(crm, undecided, ds.kind, settings).frame if len(undecided) else None,
        raw=raw_columns(crm, ds.snapshots, ds.kind),
        raw_open=raw_columns(crm, undecided, ds.kind) if len(undecided) else None,
        changes_after=changes_after(crm, ds.kind),
    )


def raw_columns(crm: "Crm", snapshots: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Dates and carried text of each snapshot's rows as they stand today, and when it was decided."""
    columns: dict[str, pd.Series] = {}
    for table in SEEN_FROM[kind]:
        names = [name for name, what in _kinds(crm, table).items() if what in RAW_KINDS]
        columns |= {
            f"{table}.{name}": values for name, values in _joined(crm, table, names, snapshots).items()
        }
    table, moment = DECIDED[kind]
    decided = _joined(crm, table, [moment] if crm.has(table, moment) else [], snapshots)
    columns["decided_at"] = decided.get(moment, pd.Series(pd.NaT, index=snapshots.index))
    return pd.DataFrame(columns, index=snapshots.index)


def _kinds(crm: "Crm", table: str) -> dict[str, Kind]:
    """The columns of a table that may be features, carried text among them, with their kinds."""
    if not crm.has(table):
        return {}
    core = {c.name: c.kind for c in TABLES[table].columns if c.kind is not Kind.TEXT}
    kinds = {**core, **{name: Kind(what) for name, what in crm.carried.get(table, {}).items()}}
    return {c: kinds[c] for c in crm.tables[table] if c in kinds and f"{table}.{c}" not in NEVER}


def _joined(crm: "Crm", table: str, names: list[str], snapshots: pd.DataFrame) -> dict[str, pd.Series]:
    """Columns of a table for each snapshot, by the id that leads from one to the other."""
    key = "opportunity_id" if table == "leads" else KEYS[table]
    if not names or not crm.has(table, key):
        return {}
    rows = crm.frame(table, [key, *names]).dropna(subset=key).drop_duplicates(key, keep="last").set_index(key)
    ids = snapshots[key].astype("string").astype(object)
    picked = rows.reindex(ids)
    return {name: picked[name].set_axis(snapshots.index) for name in names}


def changes_after(crm: "Crm", kind: str) -> dict[str, float]:
    """Of each column's changes that the history records, the share at or after the decision.

    Columns whose whole history is known are left out: their values are taken as they stood.
    """
    table, moment = DECIDED[kind]
    history = ("table", "id", "column", "changed_at")
    if not crm.has("history", *history) or not crm.has(table, KEYS[table], moment):
        return {}
    begin = BEGINS[table] if crm.has(table, BEGINS[table]) else None
    rows = crm.sql(f"""
        SELECT h."column" AS name, avg(CAST(h.changed_at >= s."{moment}" AS DOUBLE)) AS after, count(*) AS n,
               count(DISTINCT h.id) / (SELECT count(*) FROM "{table}" WHERE "{moment}" IS NOT NULL) AS covered
        FROM history h JOIN "{table}" s ON h.id = s."{KEYS[table]}"
        WHERE h."table" = '{table}' AND s."{moment}" IS NOT NULL
              {f'AND (s."{begin}" IS NULL OR h.changed_at > s."{begin}")' if begin else ""}
        GROUP BY 1
    """).to_pylist()
    return {
        f"{table}.{row['name']}": row["after"]
        for row in rows
        if row["n"] >= FEWEST_CHANGES and row["covered"] < 0.8
    }
