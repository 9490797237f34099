"""When a contract or an opportunity is looked at, and what became of it (the design's section 4).

Whether a contract or deal could be judged at the moment somebody asks about.
"""

from collections.abc import Collection

import numpy as np
import pandas as pd

from features.arrays import OUTCOME_DAYS
from features.columns import BEGINS, KEYS
from features.crm.contract import SUBJECTS
from features.crm.crm import Crm
from features.history import Stood
from features.kernel import DAY, MISSING, Ints

RENEWAL_LEADS = (180, 150, 120, 90, 60, 30, 14)
"""Days before a contract's end at which it is looked at."""
WIN_LEADS = (0, 7, 14, 30, 60, 90, 180)
"""Days after an opportunity's creation at which it is looked at."""
FOLLOW_ON_DAYS = 180
HORIZON_STEP, DEFAULT_HORIZON = 30, 90
COLUMNS = (
    "subject_id", "account_id", "contract_id", "opportunity_id", "as_of", "lead_days", "ends_at", "label",
    "matured_at", "known_at", "amount", "owner_id",
)  # fmt: skip


def renewal_snapshots(crm: Crm) -> pd.DataFrame:
    """One row for each contract and lead time before its end as known then, where it ran and was undecided.

    `label` is 1 where the contract was renewed, 0 where not, NaN where not known yet. `matured_at` is when
    a row may
    train: 45 days after the end, whichever way it went, or later if it was decided later. Undated data: a
    row each.
    """
    subjects = _subjects(crm, "renewal")
    if not crm.dated("renewal"):
        return _undated(crm, "renewal", subjects)
    ends = _ends(crm, subjects)
    leads = np.array(RENEWAL_LEADS, np.int64)
    row = np.repeat(ends["row"].to_numpy(), len(leads))
    end = np.repeat(ends["end"].to_numpy(), len(leads))
    as_of = end - np.tile(leads, len(ends)) * DAY
    begin, decided = _moment(subjects, "start_date")[row], _moment(subjects, "decided_at")[row]
    keep = (begin == MISSING) | (begin <= as_of)
    keep &= (decided == MISSING) | (decided >= as_of)
    keep &= as_of <= _micros(crm.until)
    keep &= _stood(crm, subjects).at(row, as_of) == end
    return _renewal_rows(crm, subjects, row[keep], as_of[keep], end[keep])


def win_snapshots(crm: Crm) -> pd.DataFrame:
    """One row for each opportunity at creation and some days on, while it was open.

    `label` is 1 where it was won within the horizon (`win_horizon_days`) after `as_of`, 0 where not, NaN
    where that is not known yet; `matured_at` is when the horizon has passed, `known_at` when the label is
    known: at the close or then. Undated data: one row each, label as given.
    """
    subjects = _subjects(crm, "win")
    if not crm.dated("win"):
        return _undated(crm, "win", subjects)
    created, closed = _moment(subjects, "created_at"), _closed(crm, subjects)
    leads = np.array(WIN_LEADS, np.int64)
    row = np.repeat(np.arange(len(subjects)), len(leads))
    as_of = created[row] + np.tile(leads, len(subjects)) * DAY
    keep = (created[row] != MISSING) & (as_of <= _micros(crm.until))
    keep &= (closed[row] == MISSING) | (closed[row] >= as_of)
    return _win_rows(crm, subjects, row[keep], as_of[keep])


def win_horizon_days(crm: Crm) -> int:
    """Days within which a deal must be won to count: the 90th percentile of won deals' length, up to a
    multiple of 30."""
    if not crm.has("opportunities", "created_at", "closed_at", "is_won"):
        return DEFAULT_HORIZON
    subjects = _subjects(crm, "win")
    won = subjects["is_won"].fillna(False).to_numpy(bool)
    created, closed = _moment(subjects, "created_at")[won], _moment(subjects, "closed_at")[won]
    is_known = (created != MISSING) & (closed != MISSING)
    if not is_known.any():
        return DEFAULT_HORIZON
    days = np.quantile((closed[is_known] - created[is_known]) / DAY, 0.9)
    return max(HORIZON_STEP, int(np.ceil(days / HORIZON_STEP)) * HORIZON_STEP)


