"""The leakage guard: which columns know the outcome because they were written after it.

Every column that is not an event (core and carried alike) is judged before training. What is merely strong
passes; what is barred is listed with its evidence and can be allowed by name. The kinds of leakage follow
Kaufman et al. 2012 (Leakage in data mining) and Kapoor and Narayanan 2023.

Whether a contract or deal says which account it belongs to, which all features of the account hang on.

Some CRMs link a deal to its account only when it closes. Rows without an account count as an account of their
own, so a missing link shows in every feature of the account, and reveals the outcome where it is filled in
late.
"""

import difflib
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from features.crm.contract import SUBJECTS
from features.errors import RenewalError
from training import leakage_evidence
from training.dataset import Dataset
from training.leakage_evidence import Beside
from training.leakage_rules import FEWEST_OPEN, RULES, Facts, is_suspect
from training.leakage_suspicion import suspicion

OF_THE_ACCOUNT = frozenset({"account", "industry"})
LEAVE_OUT_BELOW = 0.10


def link_column(ds: Dataset) -> str:
    """`contracts.account_id` or `opportunities.account_id`."""
    return f"{SUBJECTS[ds.kind]}.account_id"


def is_linked(ds: Dataset) -> np.ndarray:
    """(n,) whether a row has an account, and not one that the load made of its own id for want of any.

    Ids of contracts and accounts may be equal by chance or by custom. A made account has nothing but its id
    and a single contract or deal.
    """
    account, subject = (ds.snapshots[name].astype("string") for name in ("account_id", "subject_id"))
    described = ds.X[[name for name in ds.X.columns if str(name).startswith("accounts.")]]
    named_by_another = account.isin(set(account[account != subject].dropna()))
    real = (account != subject) | named_by_another | described.notna().any(axis=1).set_axis(account.index)
    return (account.notna() & real.fillna(False)).to_numpy(bool)


def features_of_the_account(ds: Dataset) -> list[str]:
    """The features that are only right where the account is known."""
    from features.catalog import DECLARED

    scopes = {declared.info.name: declared.scope for declared in DECLARED}
    return [
        str(name)
        for name in ds.X.columns
        if scopes.get(str(name)) in OF_THE_ACCOUNT or str(name).startswith("accounts.")
    ]


def is_asked(ds: Dataset) -> bool:
    """Whether some rows have an account and some have not: otherwise the link says nothing."""
    linked = is_linked(ds)
    return bool(linked.any() and not linked.all())


def as_column(ds: Dataset) -> pd.Series:
    """(n,) 1 where the account is known, missing where not."""
    return pd.Series(np.where(is_linked(ds), 1.0, np.nan), index=ds.X.index)


MOST_ROWS = 20_000
LEAST_CEILING, MOST_CEILING, HEADROOM = 0.88, 0.95, 0.08
OF_THE_TERM = {"term_days": "contracts.end_date", "end_month": "contracts.end_date"}
"""Features that come with the snapshot and are made of a column all the same."""


@dataclass(frozen=True)
class Guard:
    """The verdicts.

    Attributes:
        barred: column → reason; the bare name, `table.column` where two tables share it.
        evidence: one dict a column judged: the facts, `verdict` (passed, suspected, barred, allowed) and
            `why`; what is suspected is used (`training.leakage_suspicion`).
        allowed: columns kept at the user's word.
        dropped: names of the features that go with the barred columns.
        left_out: (n,) rows to leave out, those of an account that few rows lack; None: none.
    """

    barred: dict[str, str]
    evidence: list[dict[str, Any]]
    allowed: tuple[str, ...]
    dropped: frozenset[str]
    left_out: np.ndarray | None = None

    @property
    def suspected(self) -> dict[str, str]:
        """Column → the evidence against it, strongest first; none of it is proof."""
        doubted = [row for row in self.evidence if row["verdict"] == "suspected"]
        doubted.sort(key=lambda row: -row["power"]["auc"])
        return {row["column"].rpartition(".")[2]: row["why"][0] for row in doubted}

    def apply(self, ds: Dataset) -> Dataset:
        """The dataset without the features of barred columns."""
        remaining = ds if self.left_out is None else ds.take(np.flatnonzero(~self.left_out))
        return remaining.without(self.dropped)


