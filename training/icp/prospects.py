"""From a CRM to prospects and the samples of their outcomes.

What is known of a prospect before any contact: columns of accounts, and where a lead came from.

Never segments: a carried column that bears the name of an audited attribute is left out. Columns of accounts
that `history` covers are taken at their first value, for today's value may come from the
relationship itself (a tier raised after the win).
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from features.catalog.declare import Info
from features.crm.contract import Kind
from features.crm.crm import Crm
from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings
from training.dataset import dataset
from training.icp.prospect_outcomes import (
    Sample,
    alone,
    contract_discounts,
    deal_discounts,
    deal_hours,
    decided_deals,
)
from training.icp.rules import attribute_words

CORE = {
    "industry": Kind.CATEGORY,
    "country": Kind.CATEGORY,
    "region": Kind.CATEGORY,
    "employees": Kind.WHOLE,
    "annual_revenue": Kind.MONEY,
}
POSTAL, POSTAL_AREA, POSTAL_LETTERS = "postal_code", "postal_area", 2
LEAD_SOURCE = "lead_source"
NUMBERS = (Kind.NUMBER, Kind.WHOLE, Kind.MONEY, Kind.DURATION)
USABLE = (*NUMBERS, Kind.CATEGORY, Kind.FLAG)


@dataclass(frozen=True)
class Known:
    """Accounts as prospects.

    Attributes:
        frame: one row an account, indexed by account_id: float64 numbers (money in units) and object
            categories, NaN or None where missing.
        today: the same as it stands today, for scoring.
        left_out: column → why it is not among them.
        kinds: of each attribute.
    """

    frame: pd.DataFrame
    today: pd.DataFrame
    left_out: dict[str, str]
    kinds: dict[str, Kind]


def known_accounts(crm: Crm) -> Known:
    """What is known of each account, before the leakage guard has judged it.

    Raises:
        RenewalError: accounts have no column that says what kind of customer they are.
    """
    kinds, left_out = _kinds(crm)
    columns = [POSTAL if name == POSTAL_AREA else name for name in kinds]
    if not columns:
        raise RenewalError(
            expected="columns of accounts that say what kind of company each is (industry, employees, …)",
            found=f"accounts with {', '.join(crm.tables['accounts'])} only",
            do="Add or map such columns to accounts: a profile is made of them.",
        )
    rows = crm.frame("accounts", ["account_id", *columns]).set_index("account_id")
    today = as_attributes(rows.rename(columns={POSTAL: POSTAL_AREA}), kinds, minor=True)
    return Known(_as_first_known(crm, today, kinds), today, left_out, kinds)


def _kinds(crm: Crm) -> tuple[dict[str, Kind], dict[str, str]]:
    kinds = {name: kind for name, kind in CORE.items() if crm.has("accounts", name)}
    left_out: dict[str, str] = {}
    audited = (
        set(crm.arrow("segments", ["attribute"])["attribute"].to_pylist()) if crm.has("segments") else set()
    )
    for name, kind in crm.carried.get("accounts", {}).items():
        if name in audited:
            left_out[name] = "an audited segment, never used to choose customers"
        elif kind in USABLE:
            kinds[name] = kind
    # A postal code stands for who lives there; its first letters are kept only where no region is given.
    if crm.has("accounts", POSTAL):
        if crm.has("accounts", "region"):
            left_out[POSTAL] = "the region is known, and finer areas stand for who lives there"
        else:
            kinds[POSTAL_AREA] = Kind.CATEGORY
    return kinds, left_out


def as_attributes(rows: pd.DataFrame, kinds: dict[str, Kind], *, minor: bool) -> pd.DataFrame:
    """Rows as float64 and object columns.

    Args:
        rows: with the columns of `kinds`; those it lacks come out missing.
        kinds: of each attribute.
        minor: whether money is given in minor units.
    """
    out = {}
    for name, kind in kinds.items():
        given = rows[name] if name in rows else pd.Series(np.nan, index=rows.index, dtype=object)
        if kind in NUMBERS:
            number = pd.to_numeric(given, errors="coerce").astype("Float64").to_numpy(float, na_value=np.nan)
            out[name] = number / 100 if kind == Kind.MONEY and minor else number
        elif kind == Kind.FLAG:
            answers = given.astype("string").str.strip().str.lower()
            yes, no = (
                answers.isin(["true", "1", "yes", "y", "t"]),
                answers.isin(["false", "0", "no", "n", "f"]),
            )
            words = np.full(len(rows), None, dtype=object)
            words[yes.to_numpy(bool)], words[no.to_numpy(bool)] = "yes", "no"
            out[name] = words
        else:
            text = given.astype("string").str.strip()
            text = text.str[:POSTAL_LETTERS].str.upper() if name == POSTAL_AREA else text
            out[name] = text.astype(object).where(text.notna() & (text != ""), None).to_numpy(object)
    return pd.DataFrame(out, index=rows.index)


def _as_first_known(crm: Crm, today: pd.DataFrame, kinds: dict[str, Kind]) -> pd.DataFrame:
    """Cells that history covers, at their first value."""
    if not crm.has("history", "table", "id", "column", "changed_at", "value"):
        return today
    changes = crm.sql(
        'SELECT id, "column" AS name, arg_min(value, changed_at) AS value FROM history '
        "WHERE \"table\" = 'accounts' GROUP BY 1, 2"
    ).to_pandas()
    frame = today.copy()
    for name, part in changes[changes["name"].isin(list(kinds))].groupby("name"):
        first = as_attributes(
            pd.DataFrame({name: part["value"].to_numpy()}, index=part["id"]), {name: kinds[name]}, minor=False
        )[name]
        first = first[first.index.isin(frame.index)]
        frame.loc[first.index, name] = first
    return frame


def first_sources(crm: Crm) -> pd.Series:
    """account_id → where its first lead or deal came from; empty where not recorded."""
    parts = []
    if crm.has("opportunities", LEAD_SOURCE, "created_at"):
        parts.append(crm.frame("opportunities", ["account_id", "created_at", LEAD_SOURCE]))
    if crm.has("leads", "source", "account_id"):
        leads = crm.frame("leads", ["account_id", "created_at", "source"])
        parts.append(leads.rename(columns={"source": LEAD_SOURCE}))
    if not parts:
        return pd.Series(dtype=object)
    sources = pd.concat(parts).dropna(subset=["account_id", LEAD_SOURCE])
    sources = sources.sort_values("created_at", kind="stable").drop_duplicates("account_id")
    return sources.set_index("account_id")[LEAD_SOURCE].astype(object)


LEAST_OUTCOMES = 60
LEAST_TO_GUARD = 40


@dataclass(frozen=True)
class Observed:
    """A CRM as prospects with outcomes.

    Attributes:
        frame: (rows, attributes) one row an account and lead source: what was known before any contact.
        account_id: (rows,) the account of each.
        account: (rows,) its code.
        samples: the outcomes on record, each pointing into `frame`.
        deals: decided deals with `row`, `hours` and `discount` beside the columns of `deals.decided_deals`.
        today: accounts as they stand today, indexed by account_id; the same attributes less the lead source.
        barred: attribute → why the leakage guard or the law of the house keeps it out.
        kinds: of each attribute of `frame`.
        notes: what a reader has to know.
    """

    frame: pd.DataFrame
    account_id: np.ndarray
    account: np.ndarray
    samples: list[Sample]
    deals: pd.DataFrame
    today: pd.DataFrame
    barred: dict[str, str]
    kinds: dict[str, Kind]
    notes: list[str]

    def without(self, attributes: set[str]) -> "Observed":
        """The same prospects, less known of them."""
        keep = [name for name in self.frame.columns if name not in attributes]
        today = self.today[[name for name in self.today.columns if name not in attributes]]
        kinds = {name: self.kinds[name] for name in keep}
        return replace(self, frame=self.frame[keep], today=today, kinds=kinds)


def observe(crm: Crm, settings: Settings, say: Say = silent) -> Observed:
    """Prospects and outcomes of a CRM.

    Raises:
        RenewalError: accounts have no column that describes a prospect, or too few outcomes are decided.
    """
    accounts = known_accounts(crm)
    deals, notes = decided_deals(crm)
    barred = accounts.left_out | judged(crm, accounts, deals)
    accounts = _without(accounts, set(barred))
    hours, words = deal_hours(crm, deals)
    discount = deal_discounts(crm, deals)
    deals = deals.assign(hours=hours, discount=discount)
    notes += [words] if len(deals) else []
    say(f"{len(deals):,} decided deals; estimating who renews without contact")
    renewals, note = alone(crm, settings, say)
    notes += [note, *(f"{name} is left out: {why}" for name, why in barred.items())]
    prospects = _Prospects(accounts, first_sources(crm), crm.has("opportunities", LEAD_SOURCE))
    deals = deals.assign(row=prospects.rows(deals["account_id"], deals[LEAD_SOURCE]))
    samples, more = _samples(crm, deals, renewals, prospects)
    frame, account_id = prospects.frame()
    notes += more
    if not samples:
        raise RenewalError(
            expected=f"at least {LEAST_OUTCOMES} decided deals, or contracts with dates and activities",
            found=f"{len(deals)} deals; {note}",
            do="Add decided opportunities, or contracts with dates and activities.",
        )
    codes = pd.factorize(account_id)[0]
    kinds = {name: accounts.kinds.get(name, Kind.CATEGORY) for name in frame.columns}
    samples = [replace(s, account=codes[s.row]) for s in samples]
    return Observed(frame, account_id, codes, samples, deals, accounts.today, barred, kinds, notes)


class _Prospects:
    """Rows of the prospects' frame, made as accounts and lead sources are met."""

    def __init__(self, accounts: Known, first: pd.Series, has_source: bool) -> None:
        self.accounts, self.first, self.has_source = accounts, first, has_source or len(first) > 0
        self.keys: dict[tuple[object, object], int] = {}
        self.rows(pd.Series(accounts.frame.index), None)

    def rows(self, account_id: pd.Series, source: pd.Series | None) -> np.ndarray:
        """(n,) the row of each account and source; a missing source is the account's first."""
        first_source = pd.Series(None, index=account_id.index, dtype=object)
        if len(self.first):
            first_source = account_id.map(self.first).astype(object)
        resolved = (
            first_source if source is None else source.astype(object).where(source.notna(), first_source)
        )
        resolved = resolved.where(resolved.notna(), None)
        keys = zip(account_id.astype(object), resolved, strict=True)
        return np.array([self.keys.setdefault(key, len(self.keys)) for key in keys], dtype=np.int64)

    def frame(self) -> tuple[pd.DataFrame, np.ndarray]:
        """The frame and each row's account_id."""
        account_id = np.array([key[0] for key in self.keys], dtype=object)
        frame = self.accounts.frame.reindex(account_id).reset_index(drop=True)
        if self.has_source:
            frame[LEAD_SOURCE] = np.array([key[1] for key in self.keys], dtype=object)
        return frame, account_id


