"""What is lost and why: drivers of lost renewals or deals over a period, with the reasons that were stated.

Drivers are the model's exact contributions at the last snapshot before the loss, summed over customers and
weighted by money: what lowered their score, not what caused the loss. Reasons that sales people stated are
listed beside them. The seller's own features (how many contracts the owner looks after, how many of them
renewed) are not drivers: they say nothing about the customer.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from training.model import Model

if TYPE_CHECKING:
    from features.crm.crm import Crm

TOP = 10
DAYS = 365
FEWEST = 20
NOT_STATED = "(not stated)"
TABLE = {"renewal": ("contracts", "contract_id"), "win": ("opportunities", "opportunity_id")}


def churn_drivers(
    kind: str,
    crm: "Crm",
    settings: Settings,
    *,
    by: str | None = None,
    days: int = DAYS,
    say: Say = silent,
) -> dict[str, Any]:
    """The drivers of what was lost in the last `days` before the end of the data (undated: ever).

    Args:
        kind: `renewal` or `win`.
        crm: the cleaned CRM.
        settings: where the registry is.
        by: `owner` or any column of accounts; each group with at least 20 losses is reported separately.
        days: length of the period.
        say: called with each line of progress.

    Returns:
        `drivers` (group, driver, words, subjects and money it counted against, share, log_odds), `stated`
        (group, reason, subjects, money), `lost` (group, subjects, money, share), `period`, `model_version`.

    Raises:
        RenewalError: no model was trained, nothing was lost in the period, or `by` is no column.
    """
    from features.engine import feature_rows
    from training.registry import champion

    loaded = champion(kind, settings)
    if loaded is None:
        raise RenewalError(
            expected=f"a trained {kind} model",
            found="none",
            do=f"Run `perennial train {kind}` first.",
        )
    decided = last_snapshots(crm, kind, days)
    lost = decided[decided["label"] == 0]
    if not len(lost):
        raise RenewalError(
            expected=f"lost {'contracts' if kind == 'renewal' else 'deals'} in the last {days} days",
            found="none",
            do="Give data of a longer period.",
        )
    say(f"{len(lost):,} of {len(decided):,} decided were lost")
    X = feature_rows(crm, lost, kind, settings).frame
    group = groups_of(crm, decided, by)
    drivers = drivers_by_group(loaded.model, X, lost, group.loc[lost.index], settings.threads)
    dates = decided["as_of"].dropna()
    return {
        "kind": kind,
        "by": by,
        "period": {"from": str(dates.min().date()), "to": str(dates.max().date())} if len(dates) else None,
        "model_version": loaded.version,
        "drivers": drivers,
        "stated": stated_reasons(crm, kind, lost, group.loc[lost.index]),
        "lost": _lost(decided, group),
    }


def last_snapshots(crm: "Crm", kind: str, days: int) -> pd.DataFrame:
    """The last snapshot of each contract or deal decided in the period, with its label."""
    from features.snapshots import renewal_snapshots, win_snapshots

    snapshots = (renewal_snapshots if kind == "renewal" else win_snapshots)(crm)
    decided = snapshots[snapshots["label"].notna()]
    if kind == "win" and crm.has("opportunities", "opportunity_id", "is_won"):
        closed = crm.frame("opportunities", ["opportunity_id", "is_won"]).dropna()["opportunity_id"]
        decided = decided[decided["subject_id"].isin(set(closed))]
    if decided["as_of"].notna().any():
        decided = decided[
            (decided["as_of"] >= crm.until - pd.Timedelta(days=days)) & (decided["matured_at"] <= crm.until)
        ]
        decided = decided.sort_values(["subject_id", "as_of"]).drop_duplicates("subject_id", keep="last")
    return decided.reset_index(drop=True)


def groups_of(crm: "Crm", rows: pd.DataFrame, by: str | None) -> pd.Series:
    """The group of each row; `all` without `by`.

    Raises:
        RenewalError: `by` is neither industry, region, owner nor a column of accounts.
    """
    if by is None:
        return pd.Series("all", index=rows.index)
    if by in ("owner", "owner_id"):
        return rows["owner_id"].astype("string").fillna("(none)").astype(object)
    if not crm.has("accounts", by):
        there = [c for c in crm.tables["accounts"] if c != "account_id"]
        raise RenewalError(
            expected="owner or a column of accounts",
            found=repr(by),
            do=f"There are: {', '.join(there) or 'none'}.",
        )
    values = (
        crm.frame("accounts", ["account_id", by]).drop_duplicates("account_id").set_index("account_id")[by]
    )
    matched = values.reindex(rows["account_id"].astype("string").astype(object)).set_axis(rows.index)
    return matched.astype("string").fillna("(none)").astype(object)


def drivers_by_group(
    model: Model, X: pd.DataFrame, lost: pd.DataFrame, group: pd.Series, threads: int = 1
) -> list[dict[str, Any]]:
    """The strongest drivers of each group's losses, by money where amounts are known."""
    rows = []
    for name in _large_groups(group):
        inside = (group == name).to_numpy()
        rows += [
            {"group": name, **driver}
            for driver in _drivers(model, X[inside], money_of(lost[inside]), threads)
        ]
    return rows