def to_score(crm: Crm, kind: str, as_of: pd.Timestamp | None = None) -> pd.DataFrame:
    """What a sales team works on at `as_of` (default: the day of the load): one row each.

    Renewal: contracts that run, are undecided and end within 180 days. Win: open opportunities. Undated
    data: those
    whose outcome is not given.
    """
    subjects = _subjects(crm, kind)
    if not crm.dated(kind):
        undated = _undated(crm, kind, subjects)
        return undated[undated["label"].isna()].reset_index(drop=True)
    moment = _micros(crm.until if as_of is None else pd.Timestamp(as_of))
    row = np.arange(len(subjects))
    now = np.full(len(row), moment)
    if kind == "win":
        created, closed = _moment(subjects, "created_at"), _closed(crm, subjects)
        keep = ((created == MISSING) | (created <= now)) & ((closed == MISSING) | (closed >= now))
        return _win_rows(crm, subjects, row[keep], now[keep])
    end, begin = _stood(crm, subjects).at(row, now), _moment(subjects, "start_date")
    decided = _moment(subjects, "decided_at")
    keep = (end != MISSING) & (end >= now) & (end <= now + RENEWAL_LEADS[0] * DAY)
    keep &= ((begin == MISSING) | (begin <= now)) & ((decided == MISSING) | (decided >= now))
    return _renewal_rows(crm, subjects, row[keep], now[keep], end[keep])


def snapshots_for(crm: Crm, kind: str, rows: pd.DataFrame) -> pd.DataFrame:
    """Snapshots somebody asks for, one for each of `rows` in their order.

    Args:
        crm: the CRM.
        kind: `renewal` or `win`.
        rows: contract_id (or opportunity_id) and as_of, an ISO date or time; without it, the day of the load.

    Returns:
        The snapshots' columns and `problem`: None, or why the row can't be scored.
    """
    subjects = _subjects(crm, kind)
    key = KEYS[SUBJECTS[kind]]
    ids = rows[key].astype("string").str.strip()
    row = pd.Index(subjects[key].astype("string")).get_indexer(pd.Index(ids))
    moments, unread = _asked_moments(crm, rows)
    fine = (row >= 0) & ~unread
    as_of = moments.to_numpy("datetime64[us]").astype(np.int64)
    problem = np.full(len(rows), None, dtype=object)
    problem[row < 0] = [
        f"{key} is missing" if pd.isna(name) else f"no {key} {name!r} in the CRM" for name in ids[row < 0]
    ]
    if "as_of" in rows:
        is_empty = rows["as_of"].astype("string").str.strip().eq("").fillna(False).to_numpy(bool)
        wrong = (row >= 0) & unread
        given = rows["as_of"].astype("string")[wrong]
        problem[wrong] = [f"as_of is {text!r}: write it as 2025-06-30" for text in given]
        problem[(row >= 0) & is_empty] = "as_of is missing: say a day, such as 2025-06-30"
    if not crm.dated(kind):
        snapshots = _undated(crm, kind, subjects).iloc[row[fine]]
    elif kind == "win":
        snapshots = _win_rows(crm, subjects, row[fine], as_of[fine])
    else:
        end = _stood(crm, subjects).at(row[fine], as_of[fine])
        snapshots = _renewal_rows(crm, subjects, row[fine], as_of[fine], end)
    answer = snapshots.set_axis(np.flatnonzero(fine)).reindex(range(len(rows)))
    answer["subject_id"] = ids.to_numpy(object)
    return answer.assign(problem=problem).set_axis(rows.index)


def spans(crm: Crm, kind: str) -> pd.DataFrame:
    """When each contract or deal began and was decided, `NaT` where that is not known; index: its id."""
    subjects = _subjects(crm, kind)
    begun = _moment(subjects, BEGINS[SUBJECTS[kind]])
    decided = _closed(crm, subjects) if kind == "win" else _moment(subjects, "decided_at")
    ids = pd.Index(subjects[KEYS[SUBJECTS[kind]]].astype("string"), name="subject_id")
    return pd.DataFrame({"begun": _times(begun), "decided": _times(decided)}, index=ids)


