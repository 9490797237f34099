"""Whom an experiment takes in, what became of them, and who was treated as advised.

Who joins is decided by dates alone and not by anything the arms can change. At the start the contracts join
whose window is yet to open and whose run-up holds no contact; later those that enter their run-up, and deals
as they are created. When an outcome counts is fixed on joining, whichever way it goes: 45 days after the
contract's end as known then, or when the deal's horizon has passed. Else early renewals would count first.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.arrays import OUTCOME_DAYS
from features.crm.crm import Crm
from features.errors import RenewalError
from features.kernel import DAY
from features.snapshots import snapshots_for, to_score, win_horizon_days
from training.effects.contacts import first_contacts, human_contacts, micros, plain
from training.effects.deal_questions import (
    CALL_EDGES,
    CALLS,
    DISCOUNT_EDGES,
    DISCOUNTS,
    calls_made,
    calls_within,
    quotes_of,
)
from training.effects.timing_curve import LEADS, RUNUP_DAYS, coming, window_on

TIMING, CALLS_QUESTION, DISCOUNT, PLAYBOOK, SCORES = QUESTIONS = (
    "timing",
    "calls",
    "discount",
    "playbook",
    "scores",
)
KINDS = {TIMING: "renewal", CALLS_QUESTION: "win", DISCOUNT: "win", PLAYBOOK: "renewal", SCORES: "renewal"}
CHOICES = {TIMING: tuple(LEADS), CALLS_QUESTION: CALLS, DISCOUNT: DISCOUNTS}
OLD_DAYS = 3
"""Deals created so shortly before the start join too."""


@dataclass(frozen=True)
class Question:
    """What is tried (`timing`, `calls`, `discount`, `playbook`, `scores`), and the choice that is advised."""

    name: str
    choice: str | None

    def __post_init__(self) -> None:
        """Raises RenewalError where there is no such question or choice."""
        if self.name not in QUESTIONS:
            raise RenewalError(
                expected=f"an experiment about {', '.join(QUESTIONS)}",
                found=repr(self.name),
                do="Choose one.",
            )
        choices = CHOICES.get(self.name)
        if choices is not None and self.choice not in choices:
            raise RenewalError(
                expected=f"--advice to be one of {', '.join(choices)}",
                found=repr(self.choice),
                do="Name what the accounts drawn for the advice are to get.",
            )

    @property
    def kind(self) -> str:
        """The outcome: `renewal` or `win`."""
        return KINDS[self.name]

    @property
    def words(self) -> str:
        """What is advised, in words."""
        if self.name == TIMING:
            low, high = LEADS[str(self.choice)]
            return f"first contact {low} to {high} days before the end"
        if self.name == CALLS_QUESTION:
            return f"{self.choice} calls in a deal's first 30 days"
        if self.name == DISCOUNT:
            return f"a discount of {self.choice} per cent at the first quote"
        return f"the playbook {self.choice}" if self.name == PLAYBOOK else "scores are shown"


def joining(
    crm: Crm, question: Question, started_at: pd.Timestamp, *, first: bool, already: Collection[str] = ()
) -> pd.DataFrame:
    """Who joins now.

    Args:
        crm: as it stands.
        question: what is tried.
        started_at: when the experiment began (the day of the data then).
        first: whether this is the start.
        already: subjects taken in before.

    Returns:
        subject_id, account_id, matures_at.
    """
    rows = _deals(crm, started_at) if question.kind == "win" else _contracts(crm, question, started_at, first)
    rows = rows[rows["account_id"].notna() & ~rows["subject_id"].isin(list(already))]
    return rows.sort_values("subject_id", ignore_index=True)


def _contracts(crm: Crm, question: Question, started_at: pd.Timestamp, first: bool) -> pd.DataFrame:
    rows = to_score(crm, "renewal")
    if first:
        least = LEADS[str(question.choice)][1] if question.name == TIMING else 0
        keep = (rows["lead_days"] >= least).to_numpy(bool)
        if question.name == TIMING:
            keep = keep & _uncontacted(crm, rows)
    else:
        keep = (rows["ends_at"] > started_at + pd.Timedelta(days=RUNUP_DAYS)).to_numpy(bool)
    rows = rows[keep]
    ripe = rows["ends_at"] + pd.Timedelta(days=OUTCOME_DAYS)
    return pd.DataFrame(
        {
            "subject_id": rows["subject_id"].astype(str),
            "account_id": rows["account_id"],
            "matures_at": ripe,
        }
    )


def _uncontacted(crm: Crm, rows: pd.DataFrame) -> np.ndarray:
    try:
        return coming(crm, rows)["contacted_at"].isna().to_numpy(bool)
    except RenewalError:  # no calls or meetings on record
        return np.ones(len(rows), dtype=bool)


def _deals(crm: Crm, started_at: pd.Timestamp) -> pd.DataFrame:
    crm.need("win")
    columns = [
        c for c in ("opportunity_id", "account_id", "created_at", "kind") if crm.has("opportunities", c)
    ]
    deals = crm.frame("opportunities", columns)
    if "created_at" not in deals:
        raise RenewalError(
            expected="opportunities with created_at", found="none", do="Map created_at of opportunities."
        )
    keep = deals["created_at"] >= started_at - pd.Timedelta(days=OLD_DAYS)
    if "kind" in deals:
        keep = keep & ~plain(deals["kind"]).str.contains("renew").to_numpy(bool)
    deals = deals[keep.to_numpy(bool)]
    ripe = deals["created_at"] + pd.Timedelta(days=win_horizon_days(crm))
    return pd.DataFrame(
        {
            "subject_id": deals["opportunity_id"].astype(str),
            "account_id": deals["account_id"],
            "matures_at": ripe,
        }
    )


def results(
    crm: Crm, question: Question, joined: pd.DataFrame, acted: Collection[str], arms: Mapping[str, str]
) -> pd.DataFrame:
    """What became of those who joined.

    Args:
        crm: as it stands.
        question: what is tried.
        joined: subject_id, account_id, matures_at, joined_at.
        acted: accounts for which the playbook was followed.
        arms: account → arm; for scores, who was shown any.

    Returns:
        `joined` with `y` (NaN: not known, or its time has not come), `known_at` and `treated`.
    """
    label, known_at = (_renewed if question.kind == "renewal" else _won)(crm, joined)
    ripe = known_at.notna() & (known_at <= crm.until) & label.notna()
    treated = _treated(crm, question, joined, acted, arms)
    return joined.assign(y=label.where(ripe), known_at=known_at, treated=treated.astype(float))


def _renewed(crm: Crm, joined: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """(n,) 1, 0 or NaN, and the moment from which that counts."""
    rows = snapshots_for(
        crm, "renewal", _keyed(joined, "contract_id").assign(as_of=joined["joined_at"].to_numpy())
    )
    label = rows["label"].astype(float).set_axis(joined.index)
    if not crm.has("contracts", "decided_at"):
        return label, joined["matures_at"]
    subjects = crm.frame("contracts", ["contract_id", "decided_at"]).drop_duplicates("contract_id")
    decided = joined["subject_id"].map(subjects.set_index("contract_id")["decided_at"])
    return label, joined["matures_at"].where(~(decided > joined["matures_at"]), decided)


def _won(crm: Crm, joined: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    crm.need("win")
    columns = ("opportunity_id", "is_won", "closed_at")
    subjects = crm.frame("opportunities", [c for c in columns if crm.has("opportunities", c)])
    subjects = (
        subjects.drop_duplicates("opportunity_id").set_index("opportunity_id").reindex(joined["subject_id"])
    )
    won = subjects["is_won"].fillna(False).to_numpy(bool).copy()
    if "closed_at" in subjects:
        closed = subjects["closed_at"].to_numpy("datetime64[us]")
        won &= ~(closed > joined["matures_at"].to_numpy("datetime64[us]"))
    return pd.Series(won.astype(float), index=joined.index), joined["matures_at"]


def _keyed(joined: pd.DataFrame, key: str) -> pd.DataFrame:
    return joined[["subject_id"]].rename(columns={"subject_id": key})


def _treated(
    crm: Crm, question: Question, joined: pd.DataFrame, acted: Collection[str], arms: Mapping[str, str]
) -> np.ndarray:
    """(n,) bool: who was treated as advised, whatever was drawn."""
    if question.name == PLAYBOOK:
        return joined["account_id"].isin(list(acted)).to_numpy(bool)
    if question.name == SCORES:
        return (joined["account_id"].map(arms) == "advice").to_numpy(bool)
    if question.name == TIMING:
        return _contacted_in(crm, joined, str(question.choice))
    if question.name == CALLS_QUESTION:
        deals = _keyed(joined, "opportunity_id").assign(
            account_id=joined["account_id"].to_numpy(), created=_created(crm, joined)
        )
        calls, key = calls_made(crm, deals, [])
        arm = np.searchsorted(CALL_EDGES, calls_within(deals, calls, key), side="right")
        return arm == CALLS.index(str(question.choice))
    return _discounted(crm, joined, str(question.choice))


def _contacted_in(crm: Crm, joined: pd.DataFrame, window: str) -> np.ndarray:
    """First contact of the run-up in the window, by the end as known on joining, and made by us."""
    end = micros(joined["matures_at"]) - OUTCOME_DAYS * DAY
    frame = _keyed(joined, "contract_id").assign(
        account_id=joined["account_id"].to_numpy(), entry=end - RUNUP_DAYS * DAY, stop=end + DAY
    )
    any_at, out_at = first_contacts(frame, human_contacts(crm))
    ends, at = end.astype("datetime64[us]"), out_at.astype("datetime64[us]")
    first = any_at == out_at
    return np.array(
        [bool(f) and _in(window, e, o) for f, e, o in zip(first, ends, at, strict=True)], dtype=bool
    )


def _in(window: str, end: np.datetime64, at: np.datetime64) -> bool:
    latest = end + np.timedelta64(1, "D")
    return bool(at <= latest) and window_on(pd.Timestamp(end), pd.Timestamp(at)) == window


def _created(crm: Crm, joined: pd.DataFrame) -> np.ndarray:
    subjects = crm.frame("opportunities", ["opportunity_id", "created_at"]).drop_duplicates("opportunity_id")
    return micros(joined["subject_id"].map(subjects.set_index("opportunity_id")["created_at"]))


def _discounted(crm: Crm, joined: pd.DataFrame, band: str) -> np.ndarray:
    """Whose first quote gave a discount of that band."""
    quotes = quotes_of(crm).dropna(subset="opportunity_id").sort_values(["at", "quote_id"])
    first = quotes.drop_duplicates("opportunity_id").set_index("opportunity_id")["discount_pct"]
    given = joined["subject_id"].map(first).to_numpy(float)
    place = np.searchsorted(DISCOUNT_EDGES, np.round(given, 6), side="right")
    return np.isfinite(given) & (place == DISCOUNTS.index(band))
