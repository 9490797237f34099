"""The discount of a deal (its last quote against list) or of a contract (its value against list)."""

import numpy as np
import pandas as pd

from features.crm import Crm


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