def decisions(crm: Crm, kind: str, accounts: Collection[str]) -> pd.DataFrame:
    """Contracts or deals of these accounts that are decided.

    Returns:
        `subject_id`, `account_id`, `outcome` (1 renewed or won, 0 not), `decided_at` (where that is not
        given: a contract's end; for a deal the day of the load). Those not decided yet are left out.
    """
    every = _subjects(crm, kind)
    subjects = every[every["account_id"].isin(list(accounts))].reset_index(drop=True)
    if kind == "win":
        won = subjects["is_won"] if "is_won" in subjects else pd.Series(pd.NA, subjects.index)
        outcome, decided = won.astype("Float64").to_numpy(float, na_value=np.nan), _closed(crm, subjects)
    else:
        outcome, at = _renewed(crm, subjects)[0], _moment(subjects, "decided_at")
        decided = np.where(at == MISSING, _moment(subjects, "end_date"), at)
    is_decided = ~np.isnan(outcome) & (decided != MISSING) & (decided <= _micros(crm.until))
    rows = pd.DataFrame(
        {
            "subject_id": subjects[KEYS[SUBJECTS[kind]]].astype("string"),
            "account_id": subjects["account_id"],
            "outcome": outcome,
            "decided_at": _times(decided),
        }
    )
    return rows[is_decided].reset_index(drop=True)


def _asked_moments(crm: Crm, rows: pd.DataFrame) -> tuple[pd.Series, np.ndarray]:
    """Each row's as_of in naive UTC, and whether it could not be read."""
    if "as_of" not in rows:
        return pd.Series(crm.until, index=rows.index).astype("datetime64[us]"), np.zeros(len(rows), bool)
    given = rows["as_of"]
    moments = pd.to_datetime(given.astype("string"), errors="coerce", utc=True, format="ISO8601")
    moments = moments.dt.tz_localize(None).astype("datetime64[us]")
    unread = (moments.isna() & given.notna()).to_numpy(bool)
    return moments.fillna(crm.until), unread


def _subjects(crm: Crm, kind: str) -> pd.DataFrame:
    table = crm.need(kind)
    wanted = [
        "contract_id", "opportunity_id", "account_id", "owner_id", "start_date", "end_date", "decided_at",
        "renewed",
        "annual_value", "created_at", "closed_at", "is_won", "amount",
    ]  # fmt: skip
    frame = crm.frame(table, [column for column in wanted if crm.has(table, column)])
    return frame.sort_values(KEYS[table], kind="stable", ignore_index=True)


def _micros(moment: pd.Timestamp) -> int:
    return int(np.datetime64(pd.Timestamp(moment), "us").astype(np.int64))


def _moment(frame: pd.DataFrame, column: str) -> Ints:
    """(n,) a moment column in microseconds, all `MISSING` where the CRM lacks it."""
    if column not in frame:
        return np.full(len(frame), MISSING)
    return frame[column].to_numpy("datetime64[us]").astype(np.int64)


def _times(moments: Ints) -> np.ndarray:
    return moments.astype("datetime64[us]")


def _closed(crm: Crm, subjects: pd.DataFrame) -> Ints:
    """(n,) when each opportunity was decided: the day of the load for those that do not say when."""
    closed = _moment(subjects, "closed_at")
    if "is_won" not in subjects:
        return closed
    decided = subjects["is_won"].notna().to_numpy(bool)
    return np.where((closed == MISSING) & decided, _micros(crm.until), np.where(decided, closed, MISSING))


def _ends(crm: Crm, subjects: pd.DataFrame) -> pd.DataFrame:
    """Each end date a contract ever had: `row` of the contract and `end`."""
    row, end = _stood(crm, subjects).every()
    ends = pd.DataFrame({"row": row, "end": end})
    return ends[ends["end"] != MISSING].drop_duplicates().sort_values(["row", "end"], ignore_index=True)


def _stood(crm: Crm, subjects: pd.DataFrame) -> Stood:
    end, begin = _moment(subjects, "end_date"), _moment(subjects, "start_date")
    return Stood(crm, "contracts", "end_date", subjects["contract_id"], end, begin)


