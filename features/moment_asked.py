"""Whether a contract or deal could be judged at the moment somebody asks about."""

import pandas as pd

from features.crm import Crm
from features.snapshots import RENEWAL_LEADS, spans

LATEST_DAYS = RENEWAL_LEADS[0]
"""Days past the end of the data that a moment may lie: beyond the longest run-up, all of it is unknown."""


def impossible(crm: Crm, kind: str, snapshots: pd.DataFrame) -> pd.Series:
    """(n,) why each snapshot is no question to ask, None where it is one: index as `snapshots`.

    A contract is judged from its start on, a deal from its creation on, up to when it was decided, and a
    contract up to the end known then. What has no such dates is not refused for them.

    Args:
        crm: the CRM.
        kind: `renewal` or `win`.
        snapshots: of `features.snapshots.asked`.
    """
    known = spans(crm, kind).reindex(pd.Index(snapshots["subject_id"].astype("string")))
    begun, decided = known["begun"].set_axis(snapshots.index), known["decided"].set_axis(snapshots.index)
    as_of, ends_at = snapshots["as_of"], snapshots["ends_at"]
    latest = crm.until + pd.Timedelta(days=LATEST_DAYS)
    rules = (
        (as_of < begun, "before it starts" if kind == "renewal" else "before it was created", begun),
        (as_of > decided, "after it was decided", decided),
        (as_of > ends_at, "after its end", ends_at),
        (
            as_of > latest,
            f"over {LATEST_DAYS} days after the data end",
            pd.Series(crm.until, snapshots.index),
        ),
    )
    found = pd.Series([None] * len(snapshots), index=snapshots.index, dtype=object)
    for broken, words, moment in reversed(rules):
        told = "as_of " + as_of.map(_day) + f" is {words} (" + moment.map(_day) + ")"
        found = found.mask(broken, told)
    return found.where(found.notna(), None)


def _day(moment: pd.Timestamp) -> str:
    if pd.isna(moment):
        return ""
    return str(moment.date()) if moment == moment.normalize() else str(moment)[:16]
