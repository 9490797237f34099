"""What people know contracts and deals by: names, owners, dates, which opportunity renews which contract."""

import pandas as pd

from features.crm.contract import SUBJECTS
from features.crm.crm import Crm
from features.owners import owners_of
from features.renewal_opportunities import contracts_of_renewals

ID_COLUMNS = {"renewal": "contract_id", "win": "opportunity_id"}


def about(crm: Crm, kind: str, snapshots: pd.DataFrame) -> pd.DataFrame:
    """What people know the subjects by, where the CRM has it.

    Returns:
        `owner_id` (`features.owners`), `end_date`, `region`, `account_name`, `owner_name`, `forecast` (the
        owner's), for renewals `product` and `renewal_opportunity` (open ones that renew it), for deals
        `deal_kind` and `created_at`. Index as `snapshots`.
    """
    details = snapshots[["ends_at"]].rename(columns={"ends_at": "end_date"})
    details["owner_id"] = owners_of(crm, kind, snapshots["subject_id"])
    accounts = _looked_up(
        crm, "accounts", "account_id", snapshots["account_id"], {"region": "region", "name": "account_name"}
    )
    owners = _looked_up(crm, "owners", "owner_id", details["owner_id"], {"name": "owner_name"})
    columns = (
        {"product": "product", "forecast": "forecast"}
        if kind == "renewal"
        else {"kind": "deal_kind", "created_at": "created_at", "forecast": "forecast"}
    )
    subjects = _looked_up(crm, SUBJECTS[kind], ID_COLUMNS[kind], snapshots["subject_id"], columns)
    for joined in (accounts, owners, subjects):
        details = details.join(joined)
    return details if kind == "win" else details.join(_open_renewals(crm, snapshots, details["owner_id"]))


def _open_renewals(crm: Crm, snapshots: pd.DataFrame, owner: pd.Series) -> pd.DataFrame:
    """(n) `renewal_opportunity`: the open opportunities, most often one, that renew each contract.

    One that belongs to another owner is not named: whoever sees the contract need not see that deal.
    """
    links = contracts_of_renewals(crm)
    if links.empty or not crm.has("opportunities", "is_won"):
        return pd.DataFrame(index=snapshots.index)
    deals = crm.frame("opportunities", ["opportunity_id", "is_won"])
    links = links[links.index.isin(deals.loc[deals["is_won"].isna(), "opportunity_id"])]
    deal_owner = owners_of(crm, "win", pd.Series(links.index, index=links.index))
    contract_owner = links.map(dict(zip(snapshots["subject_id"].astype(str), owner, strict=True)))
    links = links[deal_owner.fillna("") == contract_owner.astype("string").fillna("")]
    named = pd.Series(links.index, index=pd.Index(links, dtype=object)).groupby(level=0).agg(", ".join)
    shown = snapshots["subject_id"].astype(object).map(named).astype(object)
    return pd.DataFrame({"renewal_opportunity": shown.where(shown.notna(), None)})


def _looked_up(crm: Crm, table: str, key: str, wanted: pd.Series, columns: dict[str, str]) -> pd.DataFrame:
    """Columns of a table's rows with these keys, renamed; those the CRM lacks are left out."""
    there = {name: shown_as for name, shown_as in columns.items() if crm.has(table, name)}
    if not crm.has(table, key):
        return pd.DataFrame(index=wanted.index)
    rows = crm.frame(table, [key, *there]).drop_duplicates(key).set_index(key)
    return rows.reindex(wanted.to_numpy()).set_axis(wanted.index).rename(columns=there)