def _without(accounts: Known, barred: set[str]) -> Known:
    keep = [name for name in accounts.frame.columns if name not in barred]
    kinds = {name: accounts.kinds[name] for name in keep}
    return Known(accounts.frame[keep], accounts.today[keep], accounts.left_out, kinds)


def _samples(
    crm: Crm, deals: pd.DataFrame, renewals: pd.DataFrame | None, prospects: _Prospects
) -> tuple[list[Sample], list[str]]:
    parts = {
        "win": deals.assign(value=deals["won"], at=deals["created_at"]),
        "effort": deals.assign(value=deals["hours"], at=deals["created_at"]),
        "discount": deals.assign(value=deals["discount"], at=deals["created_at"]),
    }
    if deals["discount"].notna().sum() < LEAST_OUTCOMES:
        parts["discount"] = contract_discounts(crm)
    if renewals is not None:
        parts["renews without contact"] = renewals
    samples, notes = [], []
    for name, part in parts.items():
        part = part[part["value"].notna() & part["account_id"].notna()]
        if len(part) < LEAST_OUTCOMES or part["value"].nunique() < 2:
            notes.append(
                f"{name} counts nothing: known of {len(part)} where {LEAST_OUTCOMES} are needed, or all alike"
            )
            continue
        row = part["row"] if "row" in part else prospects.rows(part["account_id"], None)
        row = np.asarray(row, dtype=np.int64)
        at = part["at"].to_numpy("datetime64[us]")
        samples.append(Sample(name, row, row, at, part["value"].to_numpy(float)))
    return samples, notes


