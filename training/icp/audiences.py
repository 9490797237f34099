"""The target account list in the columns that HubSpot, LinkedIn and Google take.

- HubSpot: an import of companies, headers as its properties are called, matched by Company domain name
  (HubSpot knowledge base, “Set up your import file”).
- LinkedIn: a company list for Matched Audiences, headers as in Campaign Manager's template, which must stand
  as they are; 300 rows at least (LinkedIn help, “Requirements for company targeting lists”).
- Google: Customer Match by e-mail, hashed with SHA-256 after it was trimmed and lowercased, and freed of dots
  at Gmail (Google Ads help, “Format your customer data file”); of contacts that may be contacted alone.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

Row = dict[str, Any]

PLATFORMS = ("hubspot", "linkedin", "google")
LEAST_LINKEDIN = 300
_GMAIL = ("gmail.com", "googlemail.com")


def audience(platform: str, rows: Sequence[Row], contacts: pd.DataFrame) -> dict[str, Any]:
    """A platform's file of listed accounts.

    Args:
        platform: of `PLATFORMS`.
        rows: of the target account list.
        contacts: `account_id` and `email` of those who may be contacted; Google's file is made of them.

    Returns:
        `platform`, `rows` in its columns, and `notes` of what could not go in.
    """
    entries, notes = MAKERS[platform](rows, contacts)
    return {"platform": platform, "rows": entries, "notes": notes}


def email_hash(email: str) -> str:
    """SHA-256, in hexadecimal, of an address as Google normalises it."""
    name, _, domain = email.strip().lower().rpartition("@")
    if domain in _GMAIL:
        name = name.replace(".", "")
    return hashlib.sha256(f"{name}@{domain}".encode()).hexdigest()


def _hubspot(rows: Sequence[Row], contacts: pd.DataFrame) -> tuple[list[Row], list[str]]:
    entries = [
        {
            "Company name": row["name"],
            "Company domain name": row["domain"],
            "Industry": row["industry"],
            "Country/Region": row["country"],
            "Number of employees": row["employees"],
            "Annual revenue": row["annual_revenue"],
            "Company owner": row["owner_name"] or row["owner_id"],
            "Fit grade": row["grade"],
            "Fit profile": row["profile"],
            "Why it fits": "; ".join(reason["words"] for reason in row["reasons"][:3]) or None,
        }
        for row in rows
        if row["name"] or row["domain"]
    ]
    return entries, _without(len(rows) - len(entries), "have neither name nor domain")


def _linkedin(rows: Sequence[Row], contacts: pd.DataFrame) -> tuple[list[Row], list[str]]:
    entries = [
        {
            "companyname": row["name"],
            "companywebsite": row["domain"],
            "companyemaildomain": row["domain"],
            "linkedincompanypageurl": None,
            "stocksymbol": None,
            "industry": row["industry"],
            "city": None,
            "state": None,
            "companycountry": row["country"],
            "zipcode": None,
        }
        for row in rows
        if row["name"] or row["domain"]
    ]
    notes = _without(len(rows) - len(entries), "have neither name nor domain")
    if len(entries) < LEAST_LINKEDIN:
        notes.append(
            f"LinkedIn takes lists of {LEAST_LINKEDIN} companies or more; this one has {len(entries):,}"
        )
    return entries, notes


def _google(rows: Sequence[Row], contacts: pd.DataFrame) -> tuple[list[Row], list[str]]:
    listed = {row["account_id"] for row in rows if row["account_id"]}
    emails = contacts.loc[contacts["account_id"].isin(listed), "email"]
    entries = [{"Email": one} for one in dict.fromkeys(email_hash(str(email)) for email in emails)]
    reached = set(contacts["account_id"]) & listed
    return entries, _without(
        len(rows) - len(reached), "have no contact with an e-mail address who may be contacted"
    )


MAKERS: dict[str, Callable[[Sequence[Row], pd.DataFrame], tuple[list[Row], list[str]]]] = {
    "hubspot": _hubspot,
    "linkedin": _linkedin,
    "google": _google,
}


def _without(count: int, why: str) -> list[str]:
    return [f"{count:,} of the list are left out: they {why}"] if count else []
