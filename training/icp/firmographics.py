"""Who a candidate is, for those who go for it: domain, industry, country, size, owner, contacts allowed.

A contact may be contacted if it has an e-mail address and did not opt out.
"""

import numpy as np
import pandas as pd

from features.crm.crm import Crm

COMPANY = ("domain", "industry", "country", "employees", "annual_revenue")
COLUMNS = (*COMPANY, "owner_id", "owner_name", "contacts_allowed")
_NUMBERS = ("employees", "annual_revenue")


def firmographics(crm: Crm, account_id: pd.Series, given: pd.DataFrame | None = None) -> pd.DataFrame:
    """`COLUMNS` for each candidate, same index as `account_id`; money in units, None where not known.

    Args:
        crm: the CRM.
        account_id: (n,) the account of each candidate, null where it has none.
        given: (n, …) what a file says of them, before what the CRM does.
    """
    accounts = _accounts(crm)
    frame = accounts.reindex(account_id.to_numpy(object)).set_axis(account_id.index)
    if given is not None:
        for name in COMPANY:
            if name in given:
                own_words = given[name].set_axis(frame.index).astype(object)
                frame[name] = own_words.where(own_words.notna(), frame[name])
    for name in _NUMBERS:
        frame[name] = pd.to_numeric(frame[name], errors="coerce").astype(object)
    counts = allowed_contacts(crm).groupby("account_id").size()
    has_contacts = crm.has("contacts", "account_id", "email")
    has_account = account_id.notna()
    frame["contacts_allowed"] = account_id.map(counts).fillna(0).astype(int).astype(object)
    frame.loc[~(has_account & has_contacts), "contacts_allowed"] = None
    return frame.where(frame.notna(), None)[list(COLUMNS)]


def allowed_contacts(crm: Crm) -> pd.DataFrame:
    """`account_id` and `email` of the contacts that may be contacted."""
    if not crm.has("contacts", "account_id", "email"):
        return pd.DataFrame({"account_id": [], "email": []}, dtype=object)
    has_opt_out = crm.has("contacts", "opted_out")
    rows = crm.frame("contacts", ["account_id", "email", *["opted_out"] * has_opt_out])
    may = rows["email"].astype("string").str.contains("@", regex=False).fillna(False).to_numpy(bool)
    if has_opt_out:
        may &= ~rows["opted_out"].fillna(False).to_numpy(bool)
    return rows.loc[may, ["account_id", "email"]].astype(object).reset_index(drop=True)


def _accounts(crm: Crm) -> pd.DataFrame:
    """Accounts by id with what of `COLUMNS` is known of them."""
    columns = [name for name in (*COMPANY, "owner_id") if crm.has("accounts", name)]
    rows = crm.frame("accounts", ["account_id", *columns]).set_index("account_id")
    frame = pd.DataFrame(index=rows.index.astype(object), dtype=object)
    for name in (*COMPANY, "owner_id"):
        frame[name] = rows[name].astype(object).to_numpy(object) if name in rows else None
    if "annual_revenue" in rows:
        minor = rows["annual_revenue"].astype("Float64").to_numpy(float, na_value=np.nan)
        frame["annual_revenue"] = minor / 100
    frame["owner_name"] = None
    if "owner_id" in rows and crm.has("owners", "name"):
        owners = crm.frame("owners", ["owner_id", "name"]).set_index("owner_id")["name"]
        frame["owner_name"] = rows["owner_id"].map(owners).astype(object).to_numpy(object)
    return frame
