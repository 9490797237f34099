"""Who may be on a targeting list: open leads, prospects and accounts of the CRM, or a file of companies.

The targeting list: candidates in the order of what they are worth for each hour of effort, as weighted.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.crm.crm import Crm
from features.errors import RenewalError
from training.icp.firmographics import COLUMNS as FIRMOGRAPHICS
from training.icp.firmographics import firmographics
from training.icp.fit_learning import SHARE_LISTED
from training.icp.fit_score import Fit, first_rules
from training.icp.grades import grades_of
from training.icp.prospects import LEAD_SOURCE, first_sources
from training.icp.rules import attribute_words

IDS = ("id", "account_id", "company_id", "lead_id", "domain", "name", "company")
NAMES = ("name", "company", "company_name", "account_name")
CUSTOMER = "account"
IDENTITY = ("id", "name", "kind", "account_id", *FIRMOGRAPHICS)
"""Who a row of the list is."""

OPTED_OUT = "all of its contacts opted out"
READERS = {".csv": "read_csv", ".parquet": "read_parquet", ".xlsx": "read_excel"}


@dataclass(frozen=True)
class Candidates:
    """Who may be listed.

    Attributes:
        who: id, name, kind (lead, prospect, account, company), account_id and what `firmographics` gives, one
            row each.
        frame: (n, attributes) what is known of them, same index.
        left_out: id, name, kind and why of those not to be contacted.
        notes: what a reader has to know.
    """

    who: pd.DataFrame
    frame: pd.DataFrame
    left_out: list[dict[str, Any]]
    notes: list[str]


def from_crm(crm: Crm, today: pd.DataFrame, attributes: tuple[str, ...]) -> Candidates:
    """Open leads, and accounts without one: customers as `account`, all others as `prospect`.

    Args:
        crm: the CRM.
        today: accounts' attributes as they stand today, indexed by account_id.
        attributes: those the score reads.
    """
    leads = _open_leads(crm)
    names = _names(crm, today.index)
    led = set(leads["account_id"].dropna())
    others = today.index[~today.index.isin(led)]
    customers = _customers(crm)
    accounts = pd.DataFrame(
        {
            "id": np.asarray(others, dtype=object),
            "kind": np.where(others.isin(customers), "account", "prospect"),
            "account_id": np.asarray(others, dtype=object),
        }
    )
    who = pd.concat([leads[["id", "kind", "account_id"]], accounts], ignore_index=True)
    who.insert(1, "name", who["account_id"].map(names).astype(object))
    frame = today.reindex(who["account_id"].to_numpy(object)).reset_index(drop=True)
    if LEAD_SOURCE in attributes:
        own_source = pd.concat(
            [leads["source"], pd.Series(None, index=accounts.index, dtype=object)], ignore_index=True
        )
        first = who["account_id"].map(first_sources(crm)).astype(object)
        source = own_source.where(own_source.notna(), first).astype(object)
        frame[LEAD_SOURCE] = source.where(source.notna(), None)
    who = who.join(firmographics(crm, who["account_id"]))
    return _without_opted_out(Candidates(who, frame, [], []), opted_out(crm))


def from_file(path: Path, crm: Crm, fit: Fit) -> Candidates:
    """Companies of a CSV, Parquet or Excel file with columns named like the attributes; further ones are
    ignored.

    Raises:
        RenewalError: no such file, not a table, or no column of it is an attribute.
    """
    table = _table(path)
    table.columns = [str(name).strip().lower().replace(" ", "_") for name in table.columns]
    table = table.loc[:, ~table.columns.duplicated()]
    shared = [name for name in fit.attributes if name in table]
    if not shared:
        raise RenewalError(
            expected=f"columns {', '.join(fit.attributes)} (some of them) in {path}",
            found=", ".join(table.columns[:12]),
            do="Name the columns like the attributes of accounts.",
        )
    ids = next((table[name] for name in IDS if name in table), pd.Series(np.arange(1, len(table) + 1)))
    name = next(
        (table[name] for name in NAMES if name in table), pd.Series(None, index=table.index, dtype=object)
    )
    account_id = table["account_id"] if "account_id" in table else _by_domain(crm, table)
    who = pd.DataFrame(
        {
            "id": ids.astype(object).to_numpy(),
            "name": name.astype(object).to_numpy(),
            "kind": "company",
            "account_id": account_id.astype(object).to_numpy(),
        }
    )
    who = who.join(firmographics(crm, who["account_id"], given=table))
    missing = [attribute for attribute in fit.attributes if attribute not in table]
    notes = [f"the file says nothing of {', '.join(missing)}: scored as not known"] if missing else []
    frame = fit.read(table)
    for attribute in shared:
        lost = int((table[attribute].notna() & frame[attribute].isna()).sum())
        notes += (
            [f"{attribute_words(attribute)} of {lost:,} can't be read: taken as not known"] if lost else []
        )
    return _without_opted_out(Candidates(who, frame, [], notes), opted_out(crm))


def _table(path: Path) -> pd.DataFrame:
    reader = READERS.get(path.suffix.lower())
    if reader is None or not path.is_file():
        raise RenewalError(
            expected=f"a file of companies ending in {', '.join(READERS)}",
            found=str(path) if reader is None else f"no file {path}",
            do="Give a table with a line for each company.",
        )
    try:
        table = getattr(pd, reader)(path)
    except (ValueError, UnicodeDecodeError, OSError) as error:
        raise RenewalError(
            expected=f"a table in {path}",
            found=str(error).splitlines()[0].removeprefix("Error tokenizing data. C error: "),
            do="Save it as CSV with a header.",
        ) from error
    return table.reset_index(drop=True)


def _by_domain(crm: Crm, table: pd.DataFrame) -> pd.Series:
    nothing = pd.Series(None, index=table.index, dtype=object)
    if "domain" not in table or not crm.has("accounts", "domain"):
        return nothing
    rows = crm.frame("accounts", ["account_id", "domain"]).dropna().drop_duplicates("domain")
    account_by_domain = pd.Series(rows["account_id"].to_numpy(object), index=rows["domain"].str.lower())
    return table["domain"].astype("string").str.strip().str.lower().map(account_by_domain).astype(object)


def _open_leads(crm: Crm) -> pd.DataFrame:
    columns = ["lead_id", "account_id", "source", "qualified_at", "disqualified_at", "opportunity_id"]
    if not crm.has("leads"):
        return pd.DataFrame(columns=["id", "kind", "account_id", "source"], dtype=object)
    leads = crm.frame("leads", [c for c in columns if crm.has("leads", c)])
    done = np.zeros(len(leads), bool)
    for column in ("qualified_at", "disqualified_at", "opportunity_id"):
        if column in leads:
            done |= leads[column].notna().to_numpy(bool)
    waiting = leads[~done].reset_index(drop=True)
    nothing = pd.Series(None, index=waiting.index, dtype=object)
    return pd.DataFrame(
        {
            "id": waiting["lead_id"].astype(object),
            "kind": "lead",
            "account_id": waiting.get("account_id", nothing).astype(object),
            "source": waiting.get("source", nothing).astype(object),
        }
    )


def _names(crm: Crm, index: pd.Index) -> pd.Series:
    if not crm.has("accounts", "name"):
        return pd.Series(None, index=index, dtype=object)
    rows = crm.frame("accounts", ["account_id", "name"])
    return pd.Series(rows["name"].to_numpy(object), index=rows["account_id"])


def _customers(crm: Crm) -> set[str]:
    customers: set[str] = set()
    if crm.has("contracts"):
        customers |= set(crm.frame("contracts", ["account_id"])["account_id"].dropna())
    if crm.has("opportunities", "is_won"):
        rows = crm.frame("opportunities", ["account_id", "is_won"])
        customers |= set(rows.loc[rows["is_won"].fillna(False).to_numpy(bool), "account_id"].dropna())
    return customers


def opted_out(crm: Crm) -> set[str]:
    """Accounts all of whose contacts opted out."""
    if not crm.has("contacts", "opted_out"):
        return set()
    rows = crm.frame("contacts", ["account_id", "opted_out"])
    out = rows["opted_out"].fillna(False).astype(bool).groupby(rows["account_id"]).all()
    return set(out[out].index)


def _without_opted_out(of: Candidates, silent: set[str]) -> Candidates:
    gone = of.who["account_id"].isin(silent).to_numpy(bool)
    if not gone.any():
        return of
    left_out: list[Any] = of.who.loc[gone, ["id", "name", "kind"]].assign(why=OPTED_OUT).to_dict("records")
    who, frame = of.who[~gone].reset_index(drop=True), of.frame[~gone].reset_index(drop=True)
    words = f"{int(gone.sum()):,} are left out: {OPTED_OUT}"
    return Candidates(who, frame, [*of.left_out, *left_out], [*of.notes, words])


MOST_REASONED = 20_000
"""Rows of a list that come with reasons: nobody reads further, and words cost more than numbers."""
FIGURES = (
    "expected_value", "expected_effort_hours", "value_per_hour", "win", "amount", "discount", "renewal",
)  # fmt: skip


def order_of(fit: Fit, may: Candidates) -> np.ndarray:
    """(n,) positions, prospects before customers, the best of each first; ties keep their order."""
    priority = fit.score(may.frame)["priority"].to_numpy()
    return np.lexsort((-priority, _is_customer(may)))


def _is_customer(may: Candidates) -> np.ndarray:
    return (may.who["kind"] == CUSTOMER).to_numpy(bool)


def listed_of(order: np.ndarray, may: Candidates) -> np.ndarray:
    """(n,) bool: the first fifth of those who are no customers yet; of all where all are customers."""
    is_customer = _is_customer(may)
    candidates = len(order) if is_customer.all() else int((~is_customer).sum())
    listed = np.zeros(len(order), bool)
    listed[order[: round(SHARE_LISTED * candidates)]] = True
    return listed


def ranked(fit: Fit, may: Candidates, limit: int | None = None) -> list[dict[str, Any]]:
    """The first `limit` rows of the list, those in its first fifth marked `listed`."""
    order = order_of(fit, may)
    is_listed = listed_of(order, may)[order]
    rows = prospect_rows(fit, may.who.iloc[order[:limit]], may.frame.iloc[order[:limit]])
    return [{**row, "listed": bool(here)} for row, here in zip(rows, is_listed, strict=False)]


def prospect_rows(fit: Fit, who: pd.DataFrame, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Each prospect's grade, fit, profile, reasons and expectations beside who it is."""
    scored = fit.score(frame)
    figures = [grades_of(scored["fit"].to_numpy()), *(scored[name].tolist() for name in ("fit", *FIGURES))]
    identity = who.reindex(columns=list(IDENTITY)).astype(object)
    identity = identity.where(identity.notna(), None)
    profiles, reasons = first_rules(fit.profiles, frame), fit.reasons(frame.iloc[:MOST_REASONED])
    reasons += [[] for _ in range(len(frame) - len(reasons))]
    columns = [identity[name].tolist() for name in IDENTITY] + [profiles.tolist(), reasons, *figures]
    names = (*IDENTITY, "profile", "reasons", "grade", "fit", *FIGURES)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