def _renewal_rows(crm: Crm, subjects: pd.DataFrame, row: Ints, as_of: Ints, end: Ints) -> pd.DataFrame:
    label, known_at = _renewed(crm, subjects)
    gone = end == MISSING
    matured = np.where(gone, MISSING, np.maximum(end + OUTCOME_DAYS * DAY, known_at[row]))
    lead = np.where(gone, np.nan, np.floor((end - as_of) / DAY))
    return _rows(crm, subjects, "renewal", row, as_of, lead, end, label[row], matured)


def _renewed(crm: Crm, subjects: pd.DataFrame) -> tuple[np.ndarray, Ints]:
    """(n,) 1, 0 or NaN for each contract and when that became known.

    Where `renewed` is not given, a contract counts as renewed if another one of the account starts from
    180 days before
    to 45 days after its end, and as lost once those days are over.
    """
    end, begin = _moment(subjects, "end_date"), _moment(subjects, "start_date")
    known_at = np.where(end == MISSING, MISSING, end + OUTCOME_DAYS * DAY)
    given = np.full(len(subjects), np.nan)
    if "renewed" in subjects:
        given = subjects["renewed"].astype("Float64").to_numpy(float, na_value=np.nan)
    followed = _followed(subjects["account_id"], begin, end)
    over = (end != MISSING) & (known_at <= _micros(crm.until))
    inferred = np.where(followed, 1.0, np.where(over, 0.0, np.nan)) if "start_date" in subjects else given
    decided = _moment(subjects, "decided_at")
    return np.where(np.isnan(given), inferred, given), np.maximum(known_at, decided)


def _followed(account: pd.Series, begin: Ints, end: Ints) -> np.ndarray:
    """(n,) whether another contract of the account starts around each contract's end, after its own start."""
    code = pd.factorize(account)[0]
    frame = pd.DataFrame({"code": code, "begin": begin, "end": end})
    starts = np.sort(
        frame.loc[(frame["begin"] != MISSING) & (code >= 0), ["code", "begin"]].to_records(index=False)
    )
    pairs = starts.view([("code", np.int64), ("begin", np.int64)])
    low = np.maximum(end - FOLLOW_ON_DAYS * DAY, begin + 1)
    wanted = np.empty((2, len(frame)), pairs.dtype)
    wanted["code"] = code
    wanted["begin"][0] = low
    wanted["begin"][1] = end + OUTCOME_DAYS * DAY + 1
    is_followed = np.searchsorted(pairs, wanted[1]) > np.searchsorted(pairs, wanted[0])
    return is_followed & (end != MISSING) & (code >= 0)


def _win_rows(crm: Crm, subjects: pd.DataFrame, row: Ints, as_of: Ints) -> pd.DataFrame:
    horizon = win_horizon_days(crm) * DAY
    created, closed = _moment(subjects, "created_at")[row], _closed(crm, subjects)[row]
    won = np.zeros(len(row), bool)
    if "is_won" in subjects:
        won = subjects["is_won"].fillna(False).to_numpy(bool)[row]
    over = as_of + horizon <= _micros(crm.until)
    in_time = won & (closed <= as_of + horizon)
    label = np.where(in_time, 1.0, np.where(over | (closed != MISSING), 0.0, np.nan))
    lead = np.where(created == MISSING, np.nan, np.floor((as_of - created) / DAY))
    none = np.full(len(row), MISSING)
    settled = as_of + horizon
    known_at = np.where(closed == MISSING, settled, np.minimum(np.maximum(closed, as_of), settled))
    return _rows(crm, subjects, "win", row, as_of, lead, none, label, settled, known_at)


def _undated(crm: Crm, kind: str, subjects: pd.DataFrame) -> pd.DataFrame:
    """One row each, without any moment, labelled as given."""
    none = np.full(len(subjects), MISSING)
    column = "renewed" if kind == "renewal" else "is_won"
    label = np.full(len(subjects), np.nan)
    if column in subjects:
        label = subjects[column].astype("Float64").to_numpy(float, na_value=np.nan)
    unknown = np.full(len(subjects), np.nan)
    row = np.arange(len(subjects))
    return _rows(crm, subjects, kind, row, none, unknown, none, label, none)


