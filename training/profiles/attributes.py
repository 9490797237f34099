"""What is known of a prospect before any contact: columns of accounts, and where a lead came from.

Never segments: a carried column that bears the name of an audited attribute is left out. Columns of accounts
that `history` speaks of are taken as they stood first, for what stands there today may come from the
relationship itself (a tier raised after the win).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.crm import Crm
from features.errors import RenewalError
from features.tables import Kind

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


def known(crm: Crm) -> Known:
    """What is known of each account, before the leakage guard has judged it.

    Raises:
        RenewalError: accounts have no column that says what kind of customer they are.
    """
    kinds, left_out = _kinds(crm)
    columns = [POSTAL if name == POSTAL_AREA else name for name in kinds]
    if not columns:
        raise RenewalError(
            expected="columns of accounts that tell what kind of company each is (industry, employees, …)",
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
            told = given.astype("string").str.strip().str.lower()
            yes, no = told.isin(["true", "1", "yes", "y", "t"]), told.isin(["false", "0", "no", "n", "f"])
            words = np.full(len(rows), None, dtype=object)
            words[yes.to_numpy(bool)], words[no.to_numpy(bool)] = "yes", "no"
            out[name] = words
        else:
            text = given.astype("string").str.strip()
            text = text.str[:POSTAL_LETTERS].str.upper() if name == POSTAL_AREA else text
            out[name] = text.astype(object).where(text.notna() & (text != ""), None).to_numpy(object)
    return pd.DataFrame(out, index=rows.index)


def _as_first_known(crm: Crm, today: pd.DataFrame, kinds: dict[str, Kind]) -> pd.DataFrame:
    """Cells that history speaks of as they stood first."""
    if not crm.has("history", "table", "id", "column", "changed_at", "value"):
        return today
    told = crm.sql(
        'SELECT id, "column" AS name, arg_min(value, changed_at) AS value FROM history '
        "WHERE \"table\" = 'accounts' GROUP BY 1, 2"
    ).to_pandas()
    frame = today.copy()
    for name, part in told[told["name"].isin(list(kinds))].groupby("name"):
        first = as_attributes(
            pd.DataFrame({name: part["value"].to_numpy()}, index=part["id"]), {name: kinds[name]}, minor=False
        )[name]
        first = first[first.index.isin(frame.index)]
        frame.loc[first.index, name] = first
    return frame


def first_sources(crm: Crm) -> pd.Series:
    """account_id → where its first lead or deal came from; empty where nothing tells."""
    parts = []
    if crm.has("opportunities", LEAD_SOURCE, "created_at"):
        parts.append(crm.frame("opportunities", ["account_id", "created_at", LEAD_SOURCE]))
    if crm.has("leads", "source", "account_id"):
        leads = crm.frame("leads", ["account_id", "created_at", "source"])
        parts.append(leads.rename(columns={"source": LEAD_SOURCE}))
    if not parts:
        return pd.Series(dtype=object)
    told = pd.concat(parts).dropna(subset=["account_id", LEAD_SOURCE])
    told = told.sort_values("created_at", kind="stable").drop_duplicates("account_id")
    return told.set_index("account_id")[LEAD_SOURCE].astype(object)
