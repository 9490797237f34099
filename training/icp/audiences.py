"""The target account list in the columns that HubSpot, LinkedIn and Google take.

- HubSpot: an import of companies, headers as its properties are called, matched by Company domain name, which
  the import wants; an owner goes by name or e-mail; one sheet (HubSpot knowledge base, “Set up your import
  files”). Industry is a list there: values it does not have are reported and left out.
- LinkedIn: a company list for Matched Audiences, the ten headers of Campaign Manager's template, which must
  stand as they are; CSV, 300 rows at least (LinkedIn help, “Requirements for company targeting lists”).
- Google: Customer Match by e-mail, header `Email`, CSV in UTF-8, hashed with SHA-256 after it was trimmed and
  lowercased, at Gmail freed of dots and of what follows a plus (Google Ads help, “Format your customer data
  file”; Google Ads API, “Email address formatting”); of contacts that may be contacted alone.

All three take CSV, and LinkedIn and Google nothing else.
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
    notes.append("upload it as CSV: --out FILE.csv")
    return {"platform": platform, "rows": entries, "notes": notes}


def email_hash(email: str) -> str:
    """SHA-256, in hexadecimal, of an address as Google normalises it."""
    name, _, domain = email.strip().lower().rpartition("@")
    if domain in _GMAIL:
        name = name.partition("+")[0].replace(".", "")
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
            "Company owner": row["owner_name"],
            "Fit grade": row["grade"],
            "Fit profile": row["profile"],
            "Why it fits": "; ".join(reason["words"] for reason in row["reasons"][:3]) or None,
        }
        for row in rows
        if row["name"] or row["domain"]
    ]
    notes = _without(len(rows) - len(entries), "have neither name nor domain")
    without_domain = sum(not entry["Company domain name"] for entry in entries)
    if without_domain:
        notes.append(f"{without_domain:,} have no domain: HubSpot can't match them to companies it knows")
    notes.append("HubSpot's Industry is a list: what it doesn't have there is reported and left out")
    return entries, notes


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
