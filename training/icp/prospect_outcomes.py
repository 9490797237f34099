"""What was observed of prospects: one sample an outcome, and the user's weights of the outcomes.

Decided deals of new business: whose they were, when they began, whether they were won.

The discount of a deal (its last quote against list) or of a contract (its value against list).

What a deal cost: hours of talk and writing, and the attention of the weeks it stayed open.

Who renews without contact: doubly robust pseudo-outcomes of the trial's no-contact arm, never raw rates.

The uncentred influence values of P(renewed | never contacted) have, among any kind of customer, the mean that
these customers' true rate has; raw rates would not, for worried customers are called.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from features.catalog.contact import CALL_WORDS, MEETING_WORDS
from features.crm.crm import Crm
from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from features.snapshots import win_horizon_days
from training.effects.contacts import plain

DEFAULT_WEIGHTS = {"win": 0.4, "effort": 0.2, "discount": 0.1, "renews without contact": 0.3}
"""What counts how much by default: half for winning and what it costs, a third for staying uncalled."""
SIGN = {"win": 1.0, "effort": -1.0, "discount": -1.0, "renews without contact": 1.0}
UNITS = {
    "win": "share won",
    "effort": "hours a deal",
    "discount": "share of list",
    "renews without contact": "share",
}


@dataclass(frozen=True)
class Sample:
    """One outcome as observed on n deals or contracts.

    Attributes:
        name: one of `DEFAULT_WEIGHTS`.
        row: (n,) the row of the prospects' frame each belongs to.
        account: (n,) account codes; what is counted and drawn as one.
        at: (n,) datetime64[us], when the deal or contract is placed in time; NaT where undated.
        value: (n,) the outcome in its unit, no NaN.
    """

    name: str
    row: np.ndarray
    account: np.ndarray
    at: np.ndarray
    value: np.ndarray

    def __len__(self) -> int:
        return len(self.value)

    @property
    def sign(self) -> float:
        """+1 where more is better, −1 where less is."""
        return SIGN[self.name]

    def take(self, keep: np.ndarray) -> "Sample":
        """Some of its rows."""
        return replace(
            self, row=self.row[keep], account=self.account[keep], at=self.at[keep], value=self.value[keep]
        )


@dataclass(frozen=True)
class Periods:
    """The samples of the earlier period, in which rules are found, and of the later, in which they are
    judged.

    Attributes:
        earlier, later: the same outcomes in the same order.
        cuts: the first moment of the later period by outcome; empty where undated data were halved by
        account.
    """

    earlier: list[Sample]
    later: list[Sample]
    cuts: dict[str, pd.Timestamp]


def split(samples: list[Sample], seed: int = 0) -> Periods:
    """Cut each outcome at the moment that halves it; undated data: halves by account.

    Deals and contracts live on different calendars (a win comes before the renewals it leads to), so one cut
    for all would leave one of them without a later half.
    """
    if any(np.isnat(s.at).mean() > 0.5 for s in samples):
        codes = np.unique(np.concatenate([s.account for s in samples]))
        first = np.random.default_rng(seed).permutation(codes)[: len(codes) // 2]
        parts = [np.isin(s.account, first) for s in samples]
        return Periods(
            [s.take(p) for s, p in zip(samples, parts, strict=True)],
            [s.take(~p) for s, p in zip(samples, parts, strict=True)],
            {},
        )
    cuts = {s.name: _middle(s.at) for s in samples}
    return Periods(
        [s.take(s.at < cuts[s.name]) for s in samples],
        [s.take(s.at >= cuts[s.name]) for s in samples],
        {name: pd.Timestamp(cut) for name, cut in cuts.items()},
    )


def _middle(at: np.ndarray) -> np.datetime64:
    ordered = np.sort(at[~np.isnat(at)])
    return ordered[len(ordered) // 2]


def checked_weights(weights: Mapping[str, float] | None) -> dict[str, float]:
    """The user's weights over the defaults, summing to 1.

    Raises:
        RenewalError: an unknown outcome, a negative weight, or none above 0.
    """
    complete = {**DEFAULT_WEIGHTS, **(weights or {})}
    unknown = set(complete) - set(DEFAULT_WEIGHTS)
    if unknown or min(complete.values()) < 0 or sum(complete.values()) <= 0:
        raise RenewalError(
            expected=f"weights of {', '.join(DEFAULT_WEIGHTS)}, none below 0 and one above",
            found=", ".join(f"{name}={value:g}" for name, value in complete.items()),
            do="Change the weights.",
        )
    total = sum(complete.values())
    return {name: value / total for name, value in complete.items()}


NEW_WORDS = frozenset(
    {"new", "new business", "new logo", "new customer", "new deal", "newbusiness", "acquisition"}
)
COLUMNS = (
    "opportunity_id",
    "account_id",
    "created_at",
    "closed_at",
    "is_won",
    "amount",
    "kind",
    "lead_source",
)


def decided_deals(crm: Crm) -> tuple[pd.DataFrame, list[str]]:
    """Decided deals of kind new where kinds are given, and what to say of those left out.

    Of dated deals only those are taken that began a horizon before the end of the data: of younger ones the
    quickly decided alone would be seen.

    Returns:
        A frame with all of `COLUMNS`; `amount` in units, `won` 0.0 or 1.0.
    """
    if not crm.has("opportunities", "is_won"):
        return _empty(), ["there are no decided deals: wins, effort and discount are left out"]
    rows = crm.frame("opportunities", [c for c in COLUMNS if crm.has("opportunities", c)])
    for column in COLUMNS:
        if column not in rows:
            moment = column.endswith("_at")
            rows[column] = pd.Series(pd.NaT if moment else pd.NA, index=rows.index)
            if moment:
                rows[column] = rows[column].astype("datetime64[us]")
    notes = []
    rows, note = _new_business(rows)
    notes += note
    rows = rows[rows["is_won"].notna()]
    if crm.dated("win"):
        horizon = win_horizon_days(crm)
        old = rows["created_at"] <= crm.until - pd.Timedelta(days=horizon)
        notes.append(
            f"{int(old.sum()):,} deals began {horizon} days or more before the data end and are decided"
        )
        rows = rows[old.to_numpy(bool)]
    amount = rows["amount"].astype("Int64").astype("Float64").to_numpy(float, na_value=np.nan) / 100
    rows = rows.assign(amount=amount, won=rows["is_won"].astype(float))
    return rows.reset_index(drop=True), notes


def _new_business(rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    kinds = plain(rows["kind"])
    is_new = kinds.isin(NEW_WORDS)
    if is_new.any():
        return rows[is_new.to_numpy(bool)], []
    renewals = kinds.str.contains("renew").to_numpy(bool)
    if renewals.any() and not renewals.all():
        return rows[~renewals], ["no deal is of kind new: all but renewals are taken"]
    return rows, []


def _empty() -> pd.DataFrame:
    empty = pd.DataFrame({column: pd.Series(dtype=object) for column in COLUMNS})
    for column in ("created_at", "closed_at"):
        empty[column] = empty[column].astype("datetime64[us]")
    return empty.assign(won=pd.Series(dtype=float), amount=pd.Series(dtype=float))


def deal_discounts(crm: Crm, deals: pd.DataFrame) -> np.ndarray:
    """(n,) share of list given away in the last quote of each deal, NaN where none was made."""
    nothing = np.full(len(deals), np.nan)
    if not crm.has("quotes", "list_amount", "net_amount"):
        return nothing
    linked = crm.has("quotes", "opportunity_id")
    if not linked and not crm.has("quotes", "account_id"):
        return nothing
    key = "opportunity_id" if linked else "account_id"
    quotes = crm.frame("quotes", [key, "quoted_at", "list_amount", "net_amount"]).dropna()
    quotes = quotes[quotes["list_amount"] > 0].rename(columns={key: "key"})
    rows = pd.DataFrame(
        {
            "deal": np.arange(len(deals)),
            "key": deals[key].to_numpy(),
            "from": deals["created_at"].to_numpy(),
            "to": deals["closed_at"].to_numpy(),
        }
    )
    met = rows.dropna(subset="key").merge(quotes, on="key")
    if not linked:
        met = met[(met["quoted_at"] >= met["from"]) & (met["quoted_at"] <= met["to"])]
    last = met.sort_values("quoted_at", kind="stable").drop_duplicates("deal", keep="last").set_index("deal")
    share = 1 - last["net_amount"].astype(float) / last["list_amount"].astype(float)
    return np.clip(share.reindex(range(len(deals))).to_numpy(float), 0, 1)


def contract_discounts(crm: Crm) -> pd.DataFrame:
    """Contracts with account_id, start (`at`) and `value`, the share of list given away; may be empty."""
    if not crm.has("contracts", "annual_value", "list_value"):
        return pd.DataFrame(columns=["account_id", "at", "value"])
    columns = ["account_id", "annual_value", "list_value"]
    rows = crm.frame("contracts", columns + ["start_date"] * crm.has("contracts", "start_date"))
    rows = rows.dropna(subset=columns)
    rows = rows[rows["list_value"] > 0]
    share = 1 - rows["annual_value"].astype(float) / rows["list_value"].astype(float)
    at = rows["start_date"] if "start_date" in rows else pd.Series(pd.NaT, index=rows.index)
    return pd.DataFrame({"account_id": rows["account_id"], "at": at, "value": np.clip(share, 0, 1)})


TALK_HOURS = {"call": 0.25, "meeting": 1.0, "other": 0.0}
"""Length of a contact where it is not recorded: a call, a meeting, a mail or anything else."""
HOURS_AROUND = {"call": 0.15, "meeting": 0.5, "other": 0.1}
"""What a contact costs besides the talk: preparing, reaching somebody, writing it down."""
HOURS_A_WEEK_OPEN = 0.1
"""A deal that stays open is looked at: six minutes a week."""


def deal_hours(crm: Crm, deals: pd.DataFrame) -> tuple[np.ndarray, str]:
    """(n,) hours spent on each deal, NaN where not known, and how they were counted.

    Args:
        crm: the CRM.
        deals: opportunity_id, account_id, created_at and closed_at of decided deals.
    """
    open_days = (deals["closed_at"] - deals["created_at"]).dt.total_seconds().to_numpy() / 86_400
    weeks = HOURS_A_WEEK_OPEN * np.maximum(open_days, 0) / 7
    if not crm.has("activities"):
        return weeks, "effort counts days open only: there are no activities"
    activities = _contacts(crm)
    hours = _by_deal(deals, activities) if "opportunity_id" in activities else _by_account(deals, activities)
    around = ", ".join(f"{hours_each:g} h around each {what}" for what, hours_each in HOURS_AROUND.items())
    words = f"effort counts talk, {around} contact, and {HOURS_A_WEEK_OPEN:g} h for each week open"
    return hours + np.nan_to_num(weeks), words


def _contacts(crm: Crm) -> pd.DataFrame:
    """Every activity with its hours; `opportunity_id` only where activities are linked to deals."""
    wanted = ("account_id", "opportunity_id", "occurred_at", "kind", "duration_seconds")
    activities = crm.frame("activities", [c for c in wanted if crm.has("activities", c)])
    kinds = plain(activities["kind"])
    what = np.select([kinds.isin(CALL_WORDS), kinds.isin(MEETING_WORDS)], ["call", "meeting"], "other")
    default = pd.Series(what).map(TALK_HOURS).to_numpy(float)
    duration = np.full(len(activities), np.nan)
    if "duration_seconds" in activities:
        duration = activities["duration_seconds"].astype("Float64").to_numpy(float, na_value=np.nan) / 3600
    talk = np.where(np.isfinite(duration), duration, default)
    activities["hours"] = talk + pd.Series(what).map(HOURS_AROUND).to_numpy(float)
    if "opportunity_id" in activities and not activities["opportunity_id"].notna().any():
        activities = activities.drop(columns="opportunity_id")
    return activities


def _by_deal(deals: pd.DataFrame, activities: pd.DataFrame) -> np.ndarray:
    spent = activities.groupby("opportunity_id")["hours"].sum()
    return deals["opportunity_id"].map(spent).fillna(0.0).to_numpy(float)


def _by_account(deals: pd.DataFrame, activities: pd.DataFrame) -> np.ndarray:
    """Activities of the account while the deal was open."""
    rows = deals.assign(deal=np.arange(len(deals)))[["deal", "account_id", "created_at", "closed_at"]]
    met = rows.merge(activities[["account_id", "occurred_at", "hours"]], on="account_id")
    during = (met["occurred_at"] >= met["created_at"]) & (met["occurred_at"] <= met["closed_at"])
    spent = met[during].groupby("deal")["hours"].sum()
    return spent.reindex(range(len(deals)), fill_value=0.0).to_numpy(float)


NOTE = "renewing without contact is left out"


def alone(crm: Crm, settings: Settings, say: Say = silent) -> tuple[pd.DataFrame | None, str]:
    """Contracts with account_id, `at` (their end) and `value` (the pseudo-outcome); None and why if
    unknown."""
    from training.effects.estimate import estimate_strategies
    from training.effects.targeting import reasons
    from training.effects.timing_trial import timing_trial

    try:
        trial = timing_trial(crm, settings, say)
    except RenewalError as error:
        return None, f"{NOTE}: expected {error.expected}; found {error.found}"
    strategies = estimate_strategies(trial.windows, trial.y, trial.cluster, seed=settings.seed, errors=False)
    why = reasons(strategies)[-1]
    if why:
        return None, f"{NOTE}: {why}"
    rows = pd.DataFrame(
        {
            "account_id": trial.contracts["account_id"].to_numpy(object),
            "at": trial.contracts["end"].to_numpy(np.int64).astype("datetime64[us]"),
            "value": strategies.contribution[:, -1],
        }
    )
    return (
        rows,
        f"renewing without contact is estimated from {int(strategies.n[-1]):,} contracts nobody contacted",
    )