def guard(
    ds: Dataset, beside: Beside | None = None, *, bar: Sequence[str] = (), allow: Sequence[str] = ()
) -> Guard:
    """Judge every column that is not an event.

    Args:
        ds: matured, labelled rows.
        beside: rows still open, raw dates and the history, where there are any.
        bar: columns to bar unseen, `column` or `table.column`.
        allow: columns to keep whatever the evidence.

    Raises:
        RenewalError: a name in `bar` or `allow` is no column of the data.
    """
    around = beside or Beside()
    columns = columns_of(ds, around)
    barred_by_user = {_named(name, columns) for name in bar}
    allowed = {_named(name, columns) for name in allow}
    sample = _each_subject(ds)
    looks = {column: _looks(ds, sample, column, names, around) for column, names in columns.items()}
    limit = ceiling(ds, sample, looks)
    reasons, listed = {}, []
    for column, facts in looks.items():
        worst = max(facts, key=lambda fact: (len(_broken(fact, limit)), fact.power.auc))
        faults = list(dict.fromkeys(words for fact in (worst, *facts) for words in _broken(fact, limit)))
        if column in barred_by_user:
            faults.insert(0, "barred by the user")
        verdict = "allowed" if column in allowed else "barred" if faults else "passed"
        if verdict == "barred":
            reasons[column] = faults[0]
        if verdict == "passed" and not ds.dated and (doubts := [*filter(None, map(suspicion, facts))]):
            verdict, faults = "suspected", doubts[:1]
        evidence = {**asdict(worst), "features": columns[column], "ceiling": round(limit, 3)}
        listed.append({**evidence, "verdict": verdict, "why": faults})
    short = _short_names(columns)
    link = link_column(ds)
    few = link in reasons and (~is_linked(ds)).mean() < LEAVE_OUT_BELOW
    return Guard(
        barred={short[column]: reason for column, reason in reasons.items()},
        evidence=listed,
        allowed=tuple(sorted(short[column] for column in allowed)),
        dropped=frozenset(name for c in reasons for name in columns[c] if not (few and c == link)),
        left_out=~is_linked(ds) if few else None,
    )


def _broken(fact: Facts, limit: float) -> list[str]:
    return [words for rule in RULES if (words := rule(fact, limit))]


def columns_of(ds: Dataset, around: Beside) -> dict[str, list[str]]:
    """`table.column` → the features made of it, for everything that is not an event.

    Free text and dates that no feature shows (they lie after every snapshot) are named too, with no features.
    """
    features_by_column: dict[str, list[str]] = {}
    for name in ds.X.columns:
        column = _column_of(ds, str(name))
        if column:
            features_by_column.setdefault(column, []).append(str(name))
    if around.raw is not None:
        for column in around.raw.columns.drop("decided_at"):
            features_by_column.setdefault(str(column), [])
    if is_asked(ds):
        features_by_column[link_column(ds)] = features_of_the_account(ds)
    return features_by_column


def _column_of(ds: Dataset, name: str) -> str | None:
    info = ds.infos.get(name)
    if info is not None and info.source == "column":
        return info.column or name
    return OF_THE_TERM.get(name)


def _short_names(columns: Collection[str]) -> dict[str, str]:
    bare = [column.rpartition(".")[2] for column in columns]
    return {c: b if bare.count(b) == 1 else c for c, b in zip(columns, bare, strict=True)}


def _named(name: str, columns: Collection[str]) -> str:
    hits = [column for column in columns if name in (column, column.rpartition(".")[2])]
    if len(hits) == 1:
        return hits[0]
    if hits:
        raise RenewalError(
            expected=f"one column named {name}", found=" and ".join(hits), do="Write it as table.column."
        )
    names = sorted({column.rpartition(".")[2] for column in columns} | set(columns))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or names[:5]
    raise RenewalError(
        expected="the name of a column that becomes a feature",
        found=repr(name),
        do=f"The closest are: {', '.join(near)}." if near else "This data has no such columns.",
    )