def _drivers(model: Model, X: pd.DataFrame, money: np.ndarray, threads: int) -> list[dict[str, Any]]:
    from training.explain import contributions, drivers

    weight = money if money.sum() > 0 else None
    strongest = [
        row for row in drivers(model, X, weight, threads) if row["log_odds"] < 0 and row["is_spoken"]
    ][:TOP]
    values = contributions(model, X, threads).values
    rows = []
    for row in strongest:
        columns = [i for i, name in enumerate(model.features) if _group_of(model, name) == row["group"]]
        against = values[:, columns].sum(axis=1) < 0
        rows.append(
            {
                "driver": row["group"],
                "words": row["words"],
                "subjects": int(against.sum()),
                "share": float(against.mean()),
                "money": float(money[against].sum()),
                "log_odds": row["log_odds"],
            }
        )
    return rows


def _group_of(model: Model, name: str) -> str:
    info = model.infos.get(name)
    return (info.group or name) if info else name


def stated_reasons(crm: "Crm", kind: str, lost: pd.DataFrame, group: pd.Series) -> list[dict[str, Any]]:
    """The reasons that were written down, by money; empty where the CRM keeps none."""
    table, key = TABLE[kind]
    if not crm.has(table, key, "lost_reason"):
        return []
    written = crm.frame(table, [key, "lost_reason"]).drop_duplicates(key).set_index(key)["lost_reason"]
    reason = written.reindex(lost["subject_id"].astype("string").astype(object)).set_axis(lost.index)
    stated = pd.DataFrame(
        {
            "group": group,
            "reason": reason.astype("string").fillna(NOT_STATED).astype(object),
            "money": money_of(lost),
        }
    )
    summed = (
        stated.groupby(["group", "reason"])
        .agg(subjects=("money", "size"), money=("money", "sum"))
        .reset_index()
    )
    summed = summed[summed["group"].isin(_large_groups(group))]
    order = summed.sort_values(["group", "money", "subjects", "reason"], ascending=[True, False, False, True])
    records = order.astype({"subjects": int, "money": float}).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in records]


def _lost(decided: pd.DataFrame, group: pd.Series) -> list[dict[str, Any]]:
    rows = []
    for name in _large_groups(group[decided["label"] == 0]):
        inside = decided[(group == name).to_numpy()]
        gone = inside["label"] == 0
        rows.append(
            {
                "group": name,
                "subjects": int(gone.sum()),
                "money": float(money_of(inside[gone]).sum()),
                "share": float(gone.mean()),
            }
        )
    return rows


def _large_groups(group: pd.Series) -> list[str]:
    """Groups with enough losses to report, the largest first; a single group is always reported."""
    counts = group.value_counts()
    return [str(name) for name, n in counts.items() if n >= FEWEST or len(counts) == 1]


def money_of(rows: pd.DataFrame) -> np.ndarray:
    """(n,) amounts in units of money, 0 where unknown."""
    return pd.to_numeric(rows["amount"], errors="coerce").fillna(0).to_numpy(dtype=float) / 100
