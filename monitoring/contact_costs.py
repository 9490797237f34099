"""What reaching an account once by a campaign has cost: costs of campaigns over the accounts touched."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from features.crm.crm import Crm

LEAST_CAMPAIGNS = 5
LEAST_ACCOUNTS = 30
LEVEL = 0.90
_MINOR = 100

Segment = tuple[str, str]


@dataclass(frozen=True)
class ContactCost:
    """Cost of an account reached once by one campaign.

    Attributes:
        cost_each: in units of money. `low`, `high`: 90 %, campaigns resampled; None under five campaigns.
        campaigns: with a known cost.
    """

    cost_each: float
    low: float | None
    high: float | None
    campaigns: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def touched_accounts(crm: Crm) -> set[str] | None:
    """The accounts that a campaign touched, themselves or by a lead; None where touches are not recorded."""
    if not crm.has("touches"):
        return None
    return set(_touches(crm)["account_id"].dropna()) or None


def contact_costs(crm: Crm, segments: pd.DataFrame) -> dict[Segment | None, ContactCost]:
    """The cost by segment, and under None that of everybody; segments with too little to go by are absent.

    A campaign's cost is shared equally by its touches. The estimate is the ratio of sums over campaigns, its
    error that of resampled campaigns (Cochran 1977, section 6.3).

    Args:
        crm: with campaigns (cost) and touches (campaign_id); else nothing is known.
        segments: account_id, attribute, value, share.
    """
    if not crm.has("campaigns", "cost") or not crm.has("touches", "campaign_id"):
        return {}
    campaigns = crm.frame("campaigns", ["campaign_id", "cost"]).dropna()
    cost = pd.Series(campaigns["cost"].to_numpy(float) / _MINOR, index=campaigns["campaign_id"])
    touches = _touches(crm).dropna(subset="campaign_id")
    each = touches["campaign_id"].map(cost / touches["campaign_id"].value_counts())
    touches = touches.assign(cost=each.astype(float)).dropna(subset=["cost", "account_id"])
    reached = touches.groupby(["campaign_id", "account_id"], as_index=False, observed=True)["cost"].sum()
    everybody = _ratio(reached.assign(share=1.0))
    if everybody is None:
        return {}
    costs: dict[Segment | None, ContactCost] = {None: everybody}
    joined = reached.merge(segments[["account_id", "attribute", "value", "share"]], on="account_id")
    for (attribute, value), part in joined.groupby(["attribute", "value"], observed=True):
        accounts = float(part.drop_duplicates("account_id")["share"].sum())
        of_segment = _ratio(part)
        if of_segment is not None and accounts >= LEAST_ACCOUNTS and of_segment.low is not None:
            costs[str(attribute), str(value)] = of_segment
    return costs


def _touches(crm: Crm) -> pd.DataFrame:
    """Touches with the account of their lead where they name none."""
    columns = [name for name in ("campaign_id", "account_id", "lead_id") if crm.has("touches", name)]
    touches = crm.frame("touches", columns).reindex(columns=["campaign_id", "account_id", "lead_id"])
    if not crm.has("leads", "account_id") or touches["lead_id"].isna().all():
        return touches
    leads = crm.frame("leads", ["lead_id", "account_id"]).dropna().drop_duplicates("lead_id")
    account = touches["lead_id"].map(leads.set_index("lead_id")["account_id"])
    return touches.assign(account_id=touches["account_id"].astype(object).fillna(account.astype(object)))


def _ratio(reached: pd.DataFrame) -> ContactCost | None:
    """From one row a campaign and account: its `cost`, and the `share` that counts."""
    weighted = reached.assign(cost=reached["cost"] * reached["share"])
    sums = weighted.groupby("campaign_id", observed=True)[["cost", "share"]].sum()
    accounts = float(sums["share"].sum())
    if not accounts > 0:
        return None
    each, n = float(sums["cost"].sum()) / accounts, len(sums)
    if n < LEAST_CAMPAIGNS:
        return ContactCost(each, None, None, n)
    off = sums["cost"].to_numpy() - each * sums["share"].to_numpy()
    half = float(t.ppf((1 + LEVEL) / 2, n - 1) * np.sqrt(n / (n - 1) * (off**2).sum()) / accounts)
    return ContactCost(each, max(each - half, 0.0), each + half, n)