def ceiling(ds: Dataset, sample: "Sample", looks: dict[str, list[Facts]]) -> float:
    """The highest one-column AUC that is plausible in this data.

    Events are joined as of the snapshot and cannot leak, so the strongest of them, and of the columns that no
    other rule bars, says how predictable these outcomes are from one thing known; a little headroom is added.
    """
    clean = [facts for facts in looks.values() if not any(_broken(fact, 1.1) for fact in facts)]
    fair = [fact.power.auc for facts in clean for fact in facts if fact.power.auc < LEAST_CEILING]
    for name in ds.X.columns:
        if _column_of(ds, str(name)) is None:
            levels = leakage_evidence.cut(ds.X[name].iloc[sample.rows])
            fair.append(leakage_evidence.power(levels, sample.y, sample.groups).auc)
    return min(MOST_CEILING, max([LEAST_CEILING, *[auc + HEADROOM for auc in fair]]))


@dataclass(frozen=True)
class Sample:
    """One row a contract, deal or account.

    Attributes:
        rows: positions in the dataset.
        y: how each ended, 0/1.
        groups: codes that folds keep together.
        moment: days to when it ends (renewal) or was created (win); undated: the order of rows.
        entity: the contract, deal or account.
    """

    rows: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    moment: np.ndarray
    entity: np.ndarray

    def take(self, at: np.ndarray) -> "Sample":
        """Some of the rows."""
        return Sample(self.rows[at], self.y[at], self.groups[at], self.moment[at], self.entity[at])


def _each_subject(ds: Dataset) -> Sample:
    """The first snapshot of each subject, where age reveals least of the end, with its final outcome."""
    order = pd.DataFrame({"subject": ds.subjects, "as_of": ds.snapshots["as_of"].to_numpy(), "y": ds.y})
    order["row"] = np.arange(len(ds))
    order = order.sort_values(["subject", "as_of", "row"], kind="stable")
    once = order.groupby("subject").agg(row=("row", "first"), y=("y", "max")).sort_values("row")
    if len(once) > MOST_ROWS:
        once = once.sample(MOST_ROWS, random_state=0).sort_values("row")
    rows = once["row"].to_numpy()
    return Sample(rows, once["y"].to_numpy(), ds.groups[rows], _moment(ds, rows), ds.subjects[rows])


def _moment(ds: Dataset, rows: np.ndarray) -> np.ndarray:
    if not ds.dated:
        return rows.astype(float)
    picked = ds.snapshots.iloc[rows]
    lead = picked["lead_days"].to_numpy(dtype=float) * (1 if ds.kind == "renewal" else -1)
    return ((picked["as_of"] - pd.Timestamp(0)) / pd.Timedelta(days=1)).to_numpy(dtype=float) + lead


def _each_account(ds: Dataset, sample: Sample) -> Sample:
    """The last contract or deal of each account: an account's column is today's and may know its end."""
    account = ds.snapshots["account_id"].to_numpy()[sample.rows]
    order = pd.DataFrame({"account": account, "moment": sample.moment, "at": np.arange(len(account))})
    at = (
        order.sort_values(["account", "moment", "at"])
        .groupby("account")["at"]
        .last()
        .sort_values()
        .to_numpy()
    )
    return replace(sample.take(at), entity=account[at])


def _looks(ds: Dataset, sample: Sample, column: str, names: list[str], around: Beside) -> list[Facts]:
    """What the features of a column show, and its raw dates or text; an account's also once an account."""
    if column == link_column(ds):
        return [_facts(ds, sample, column, as_column(ds).iloc[sample.rows])]
    if column.startswith("accounts."):
        linked = sample.take(is_linked(ds)[sample.rows])
        sample = linked if len(np.unique(linked.y)) == 2 else sample
    samples = [sample]
    if column.startswith("accounts."):
        last = _each_account(ds, sample)
        if min(last.y.sum(), (1 - last.y).sum()) >= FEWEST_OPEN:
            samples.append(last)
    looks = []
    for chosen in samples:
        for name in names:
            if chosen is sample or not _is_age(ds, name):
                looks.append(_look(ds, chosen, column, name, around))
        if around.raw is not None and column in around.raw:
            looks.append(_raw_look(ds, chosen, column, around))
    return looks


