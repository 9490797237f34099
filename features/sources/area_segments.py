"""Segments of accounts from where they are: the shares of their county's or postcode's people.

For audit only, as everything in `segments`; a share is never a feature.
"""

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from features.errors import RenewalError

if TYPE_CHECKING:
    from features.crm.crm import Crm

CAVEAT = (
    "A share says who lives around a customer, not who the customer is. Gaps found by it usually look "
    "smaller than they are, and can point the wrong way where whoever buys differs from the neighbours "
    "(ecological inference: Robinson 1950; for audits Chen et al. 2019). Take it as a hint; to decide, ask."
)
COLUMNS = {"county": ("county_fips", "fips", "county"), "postcode": ("postal_code",)}
"""What accounts may be joined by → the columns looked at, in this order."""


@dataclass(frozen=True)
class Joined:
    """Rows of the table `segments`, and how the join went.

    Attributes:
        rows: `account_id`, `attribute`, `value`, `share`, `source`: the CRM's own first, then shares of areas
            for attributes that it does not know of the account.
        column: of accounts, which was joined by.
        matched: accounts whose area was found. `unmatched`: others, with an area of their own or without.
        examples: areas that were not found.
    """

    rows: list[dict[str, Any]]
    column: str
    matched: int
    unmatched: int
    examples: list[str]


def area_segments(crm: "Crm", by: str) -> Joined:
    """Give each account the shares of its area.

    Args:
        crm: with accounts (postal_code, or a carried county_fips, fips or county) and `population` by area.
        by: `county` or `postcode`.

    Raises:
        RenewalError: the CRM lacks the column or the table, or no account's area is found in it.
    """
    column = _column(crm, by)
    shares = _shares(crm)
    accounts = crm.frame("accounts", ["account_id", column])
    key = accounts[column].map(lambda value: area_key(value, by))
    area_by_key = _areas(shares["area"], by)
    accounts = accounts.assign(area=key.map(area_by_key))
    unmatched = accounts[accounts["area"].isna()]
    if len(unmatched) == len(accounts):
        examples = ", ".join(map(str, accounts[column].dropna().unique()[:3])) or "nothing filled in"
        raise RenewalError(
            expected=f"accounts whose {column} is an area of the table population",
            found=examples,
            do=f"Fetch them with `perennial population census --by {by}`, or mend {column}.",
        )
    rows = accounts.dropna(subset="area").merge(shares, on="area")
    rows = rows.assign(source="share of " + rows["area"])[_COLUMNS]
    return Joined(
        rows=[{str(k): v for k, v in row.items()} for row in _with_own(crm, rows).to_dict("records")],
        column=f"accounts.{column}",
        matched=len(accounts) - len(unmatched),
        unmatched=len(unmatched),
        examples=[str(value) for value in unmatched[column].dropna().unique()[:3]],
    )


_COLUMNS = ["account_id", "attribute", "value", "share", "source"]


def _column(crm: "Crm", by: str) -> str:
    column = next((name for name in COLUMNS[by] if crm.has("accounts", name)), None)
    if column is None:
        raise RenewalError(
            expected=f"accounts with a column {' or '.join(COLUMNS[by])}",
            found="none of them",
            do="Add it to accounts, or join by another area.",
        )
    return column


def _shares(crm: "Crm") -> pd.DataFrame:
    """area, attribute, value, share of the attribute's people in the area."""
    if not crm.has("population", "area"):
        raise RenewalError(
            expected="a table population with areas",
            found="none",
            do="Write one with `perennial population census --out FOLDER/population.csv`.",
        )
    rows = crm.frame("population", ["area", "attribute", "value", "people"]).dropna()
    counts = rows.groupby(["area", "attribute", "value"], as_index=False, observed=True)["people"].sum()
    total = counts.groupby(["area", "attribute"], observed=True)["people"].transform("sum")
    counts = counts[total > 0]
    return counts.assign(share=(counts["people"] / total[total > 0]).round(6)).drop(columns="people")


def area_key(value: Any, by: str) -> str | None:
    """What a county or postcode is matched by: five digits, or a county's name without its `County`.

    A spreadsheet that lost a leading zero (`2139`, `1001.0`) gets it back; of `02139-4307` five digits count.
    """
    text = "" if value is None or value is pd.NA else re.sub(r"\.0$", "", str(value).strip())
    digits = re.match(r"^(\d{3,5})(-\d{4})?(?:\D|$)", text)
    if digits:
        return digits.group(1).zfill(5)
    if by == "postcode" or not text or text.lower() == "nan":
        return None
    return re.sub(r"\s+(county|parish|borough)\b", "", " ".join(text.lower().split()))


def _areas(areas: pd.Series, by: str) -> dict[str, str]:
    """What an account may give → the area as `population` names it.

    A county is known by its code, by name and state, and by its bare name where that is one area's alone.
    """
    area_by_key: dict[str, str] = {}
    bare: dict[str, set[str]] = {}
    for area in areas.unique():
        if (key := area_key(area, by)) is not None:
            area_by_key[key] = area
        name = area_key(re.sub(r"^\d{5}\s+", "", area), by) if by == "county" else None
        if name:
            area_by_key[name] = area
            bare.setdefault(name.split(",")[0], set()).add(area)
    return {
        name: next(iter(candidates)) for name, candidates in bare.items() if len(candidates) == 1
    } | area_by_key


def _with_own(crm: "Crm", rows: pd.DataFrame) -> pd.DataFrame:
    """What the CRM knows itself goes before an area's share."""
    if not crm.has("segments"):
        return rows
    own_segments = crm.frame("segments").reindex(columns=_COLUMNS)
    own_pairs = pd.MultiIndex.from_frame(own_segments[["account_id", "attribute"]].astype(object))
    new = ~pd.MultiIndex.from_frame(rows[["account_id", "attribute"]].astype(object)).isin(own_pairs)
    return pd.concat([own_segments, rows[new]], ignore_index=True)
