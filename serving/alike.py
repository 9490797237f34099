"""Customers like the one on a page: where its contract lies among the decided ones a visitor may see."""

from typing import Any

import numpy as np

from features.errors import RenewalError
from serving.auth import Principal
from serving.similar import Past, how_they_went, nearest, place_of
from serving.worked_out import similar_of

_WHOSE = ("owner_id", "region")


def alike(running: Any, row: dict[str, Any], principal: Principal) -> dict[str, Any]:
    """The decided contracts most like a running one, and how they went.

    Args:
        running: the running service.
        row: the contract's current score.
        principal: who looks: others' customers are neither shown nor counted.

    Returns:
        `rows` (nearest first), and `n`, `renewed`, `rate`, `low`, `high` of `similar.how_they_went`; or
        `why` there are none, and whether they are on their way (`comes`).
    """
    loaded = running.models.get("renewal")
    if loaded is None or row.get("held_out"):
        return {"why": "This contract is left unscored.", "comes": False}
    told = running.worked_out.ask(similar_of(str(loaded.version)))
    if told.value is None:
        return {"why": told.why, "comes": told.comes}
    past: Past = told.value
    if past.version != str(loaded.version):
        return {"why": "The model has just changed; ask again in a minute.", "comes": True}
    at = _place(running, row)
    if at is None:
        return {"why": "The contract has no end date, or does not run any more.", "comes": False}
    seen = np.ones(len(past.known), bool)
    if principal.is_scoped:
        seen = np.array(
            [
                principal.sees({str(name): one[name] for name in _WHOSE})
                for one in past.known.to_dict("records")
            ],
            bool,
        )
    rows = nearest(past, at, float(row.get("lead_days") or np.nan), seen, str(row["account_id"]))
    return {"rows": rows.to_dict("records"), **how_they_went(rows)}


def _place(running: Any, row: dict[str, Any]) -> np.ndarray | None:
    """(k,) where the contract lies as it stands now, live events included."""
    try:
        with running.live.arrivals.standing("renewal", row["account_id"]) as stood:
            if stood is None:
                return None
            ground, seen, arrived = stood
            ids = [ground.subjects[place]["contract_id"] for place in seen.places.tolist()]
            if row["contract_id"] not in ids:
                return None
            X = ground.features(seen, arrived)
    except RenewalError:  # scored straight from a folder: nothing was ingested to stand on
        return None
    return place_of(running.models.need("renewal").model, X)[ids.index(row["contract_id"])]