def _rows(
    crm: Crm,
    subjects: pd.DataFrame,
    kind: str,
    row: Ints,
    as_of: Ints,
    lead: np.ndarray,
    end: Ints,
    label: np.ndarray,
    matured: Ints,
    known_at: Ints | None = None,
) -> pd.DataFrame:
    picked = subjects.iloc[row].reset_index(drop=True)
    nothing = pd.Series(pd.NA, index=picked.index, dtype="string")
    ids = {
        key: picked.get(key, nothing).astype("string")
        for key in ("account_id", "contract_id", "opportunity_id")
    }
    return pd.DataFrame(
        {
            "subject_id": ids[KEYS[SUBJECTS[kind]]],
            **ids,
            "as_of": _times(as_of),
            "lead_days": lead,
            "ends_at": _times(end),
            "label": label,
            "matured_at": _times(matured),
            "known_at": _times(matured if known_at is None else known_at),
            "amount": _amount(crm, subjects, kind, row, as_of),
            "owner_id": _owner(crm, subjects, kind, row, as_of),
        },
        columns=list(COLUMNS),
    )


def _amount(crm: Crm, subjects: pd.DataFrame, kind: str, row: Ints, as_of: Ints) -> pd.arrays.IntegerArray:
    """(m,) the amount at stake at that moment, in minor units."""
    column = "annual_value" if kind == "renewal" else "amount"
    if column not in subjects:
        return pd.arrays.IntegerArray(np.zeros(len(row), np.int64), np.ones(len(row), bool))
    today = subjects[column].astype("Int64").to_numpy(np.int64, na_value=MISSING)
    amounts = _as_stood(crm, subjects, kind, column, today, row, as_of, MISSING)
    return pd.arrays.IntegerArray(amounts, amounts == MISSING)


def _owner(crm: Crm, subjects: pd.DataFrame, kind: str, row: Ints, as_of: Ints) -> pd.Series:
    """(m,) the owner at that time."""
    if "owner_id" not in subjects:
        return pd.Series(pd.NA, index=range(len(row)), dtype="string")
    today = subjects["owner_id"].astype(object).where(subjects["owner_id"].notna(), None).to_numpy(object)
    return pd.Series(
        _as_stood(crm, subjects, kind, "owner_id", today, row, as_of, ""), dtype="string"
    ).replace("", pd.NA)


def _as_stood(
    crm: Crm, subjects: pd.DataFrame, kind: str, column: str, today: np.ndarray, row: Ints, as_of: Ints,
    unknown: object
) -> np.ndarray:  # fmt: skip
    if not len(row) or as_of.max() == MISSING:
        return today[row]
    table = SUBJECTS[kind]
    begins = _moment(subjects, BEGINS[table])
    return Stood(crm, table, column, subjects[KEYS[table]], today, begins).at(row, as_of, unknown)


LATEST_DAYS = RENEWAL_LEADS[0]
"""Days past the end of the data that a moment may lie: beyond the longest run-up, all of it is unknown."""


def impossible(crm: Crm, kind: str, snapshots: pd.DataFrame) -> pd.Series:
    """(n,) why each snapshot is no question to ask, None where it is one: index as `snapshots`.

    A contract is judged from its start on, a deal from its creation on, up to when it was decided, and a
    contract up to the end known then. What has no such dates is not refused for them.

    Args:
        crm: the CRM.
        kind: `renewal` or `win`.
        snapshots: of `features.snapshots.snapshots_for`.
    """
    dates = spans(crm, kind).reindex(pd.Index(snapshots["subject_id"].astype("string")))
    begun, decided = dates["begun"].set_axis(snapshots.index), dates["decided"].set_axis(snapshots.index)
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
    reasons = pd.Series([None] * len(snapshots), index=snapshots.index, dtype=object)
    for broken, words, moment in reversed(rules):
        days = [each.map(_day).astype(object) for each in (as_of, moment)]  # of no rows a map keeps the dates
        reason = "as_of " + days[0] + f" is {words} (" + days[1] + ")"
        reasons = reasons.mask(broken, reason)
    return reasons.where(reasons.notna(), None)


def _day(moment: pd.Timestamp) -> str:
    if pd.isna(moment):
        return ""
    return str(moment.date()) if moment == moment.normalize() else str(moment)[:16]
