"""What changes about a list if the attributes that stand for segments are taken out."""

from typing import Any

import numpy as np

from features.crm import Crm
from training.profiles.candidates import Candidates
from training.profiles.later import hindsight
from training.profiles.listing import listed_of, order_of
from training.profiles.reach import proxies, reach
from training.profiles.study import Study, study_of


def without_proxies(
    crm: Crm, made: Study, may: Candidates, listed: np.ndarray, *, seed: int = 0
) -> dict[str, Any] | None:
    """The list made anew without proxies, beside the one made with them; None where there are none.

    Args:
        crm: the CRM.
        made: the study with all attributes.
        may: the candidates.
        listed: (n,) bool, whom the list with all attributes names.
        seed: of the bootstrap and folds.

    Returns:
        `taken_out` (attribute → why), `list_kept` (share of the list that stays), `conversions_caught`,
        `value_caught`, `band_ratio`, `win_ratio`, `reach`; None too where nothing would be left to choose by.
    """
    found = proxies(crm, made.seen.frame, made.seen.account_id)
    seen = made.seen.without(set(found))
    if not found or seen.frame.shape[1] == 0:
        return None
    bare = study_of(seen, made.weights, seed)
    still = listed_of(order_of(bare.fit, may.frame))
    before = hindsight(seen, made.weights, seed=seed)
    return {
        "taken_out": found,
        "list_kept": float((still & listed).sum() / max(listed.sum(), 1)),
        "conversions_caught": before.conversions_caught,
        "value_caught": before.value_caught,
        "band_ratio": before.band_ratio,
        "win_ratio": before.win_ratio,
        "reach": reach(crm, may.who["account_id"], still),
    }
