"""How good people's own odds were beside the scores they were noted against, once contracts are decided."""

from typing import Any

import numpy as np
import pandas as pd

from features.crm import Crm
from features.snapshots import asked
from monitoring.store import Store
from monitoring.versus import versus

LEAST_ACCOUNTS = 30


def judgements(crm: Crm, store: Store, seed: int = 0) -> dict[str, Any]:
    """The team's odds of renewal against the scores, on contracts with an outcome.

    Each contract counts once, with the odds noted last and the newest score there was when they were noted.

    Args:
        crm: tells the outcomes, beside those told to the store.
        store: holds overrides, the prediction log and told outcomes.
        seed: of the bootstrap by customer.

    Returns:
        `noted` and `decided` (contracts), and the comparison of `people` with `score` as `Versus.as_dict`
        gives it: `closer` is `unknown` with fewer than 30 customers or 20 of the rarer outcome.
    """
    made = store.overrides("renewal")
    made = made[made["probability"].notna()].drop_duplicates("subject_id", keep="last")
    rows = _with_scores(made, store)
    rows["y"] = _outcomes(rows["subject_id"], crm, store) if len(rows) else np.nan
    decided = rows[rows["y"].notna()]
    found = versus(decided, seed=seed, least_accounts=LEAST_ACCOUNTS)
    return {"noted": len(made), "decided": len(decided), **found.as_dict("people", "score")}


def _with_scores(made: pd.DataFrame, store: Store) -> pd.DataFrame:
    """Overrides as `one`, with `other`: the newest score there was when they were noted."""
    log = store.predictions("renewal")[["subject_id", "scored_at", "probability"]]
    log = log[log["subject_id"].isin(made["subject_id"])].rename(columns={"probability": "other"})
    at = pd.to_datetime(made["made_at"]).astype("datetime64[us]")
    noted = made.assign(made_at=at, one=made["probability"].astype(float)).sort_values("made_at")
    return pd.merge_asof(
        noted, log.sort_values("scored_at"), left_on="made_at", right_on="scored_at", by="subject_id"
    )


def _outcomes(subjects: pd.Series, crm: Crm, store: Store) -> np.ndarray:
    """(n,) 1 renewed, 0 not, NaN not known: as the CRM has it, else as it was told to the store."""
    found = pd.Series(np.nan, subjects.index)
    if crm.has("contracts", "contract_id"):
        known = asked(crm, "renewal", pd.DataFrame({"contract_id": subjects.to_numpy()}))
        found = pd.Series(known["label"].to_numpy(float), subjects.index)
    told = store.outcomes("renewal").set_index("subject_id")["outcome"].astype(float)
    return found.fillna(subjects.map(told)).to_numpy(float)