def judged(crm: Crm, accounts: Known, deals: pd.DataFrame) -> dict[str, str]:
    """Columns of accounts that the leakage guard excludes: by the deals' outcomes and the contracts'."""
    won = deals[deals["account_id"].notna()]
    barred = _guarded(accounts.today, won["account_id"], won["won"], won["created_at"], "win")
    if crm.has("contracts", "renewed"):
        moments = ["end_date"] * crm.has("contracts", "end_date")
        contracts = crm.frame("contracts", ["account_id", "renewed", *moments])
        contracts = contracts.dropna(subset=["account_id", "renewed"])
        ends = contracts["end_date"] if moments else pd.Series(pd.NaT, index=contracts.index)
        renewed = contracts["renewed"].astype(float)
        by_contracts = _guarded(accounts.today, contracts["account_id"], renewed, ends, "renewal")
        barred |= {name: why for name, why in by_contracts.items() if name not in barred}
    return barred


def _guarded(
    today: pd.DataFrame, account_id: pd.Series, label: pd.Series, at: pd.Series, kind: str
) -> dict[str, str]:
    from training.leakage import guard

    y = label.to_numpy(float)
    if min(y.sum(), (1 - y).sum()) < LEAST_TO_GUARD:
        return {}
    X = today.reindex(account_id.to_numpy(object)).reset_index(drop=True)
    X = X.apply(lambda c: c if pd.api.types.is_numeric_dtype(c) else c.astype("category"))
    X.columns = [f"accounts.{name}" for name in X.columns]
    infos = {name: _info(name) for name in X.columns}
    snapshots = pd.DataFrame(
        {
            "subject_id": np.array([f"s{i}" for i in range(len(y))], dtype=object),
            "account_id": account_id.to_numpy(object),
            "as_of": at.to_numpy("datetime64[us]"),
            "lead_days": 0.0,
        }
    )
    dated = bool(snapshots["as_of"].notna().mean() > 0.5)
    verdict = guard(dataset(X, y, snapshots, infos, kind, dated))
    bare = {name.rpartition(".")[2]: why for name, why in verdict.barred.items()}
    return {name: why for name, why in bare.items() if name in today}


def _info(name: str) -> Info:
    words = attribute_words(name.rpartition(".")[2])
    return Info(name, words, "", "accounts", name, source="column", column=name, group=name)
