"""Joins logged predictions with their outcomes: from the CRM, and those reported to the store."""

import numpy as np
import pandas as pd

from features.columns import KEYS
from features.crm.contract import SUBJECTS
from features.crm.crm import Crm
from features.snapshots import snapshots_for, win_horizon_days
from monitoring.performance import Outcomes, split_decided
from monitoring.windows import one_per_lead


def judged(crm: Crm | None, kind: str, log: pd.DataFrame, outcomes: pd.DataFrame) -> Outcomes:
    """One prediction a subject and lead time, with its outcome where that may be judged.

    Args:
        crm: its own outcomes go first; None: there are only those reported to the store.
        kind: `renewal` or `win`.
        log: predictions as `Store.predictions` gives them.
        outcomes: outcomes as `Store.outcomes` gives them. A deal counts as won only within
            the horizon of its score.
    """
    rows = log[log["probability"].notna()].reset_index(drop=True)
    if crm is None or not crm.has(SUBJECTS[kind]):
        labelled = pd.DataFrame({"label": np.nan, "matured_at": pd.NaT}, index=rows.index)
    else:
        wanted = pd.DataFrame({KEYS[SUBJECTS[kind]]: rows["subject_id"], "as_of": rows["as_of"]})
        wanted = wanted if rows["as_of"].notna().any() else wanted.drop(columns="as_of")
        labelled = snapshots_for(crm, kind, wanted)
    rows = rows.assign(
        p=rows["probability"],
        label=labelled["label"].to_numpy(float),
        matured_at=pd.to_datetime(labelled["matured_at"]).to_numpy("datetime64[us]"),
    )
    rows["label"] = rows["label"].where(rows["label"].notna(), _reported_label(crm, kind, rows, outcomes))
    latest = outcomes["decided_at"].max() if len(outcomes) else pd.NaT
    days = [day for day in (None if crm is None else crm.until, latest) if pd.notna(day)]
    until = max(days, default=pd.Timestamp.min)
    return split_decided(one_per_lead(rows, kind), until)


def _reported_label(crm: Crm | None, kind: str, rows: pd.DataFrame, outcomes: pd.DataFrame) -> pd.Series:
    """(n,) the label that outcomes sent to the store give each prediction; NaN where there is none."""
    by_subject = outcomes.set_index("subject_id")
    outcome = pd.Series(by_subject["outcome"].reindex(rows["subject_id"]).to_numpy(float), rows.index)
    if kind == "renewal":
        return outcome
    decided = pd.Series(by_subject["decided_at"].reindex(rows["subject_id"]).to_numpy(), rows.index)
    if crm is None or not crm.has("opportunities"):
        return outcome
    horizon = pd.Timedelta(days=win_horizon_days(crm))
    is_late = decided.notna() & rows["as_of"].notna() & (decided > rows["as_of"] + horizon)
    return outcome.where(~(is_late & (outcome == 1)), 0.0)


def with_actions(outcomes: Outcomes, actions: pd.DataFrame) -> Outcomes:
    """The same rows with `acted`: whether somebody did something about the subject since that score.

    Args:
        outcomes: rows with `subject_id` and `scored_at`.
        actions: as `Store.actions` gives them.
    """
    latest = (
        actions.assign(taken_at=pd.to_datetime(actions["taken_at"])).groupby("subject_id")["taken_at"].max()
    )

    def marked(rows: pd.DataFrame) -> pd.DataFrame:
        last = latest.reindex(rows["subject_id"]).to_numpy("datetime64[us]")
        return rows.assign(acted=last >= rows["scored_at"].to_numpy("datetime64[us]"))

    return Outcomes(marked(outcomes.decided), marked(outcomes.undecided))