def _is_age(ds: Dataset, name: str) -> bool:
    """Whether a feature counts to or from a date: it changes with the snapshot and numbers nothing."""
    return ds.infos[name].unit.startswith(("day", "date", "month", "year"))


def _look(ds: Dataset, sample: Sample, column: str, name: str, around: Beside) -> Facts:
    """A feature as the model would see it."""
    values = ds.X[name].iloc[sample.rows]
    is_text = not pd.api.types.is_numeric_dtype(values)
    fact = replace(
        _facts(ds, sample, column, values),
        unique=leakage_evidence.unique_share(values, sample.entity) if is_text else 0.0,
        running=None if _is_age(ds, name) else _running(values, sample),
        changes_after=(around.changes_after or {}).get(column),
    )
    undecided = around.open_rows
    return fact if undecided is None or name not in undecided else _beside_open(fact, values, undecided[name])


def _raw_look(ds: Dataset, sample: Sample, column: str, around: Beside) -> Facts:
    """Where a date or a text is filled today, for what a model does not read itself."""
    assert around.raw is not None
    raw = around.raw[column].iloc[sample.rows]
    decided_at = around.raw["decided_at"].iloc[sample.rows]
    is_date = pd.api.types.is_datetime64_any_dtype(raw)
    filled = raw.notna().astype(float).where(raw.notna())
    fact = replace(
        _facts(ds, sample, column, filled),
        running=None if is_date else _running(raw, sample),
        dates_after=_dates_after(raw, decided_at) if is_date else None,
    )
    if around.raw_open is None:
        return fact
    undecided = around.raw_open[column]
    return _beside_open(fact, filled, undecided.notna().astype(float).where(undecided.notna()))


def _running(values: pd.Series, sample: Sample) -> leakage_evidence.Running:
    return leakage_evidence.running_number(values, sample.entity, sample.moment, sample.y)


def _facts(ds: Dataset, sample: Sample, column: str, values: pd.Series) -> Facts:
    y = sample.y
    levels = leakage_evidence.cut(values)
    counts = np.sort(np.bincount(levels.codes))[::-1]
    pure = leakage_evidence.pure_levels(levels, y)
    good, bad, filled_p = leakage_evidence.fill_rates(values, y)
    return Facts(
        column=column,
        kind=ds.kind,
        n=len(y),
        power=leakage_evidence.power(levels, y, sample.groups),
        few_levels=bool(counts[:3].sum() >= 0.85 * len(y)),
        suspect_name=is_suspect(column),
        pure=pure[0] if pure else None,
        filled_good=good,
        filled_bad=bad,
        filled_p=filled_p,
    )


def _beside_open(fact: Facts, decided: pd.Series, undecided: pd.Series) -> Facts:
    is_number = pd.api.types.is_numeric_dtype(decided)
    filled_decided, filled_open, p = leakage_evidence.open_fill(decided, undecided)
    return replace(
        fact,
        open_n=len(undecided),
        filled_decided=filled_decided,
        filled_open=filled_open,
        open_p=p,
        open_known=leakage_evidence.shared_values(decided, undecided),
        open_common=leakage_evidence.common_open_value(decided, undecided),
        pure_in_open=leakage_evidence.share_of_level(undecided, fact.pure.level, is_number)
        if fact.pure
        else None,
    )


def _dates_after(dates: pd.Series, decided_at: pd.Series) -> float | None:
    both = dates.notna() & decided_at.notna()
    return float((dates[both] >= decided_at[both]).mean()) if both.sum() >= FEWEST_OPEN else None
