"""Customers like this one and how they went: the nearest decided contracts, by what the model makes of them.

Each contract is a point whose coordinates are the exact contributions of the model's groups of features, in
log-odds. Two contracts are near if the model has the same reasons for both, so what does not matter to the
probability does not count. Contracts are compared at like times before their end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from features.crm.crm import Crm
from features.engine import feature_rows
from features.errors import RenewalError
from features.settings import Settings
from features.snapshots import renewal_snapshots
from serving.scoring.subject_details import about
from training.encode import Rows
from training.explain import grouped_contributions
from training.fairness.group_metrics import interval
from training.model import Model
from training.registry import champion

LEADS = (150.0, 90.0, 30.0)
MOST_CONTRACTS = 3_000
MOST = 20
FEWEST = 5
LEVEL = 0.9
_PAIRS = 20_000
_KNOWN = ("contract_id", "account_id", "account_name", "owner_id", "region", "product", "end_date", "amount")


@dataclass(frozen=True)
class Past:
    """Decided contracts as the model saw them.

    Attributes:
        contracts: n rows: `contract_id`, `account_id`, names, `end_date`, `amount` (units), `lead_days`,
            `renewed`.
        space: (n, k) contributions of the k groups.
        near: the median distance of two of them; what lies farther off is not called similar.
        version: of the model.
    """

    contracts: pd.DataFrame
    space: np.ndarray
    near: float
    version: str

    @staticmethod
    def read(stored: Mapping[str, Any]) -> "Past":
        """The past as `past_contracts` stored it."""
        contracts = pd.DataFrame(stored["known"])
        width = len(stored["space"][0]) if stored["space"] else 0
        space = np.array(stored["space"], dtype=np.float32).reshape(len(contracts), width)
        return Past(contracts, space, stored["near"], stored["version"])


def past_contracts(crm: Crm, settings: Settings) -> dict[str, Any]:
    """The newest 3,000 decided contracts 150, 90 and 30 days before their end, ready for JSON.

    Raises:
        RenewalError: there is no model, it scores all customers alike, or no contract has dates and an
            outcome.
    """
    loaded = champion("renewal", settings)
    if loaded is None:
        raise RenewalError(
            expected="a trained renewal model", found="none", do="Run `perennial train renewal` first."
        )
    snapshots = _decided(crm)
    X = feature_rows(crm, snapshots, "renewal", settings).frame
    space = grouped_contributions(loaded.model, X)[1].astype(np.float32)
    if snapshots.empty or not np.ptp(space, axis=0).any():
        raise RenewalError(
            expected="decided contracts that the model scores differently",
            found=f"{len(snapshots)} of them, all alike",
            do="Give data of a longer period.",
        )
    contracts = snapshots.drop(columns="owner_id").join(about(crm, "renewal", snapshots))
    amount = contracts["amount"].astype("Float64").to_numpy(float, na_value=np.nan) / 100
    contracts = contracts.assign(amount=amount, end_date=contracts["ends_at"].dt.strftime("%Y-%m-%d"))
    shown = contracts.reindex(columns=[*_KNOWN, "lead_days"]).assign(renewed=contracts["label"])
    return {
        "version": str(loaded.version),
        "known": shown.astype(object).where(shown.notna(), None).to_dict("records"),
        "space": np.round(space, 4).tolist(),
        "near": typical_distance(space, settings.seed),
    }


def _decided(crm: Crm) -> pd.DataFrame:
    """Snapshots with a matured outcome at the compared lead times, of the newest contracts."""
    every = renewal_snapshots(crm)
    decided = every[
        every["label"].notna() & (every["matured_at"] <= crm.until) & every["lead_days"].isin(LEADS)
    ]
    newest = decided.drop_duplicates("subject_id").nlargest(MOST_CONTRACTS, "ends_at")["subject_id"]
    return decided[decided["subject_id"].isin(newest)].reset_index(drop=True)


def typical_distance(space: np.ndarray, seed: int = 0) -> float:
    """The median distance of two points of (n, k), over a sample of pairs."""
    rng = np.random.default_rng(seed)
    one, other = rng.integers(0, len(space), (2, _PAIRS))
    return float(np.median(np.linalg.norm(space[one] - space[other], axis=1)))


def place_of(model: Model, X: Rows) -> np.ndarray:
    """(n, k) where feature rows lie in the space of a `Past` of the same model."""
    return grouped_contributions(model, X)[1].astype(np.float32)


def nearest(
    past: Past, at: np.ndarray, lead_days: float, may_see: np.ndarray, account_id: str, most: int = MOST
) -> pd.DataFrame:
    """The contracts nearest to a point, one a customer, nearest first, none farther off than is usual.

    Args:
        past: n decided contracts.
        at: (k,) the point.
        lead_days: of the contract in question; compared at the nearest lead time there is.
        may_see: (n,) whether the visitor may see each.
        account_id: of the contract in question, which is not like itself.
        most: how many at most.

    Returns:
        Rows of `past.contracts` with `distance` (log-odds); none: nobody is alike.
    """
    leads = past.contracts["lead_days"].to_numpy(float)
    grid = np.unique(leads)
    alike = leads == grid[np.abs(grid - (lead_days if np.isfinite(lead_days) else grid[0])).argmin()]
    away = np.linalg.norm(past.space - at[None, :], axis=1)
    fits = (
        alike & may_see & (away <= past.near) & (past.contracts["account_id"].to_numpy(object) != account_id)
    )
    rows = past.contracts[fits].assign(distance=away[fits]).sort_values("distance", kind="stable")
    return rows.drop_duplicates("account_id").head(most).reset_index(drop=True)


def how_they_went(rows: pd.DataFrame) -> dict[str, Any]:
    """`n`, `renewed` and the 90 % interval of the rate (Wilson 1927); the rate is None for fewer than 5."""
    n, renewed = len(rows), int((rows["renewed"] == 1).sum()) if len(rows) else 0
    if n < FEWEST:
        return {"n": n, "renewed": renewed, "rate": None, "low": None, "high": None}
    low, high = interval(renewed / n, 0.0, n, True, LEVEL)
    return {"n": n, "renewed": renewed, "rate": renewed / n, "low": low, "high": high}
