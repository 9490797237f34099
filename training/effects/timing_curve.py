"""One group's timing curve as numbers: what contracts gain from a window over what a team usually does.

'Usual' is what was seen of contracts that were still uncontacted at the same moment: each later window, or
none, as often as it was chosen. A gain is the difference of two estimates from the same data; its interval
is 95 % for all windows the advice might have picked (Bonferroni), since it picks the one that looks best.

Contracts that come due for renewal: their group, whether they were contacted already, what is planned.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from features.crm.crm import Crm
from features.errors import RenewalError
from features.kernel import DAY, MISSING
from features.owners import owners_of
from training.effects.answer import ALL, NO_GROUP, Answer, attribute
from training.effects.contacts import (
    FOREVER,
    HUMAN_WORDS,
    answered_mails,
    first_contacts,
    human_contacts,
    last_contacts,
    micros,
)
from training.effects.inference import Errors, set_of_best
from training.effects.timing_trial import BUCKETS
from training.effects.trial_arrays import NONE

LEADS = {name: (low, high) for name, low, high in BUCKETS}


@dataclass(frozen=True)
class Gain:
    """One bucket against a plan: probabilities under both, and their difference with its 95 % interval."""

    window: str
    estimate: float
    usual: float
    gain: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """The estimated buckets of one group: estimates (m,), covariance (m, m), how often each was chosen (m,).

    `alike` are the buckets not distinguishable from the best, `best` None where none stands out; `baseline`
    (k,) is the spread of the group's likelihoods under what is usual, `between` by how much groups differ (a
    standard deviation), `families` how many groups are tested at once.
    """

    group: str
    buckets: tuple[str, ...]
    estimate: np.ndarray
    covariance: np.ndarray
    chosen: np.ndarray
    alike: tuple[str, ...]
    best: str | None
    baseline: np.ndarray
    between: float = 0.0
    families: int = 1

    def advise(self, lead_days: float, planned: str | None = None) -> Gain | None:
        """The best window still open `lead_days` before the end, over the present plan.

        None where fewer than two windows are estimated, or the planned one is not.
        """
        usual = self.usual(lead_days, planned)
        if usual is None:
            return None
        still = self.still_open(lead_days)
        return self.over(usual, self.buckets[int(np.argmax(np.where(still, self.estimate, -np.inf)))])

    def still_open(self, lead_days: float | None) -> np.ndarray:
        """(m,) bool: the buckets that can still be chosen so many days before the end; None: all."""
        if lead_days is None:
            return np.ones(len(self.buckets), dtype=bool)
        return np.array([b == NONE or LEADS[b][0] <= lead_days for b in self.buckets])

    def may_be_best(self, lead_days: float | None) -> tuple[str, ...]:
        """The buckets still open that are not distinguishable from the best of them; all: none stands out.

        While every window is open that is the very set shown as `indistinguishable`.
        """
        still = self.still_open(lead_days)
        if still.all():
            return self.buckets if self.best is None else tuple(b for b in self.buckets if b in self.alike)
        errors = Errors(self.covariance[np.ix_(still, still)], None)
        stays = set_of_best(self.estimate[still], errors, 0, self.families)
        return tuple(b for b, stay in zip(np.array(self.buckets)[still].tolist(), stays, strict=True) if stay)

    def usual(self, lead_days: float | None = None, planned: str | None = None) -> np.ndarray | None:
        """(m,) the present plan as shares of the buckets.

        Args:
            lead_days: days to the end, for windows before it.
            planned: the bucket already planned. Default: what is usually done from here.
        """
        still = self.still_open(lead_days)
        if still.sum() < 2 or planned not in (None, *self.buckets):
            return None
        if planned is not None:
            return np.array([float(b == planned) for b in self.buckets])
        usual = np.where(still, np.maximum(self.chosen, 0), 0.0)
        return usual / usual.sum() if usual.sum() else still / still.sum()

    def over(self, usual: np.ndarray, bucket: str) -> Gain:
        """What one of the buckets gains over a plan."""
        pick = self.buckets.index(bucket)
        gain, spread = self.total(np.eye(len(self.buckets))[pick] - usual)
        half = self.critical() * spread
        estimate = float(self.estimate[pick])
        low, high = max(gain - half, -1.0), min(gain + half, 1.0)
        return Gain(bucket, estimate, float(usual @ self.estimate), gain, low, high)

    def total(self, weight: np.ndarray) -> tuple[float, float]:
        """A weighted sum of the estimates and its standard error."""
        return float(weight @ self.estimate), float(np.sqrt(max(weight @ self.covariance @ weight, 0.0)))

    def critical(self) -> float:
        """Standard errors to either side that hold for every pick among the buckets."""
        return float(stats.norm.isf(0.025 / max(len(self.buckets) - 1, 1)))


def curves(answer: Answer) -> dict[str, Curve]:
    """Group → curve, for `all` and each group with estimates of at least two buckets."""
    curve_by_group = {}
    families = max(len(answer["covariance"]) - 1, 1)
    for group, matrix in answer["covariance"].items():
        rows = {row["bucket"]: row for row in answer["rows"] if row["group"] == group and row["overlap_ok"]}
        buckets = [b for b in matrix["buckets"] if b in rows]
        keep = [matrix["buckets"].index(b) for b in buckets]
        if len(buckets) < 2:
            continue
        estimate = np.array([rows[b]["estimate"] for b in buckets])
        chosen = np.array([rows[b]["n"] for b in buckets], dtype=float)
        baseline = answer.get("baseline", {}).get(group) or [_mean(estimate, chosen)]
        curve_by_group[group] = Curve(
            group,
            tuple(buckets),
            estimate,
            np.array(matrix["matrix"])[np.ix_(keep, keep)],
            chosen,
            tuple(answer["indistinguishable"][group]),
            answer["best"][group],
            np.array(baseline),
            answer.get("between") or 0.0,
            1 if group == ALL else families,
        )
    return curve_by_group


def _mean(estimate: np.ndarray, chosen: np.ndarray) -> float:
    return float(np.average(estimate, weights=chosen) if chosen.sum() else estimate.mean())


RUNUP_DAYS = 180
HELD = ("accounts", "contracts")
"""Where an attribute of a contract may stand."""

USED = "industry"
"""The attribute used unless another is asked for."""


def coming(
    crm: Crm, snapshots: pd.DataFrame, by: str | None = None, words: frozenset[str] = HUMAN_WORDS
) -> pd.DataFrame:
    """One row a contract, in the order of `snapshots`.

    Args:
        crm: the CRM as it stands.
        snapshots: as `features.snapshots.to_score` gives them, each seen at its `as_of`.
        by: the attribute that names the group.
        words: the kinds of activity that count as contact.

    Returns:
        contract_id, account_id, account_name, owner_id, region, group, ends_at, days_to_end, amount (units),
        contacted_at (the first human contact of the run-up, NaT: none yet), mail_answered_at (when the
        customer last wrote or answered a mail in it), planned_at (the next contact planned) and planned (its
        window). What was planned on an earlier day than that of the data is not known.
    """
    rows = snapshots.reset_index(drop=True)
    now, end = micros(rows["as_of"].fillna(crm.until)), micros(rows["ends_at"])
    start = np.where(end == MISSING, now, end - RUNUP_DAYS * DAY)
    contacts = human_contacts(crm, words)
    run_up = rows[["contract_id", "account_id"]].assign(entry=start, stop=now)
    answered = last_contacts(run_up, answered_mails(crm)).astype("datetime64[us]")
    met = _first(rows, contacts, start, now)
    is_today = (now >= micros(pd.Series([crm.until]))[0]) & (end != MISSING)
    planned = _first(rows, contacts, now, np.where(is_today, end + DAY, now))
    windows = [window_on(end_at, at) for end_at, at in zip(rows["ends_at"], planned, strict=True)]
    accounts = _of_accounts(crm, rows["account_id"])
    return pd.DataFrame(
        {
            "contract_id": rows["contract_id"],
            "account_id": rows["account_id"],
            "account_name": accounts["name"],
            "owner_id": owners_of(crm, "renewal", rows["contract_id"]),
            "region": accounts["region"],
            "group": None if by is None else attribute(crm, by, rows),
            "ends_at": rows["ends_at"],
            "days_to_end": rows["lead_days"].astype(float),
            "amount": rows["amount"].astype("Float64").astype(float) / 100,
            "contacted_at": met,
            "mail_answered_at": answered,
            "planned_at": planned,
            "planned": pd.Series(windows, index=rows.index, dtype=object),
        }
    )


def usable(crm: Crm, by: str | None) -> str | None:
    """The attribute if contracts have it in this CRM; none where they lack the one used unless asked.

    Raises:
        RenewalError: another attribute was asked for, and there is none of that name.
    """
    table, _, column = (by or "").rpartition(".")
    if by is None or any(crm.has(place, column) for place in ([table] if table in HELD else HELD)):
        return by
    if by == USED:
        return None
    offered = sorted(
        {name for place in HELD for name in crm.tables.get(place, ()) if not name.endswith(NO_GROUP)}
    )
    raise RenewalError(
        expected="--by to name an attribute of accounts or contracts",
        found=repr(by),
        do=f"Choose one of: {', '.join(offered[:20])}, or none.",
    )


def window_on(end: Any, at: Any) -> str | None:
    """The window a moment falls into, by whole calendar days before the end."""
    if pd.isna(end) or pd.isna(at):
        return None
    days = (pd.Timestamp(end).normalize() - pd.Timestamp(at).normalize()).days
    return next((name for name, low, high in BUCKETS if low <= days <= high), None)


def _first(rows: pd.DataFrame, contacts: pd.DataFrame, entry: np.ndarray, stop: np.ndarray) -> pd.Series:
    """(n,) the first human contact within [entry, stop), NaT where there is none."""
    frame = rows[["contract_id", "account_id"]].assign(entry=entry, stop=stop)
    at = first_contacts(frame, contacts)[0]
    return pd.Series(np.where(at == FOREVER, MISSING, at).astype("datetime64[us]"), index=rows.index)


def _of_accounts(crm: Crm, wanted: pd.Series) -> pd.DataFrame:
    """(n,) `name` and `region` of accounts, None where the CRM has none."""
    columns = [name for name in ("name", "region") if crm.has("accounts", name)]
    rows = crm.frame("accounts", ["account_id", *columns]).drop_duplicates("account_id")
    matched = rows.set_index("account_id").reindex(wanted.to_numpy()).set_axis(wanted.index)
    return matched.reindex(columns=["name", "region"]).astype(object).where(lambda each: each.notna(), None)
