"""What is asked of the data once to say what they can answer: outcomes, coverage, late logging, spans."""

from dataclasses import dataclass

import duckdb
import pandas as pd

from features.crm.crm import Crm
from features.crm.freshness import days_behind
from features.mapping_draft.outcome_column import outcome_column
from features.settings import Settings
from features.snapshots import renewal_snapshots, win_snapshots

_YEAR = 365
_OUTCOME = {"renewal": ("contracts", "renewed"), "win": ("opportunities", "is_won")}
LATE_DAYS = 7
"""After so many days an activity was written down late."""


@dataclass(frozen=True)
class DataFacts:
    """What is asked of the data once."""

    crm: Crm
    settings: Settings
    outcomes: dict[str, tuple[int, int, str | None]]
    """Kind → (good, bad, why there is none)."""
    outcome_columns: dict[str, tuple[str, str]]
    """Kind → a column that holds the outcome where the contract's own column is missing, and the evidence."""
    late: dict[str, int]
    covered: dict[str, float]
    logged_late: float | None
    span_days: dict[str, int]


def facts_of(crm: Crm, settings: Settings) -> DataFacts:
    """Ask it."""
    kinds = [kind for kind, table in (("renewal", "contracts"), ("win", "opportunities")) if crm.has(table)]
    with duckdb.connect() as connection:
        late = days_behind(connection, crm.folder, crm.tables, crm.until)
    return DataFacts(
        crm,
        settings,
        {kind: _outcomes(crm, kind) for kind in kinds},
        {kind: column for kind in kinds if (column := _outcome_column(crm, kind)) is not None},
        late,
        {kind: _covered(crm, kind) for kind in kinds if crm.has("activities") and crm.dated(kind)},
        _logged_late(crm),
        {kind: _span(crm, kind) for kind in kinds if crm.dated(kind)},
    )


def _outcomes(crm: Crm, kind: str) -> tuple[int, int, str | None]:
    """How many contracts or deals a model can be trained on: as `training.dataset.build` counts them."""
    snapshots = (renewal_snapshots if kind == "renewal" else win_snapshots)(crm)
    is_known = snapshots["label"].notna()
    if bool(snapshots["as_of"].notna().any()):
        is_known &= snapshots["matured_at"] <= crm.until
    matured = snapshots[is_known]
    good = int(matured.loc[matured["label"] == 1, "subject_id"].nunique())
    bad = int(matured.loc[matured["label"] == 0, "subject_id"].nunique())
    why = None
    table, outcome = _OUTCOME[kind]
    if not crm.has(table, outcome):
        why = f"{table} have no {outcome}"
    return good, bad, why


def _outcome_column(crm: Crm, kind: str) -> tuple[str, str] | None:
    table, outcome = _OUTCOME[kind]
    return None if crm.has(table, outcome) else outcome_column(crm, table)


def _covered(crm: Crm, kind: str) -> float:
    """The share of contracts (deals) with an activity in the year before the end (since creation)."""
    table, at, days = (
        ("contracts", "end_date", _YEAR) if kind == "renewal" else ("opportunities", "created_at", 0)
    )
    until = "s.end_date" if kind == "renewal" else "coalesce(s.closed_at, s.created_at + INTERVAL 180 DAYS)"
    if kind == "win" and not crm.has(table, "closed_at"):
        until = "s.created_at + INTERVAL 180 DAYS"
    rows = crm.sql(
        f"SELECT avg(CAST(EXISTS (SELECT 1 FROM activities a WHERE a.account_id = s.account_id"
        f" AND a.occurred_at >= s.{at} - INTERVAL {days} DAYS AND a.occurred_at < {until}) AS DOUBLE)) AS"
        " share"
        f" FROM {table} s WHERE s.{at} IS NOT NULL"
    )
    return float(rows["share"][0].as_py() or 0.0)


def _logged_late(crm: Crm) -> float | None:
    """The share of activities written down over a week after they happened; None where nothing says when."""
    if not crm.has("activities", "recorded_at"):
        return None
    rows = crm.sql(
        f"SELECT avg(CAST(recorded_at > occurred_at + INTERVAL {LATE_DAYS} DAYS AS DOUBLE)) AS share"
        " FROM activities"
        " WHERE recorded_at IS NOT NULL"
    )
    return rows["share"][0].as_py()


def _span(crm: Crm, kind: str) -> int:
    table, at = ("contracts", "end_date") if kind == "renewal" else ("opportunities", "created_at")
    limit = f"WHERE {at} < TIMESTAMP '{crm.until}'"
    rows = crm.sql(f"SELECT date_diff('day', min({at}), max({at})) AS days FROM {table} {limit}")
    return int(rows["days"][0].as_py() or 0)


def history_days(crm: Crm) -> int | None:
    """How many days back `history` reaches; None without it."""
    if not crm.has("history", "changed_at"):
        return None
    first = crm.sql("SELECT min(changed_at) AS first FROM history")["first"][0].as_py()
    return None if first is None else (crm.until - pd.Timestamp(first)).days
