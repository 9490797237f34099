"""Human contacts of contracts: which calls and meetings count, whose they are, and who made them.

A call or meeting counts whether or not it reached anybody: making it is what a team decides. It belongs to
the contract it is linked to, itself or through its opportunity; without such a link to every contract of
the account. One that is linked to another contract, or to a new or expansion deal, is about something else.
It is inbound only if it says so.
"""

import numpy as np
import pandas as pd

from features.catalog.contact import CALL_WORDS, EMAIL_WORDS, INBOUND_WORDS, MEETING_WORDS
from features.crm.crm import Crm
from features.errors import RenewalError
from features.kernel import MISSING, Ints
from features.settings import Settings

HUMAN_WORDS = CALL_WORDS | MEETING_WORDS
FOREVER = np.iinfo(np.int64).max


ANSWERED_WORDS = frozenset({"replied", "reply", "answered", "responded", "response", "reply received"})
"""Outcomes that say of a mail of ours that it was answered."""


def contact_words(settings: Settings) -> frozenset[str]:
    """The kinds of activity that count as human contact: calls and meetings, mails if the settings say so."""
    return HUMAN_WORDS | EMAIL_WORDS if settings.email_is_contact else HUMAN_WORDS


def counts_as_contact(words: frozenset[str]) -> str:
    """What counts as a contact, in words."""
    if words >= EMAIL_WORDS:
        return "a contact is a call, a meeting or an e-mail, whether or not it reached anybody"
    return (
        "a contact is a call or a meeting, whether or not it reached anybody; e-mails count only with "
        "PERENNIAL_EMAIL_IS_CONTACT=true, but one that was answered in the run-up is shown"
    )


def plain(words: pd.Series) -> pd.Series:
    """Category values as filters compare them: lower case, single spaces, no dashes or underscores."""
    text = words.astype("string").str.lower().str.replace(r"[_\-\s]+", " ", regex=True).str.strip()
    return text.fillna("")


def micros(moments: pd.Series) -> Ints:
    """(n,) microseconds since 1970, `MISSING` where there is no moment."""
    return moments.to_numpy("datetime64[us]").astype(np.int64)


def human_contacts(crm: Crm, words: frozenset[str] = HUMAN_WORDS) -> pd.DataFrame:
    """Every call and meeting: contract_id (NA: any contract of the account), account_id, at (µs), outbound.

    `words`: the kinds of activity that count instead, see `contact_words`.

    Raises:
        RenewalError: there are no activities, or no calls or meetings among them.
    """
    if not crm.has("activities"):
        raise RenewalError(
            expected="a table activities with calls and meetings",
            found="none",
            do="Add activities (activity_id, account_id, occurred_at, kind) to the CRM data.",
        )
    wanted = ("account_id", "contract_id", "opportunity_id", "occurred_at", "kind", "direction")
    activities = crm.frame("activities", [c for c in wanted if crm.has("activities", c)])
    kinds = plain(activities["kind"])
    activities = activities[kinds.isin(words).to_numpy(bool)]
    if activities.empty:
        present = ", ".join(sorted(set(kinds[kinds != ""]))[:6]) or "none"
        raise RenewalError(
            expected="activities of kind call or meeting",
            found=f"kinds {present}",
            do="Map your kinds of human contact to call and meeting.",
        )
    activities = _linked(crm, activities)
    inbound = plain(activities["direction"]).isin(INBOUND_WORDS) if "direction" in activities else False
    return pd.DataFrame(
        {
            "contract_id": activities["contract_id"],
            "account_id": activities["account_id"],
            "at": micros(activities["occurred_at"]),
            "outbound": ~np.broadcast_to(np.asarray(inbound, dtype=bool), len(activities)),
        }
    )


def answered_mails(crm: Crm) -> pd.DataFrame:
    """Mails the customer wrote or answered, in the form of `human_contacts`; none where none are recorded."""
    nothing = pd.DataFrame(
        {"contract_id": [], "account_id": [], "at": np.array([], np.int64), "outbound": []}
    )
    is_given = [crm.has("activities", name) for name in ("direction", "outcome")]
    if not crm.has("activities") or not any(is_given):
        return nothing
    wanted = ("account_id", "contract_id", "opportunity_id", "occurred_at", "kind", "direction", "outcome")
    activities = crm.frame("activities", [c for c in wanted if crm.has("activities", c)])
    is_answer = np.zeros(len(activities), bool)
    for column, words in (("direction", INBOUND_WORDS), ("outcome", ANSWERED_WORDS)):
        if column in activities:
            is_answer |= plain(activities[column]).isin(words).to_numpy(bool)
    mails = activities[is_answer & plain(activities["kind"]).isin(EMAIL_WORDS).to_numpy(bool)]
    if mails.empty:
        return nothing
    mails = _linked(crm, mails)
    columns = mails[["contract_id", "account_id"]]
    return columns.assign(at=micros(mails["occurred_at"]), outbound=False)


