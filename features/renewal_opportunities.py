"""Opportunities that are the renewal of a contract: how they are recognised, and which contract each renews.

A renewal has one likelihood, its contract's. An opportunity is a renewal if its `kind` says so (any words
with "renew" in them, such as "Existing Business - Renewal"), or if it gives no kind and names, in
`contract_id`, a contract that had begun before it was created. The contract is the one it names; without a
name, the one contract of the account that ran then and ends first. Where two end on that day nothing is
guessed.
"""

import pandas as pd

from features.columns import KEYS
from features.crm.contract import SUBJECTS
from features.crm.crm import Crm
from features.snapshots import RENEWAL_LEADS, impossible, snapshots_for

RENEW = "renew"
SLIPPED = pd.Timedelta(days=45)
"""How long after a contract's end an opportunity is still opened to renew it."""


def contracts_of_renewals(crm: Crm) -> pd.Series:
    """Opportunity id → id of the contract it renews; only opportunities for which both are known."""
    nothing = pd.Series([], index=pd.Index([], name="opportunity_id", dtype="string"), dtype="string")
    if not crm.has("opportunities", "opportunity_id") or not crm.has("contracts", "contract_id"):
        return nothing
    deals = _frame(
        crm, "opportunities", ("opportunity_id", "account_id", "kind", "contract_id", "created_at")
    ).drop_duplicates("opportunity_id")
    contracts = _frame(
        crm, "contracts", ("contract_id", "account_id", "start_date", "end_date")
    ).drop_duplicates("contract_id")
    words = deals["kind"].astype("string").str.lower().str.strip().fillna("")
    begun = deals["contract_id"].map(contracts.set_index("contract_id")["start_date"]) < deals["created_at"]
    is_renewal = words.str.contains(RENEW, regex=False) | (words.eq("") & begun)
    renewals = deals[is_renewal.to_numpy(bool)]
    named = renewals["contract_id"].where(renewals["contract_id"].isin(contracts["contract_id"]))
    contract = named.where(named.notna(), _ending_first(renewals[named.isna()], contracts))
    return pd.Series(contract.to_numpy(object), renewals["opportunity_id"].astype("string")).dropna()


def _frame(crm: Crm, table: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """A table's columns; those it lacks are empty."""
    rows = crm.frame(table, [name for name in columns if crm.has(table, name)])
    missing = {
        name: pd.Series(pd.NaT, rows.index, dtype="datetime64[us]")
        if name.endswith(("_at", "_date"))
        else pd.Series(pd.NA, rows.index, dtype="string")
        for name in columns
        if name not in rows
    }
    return rows.assign(**missing)


def _ending_first(deals: pd.DataFrame, contracts: pd.DataFrame) -> pd.Series:
    """(n,) the contract of a deal's account that ran at its creation and ends first; index as the deals."""
    pairs = (
        deals[["account_id", "created_at"]]
        .reset_index()
        .merge(contracts.dropna(subset=["account_id", "end_date"]), on="account_id")
    )
    ran = (pairs["start_date"].isna() | (pairs["start_date"] < pairs["created_at"])) & (
        pairs["end_date"] >= pairs["created_at"] - SLIPPED
    )
    pairs = pairs[ran]
    first = pairs[pairs["end_date"] == pairs.groupby("index")["end_date"].transform("min")]
    alone = first.drop_duplicates("index", keep=False).set_index("index")["contract_id"]
    return alone.reindex(deals.index)


def renewed_by(crm: Crm, snapshots: pd.DataFrame) -> pd.Series:
    """(n,) the listed contract that each look at an opportunity renews, NA for all others; index kept.

    Listed is a contract that runs at `as_of`, is undecided and ends within 180 days. The renewal of any other
    (long over, or not due yet) stays an opportunity among the others: no second figure stands beside it.
    """
    links = contracts_of_renewals(crm)
    contract = snapshots["opportunity_id"].astype("string").map(links).astype("string")
    there = contract.notna()
    if not there.any():
        return contract
    rows = pd.DataFrame({KEYS[SUBJECTS["renewal"]]: contract[there]})
    if snapshots["as_of"].notna().any():
        rows["as_of"] = snapshots.loc[there, "as_of"].fillna(crm.until)
    looks = snapshots_for(crm, "renewal", rows)
    listed = looks["problem"].isna() & impossible(crm, "renewal", looks).isna()
    if crm.dated("renewal"):
        listed &= looks["lead_days"].between(0, RENEWAL_LEADS[0])
    else:
        listed &= looks["label"].isna()
    return contract.where(listed.reindex(contract.index, fill_value=False))