def _linked(crm: Crm, activities: pd.DataFrame) -> pd.DataFrame:
    """Contacts with the contract they are about; those about another kind of deal left out."""
    activities = activities.reset_index(drop=True)
    if "contract_id" not in activities:
        activities["contract_id"] = pd.Series(pd.NA, index=activities.index, dtype="string")
    if "opportunity_id" not in activities or not crm.has("opportunities", "opportunity_id"):
        return activities
    columns = [c for c in ("opportunity_id", "contract_id", "kind") if crm.has("opportunities", c)]
    deals = crm.frame("opportunities", columns).drop_duplicates("opportunity_id").set_index("opportunity_id")
    if "contract_id" in deals:
        through = activities["opportunity_id"].map(deals["contract_id"]).astype("string")
        activities["contract_id"] = activities["contract_id"].fillna(through)
    if "kind" not in deals:
        return activities
    about = activities["opportunity_id"].map(plain(deals["kind"])).astype("string").fillna("")
    other = activities["contract_id"].isna() & about.ne("") & ~about.str.contains("renew")
    return activities[~other.to_numpy(bool)]


def logged_from(crm: Crm) -> int:
    """The first moment (µs) an activity was logged at.

    Raises:
        RenewalError: there are no dated activities.
    """
    if crm.has("activities"):
        moments = micros(crm.frame("activities", ["occurred_at"])["occurred_at"])
        if (moments != MISSING).any():
            return int(moments[moments != MISSING].min())
    raise RenewalError(
        expected="a table activities with calls",
        found="none with a date",
        do="Add activities (activity_id, account_id, occurred_at, kind) to the CRM data.",
    )


def first_contacts(contracts: pd.DataFrame, contacts: pd.DataFrame) -> tuple[Ints, Ints]:
    """When each contract's first human contact came, and its first outbound one, within [entry, stop).

    Args:
        contracts: contract_id, account_id, entry and stop (µs), one row each.
        contacts: as `human_contacts` gives them.

    Returns:
        Two (n,) arrays in µs, `FOREVER` where none came.
    """
    met, n = _met(contracts, contacts), len(contracts)
    return _earliest(met, n), _earliest(met[met["outbound"].to_numpy(bool)], n)


def last_contacts(contracts: pd.DataFrame, contacts: pd.DataFrame) -> Ints:
    """(n,) when each contract's last contact came within [entry, stop), `MISSING` where none came."""
    met = _met(contracts, contacts)
    latest = np.full(len(contracts), MISSING)
    np.maximum.at(latest, met["row"].to_numpy(np.int64), met["at"].to_numpy(np.int64))
    return latest


def _met(contracts: pd.DataFrame, contacts: pd.DataFrame) -> pd.DataFrame:
    """The contacts of each contract (`row` its position) within [entry, stop)."""
    numbered = contracts.assign(row=np.arange(len(contracts)))[
        ["contract_id", "account_id", "row", "entry", "stop"]
    ]
    named = contacts["contract_id"].notna().to_numpy(bool)
    by_contract = numbered.drop(columns="account_id").merge(
        contacts.loc[named, ["contract_id", "at", "outbound"]], on="contract_id"
    )
    by_account = (
        numbered.drop(columns="contract_id")
        .dropna(subset="account_id")
        .merge(contacts.loc[~named, ["account_id", "at", "outbound"]], on="account_id")
    )
    columns = ["row", "at", "outbound", "entry", "stop"]
    met = pd.concat([by_contract[columns], by_account[columns]])
    return met[(met["at"] >= met["entry"]) & (met["at"] < met["stop"])]


def _earliest(met: pd.DataFrame, n: int) -> Ints:
    earliest = np.full(n, FOREVER)
    np.minimum.at(earliest, met["row"].to_numpy(np.int64), met["at"].to_numpy(np.int64))
    return earliest
