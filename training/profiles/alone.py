"""Who renews without contact: doubly robust pseudo-outcomes of the trial's no-contact arm, never raw rates.

The uncentred influence values of P(renewed | never contacted) have, among any kind of customer, the mean that
these customers' true rate has; raw rates would not, for worried customers are called.
"""

import numpy as np
import pandas as pd

from features.crm import Crm
from features.errors import RenewalError
from features.progress import Say, silent
from features.settings import Settings

NOTE = "renewing without contact is left out"


def alone(crm: Crm, settings: Settings, say: Say = silent) -> tuple[pd.DataFrame | None, str]:
    """Contracts with account_id, `at` (their end) and `value` (the pseudo-outcome); None and why if
    unknown."""
    from training.causal.estimate import estimate_strategies
    from training.causal.frame import timing_trial
    from training.causal.overlap import reasons

    try:
        trial = timing_trial(crm, settings, say)
    except RenewalError as error:
        return None, f"{NOTE}: expected {error.expected}; found {error.found}"
    found = estimate_strategies(trial.windows, trial.y, trial.cluster, seed=settings.seed, errors=False)
    why = reasons(found)[-1]
    if why:
        return None, f"{NOTE}: {why}"
    rows = pd.DataFrame(
        {
            "account_id": trial.contracts["account_id"].to_numpy(object),
            "at": trial.contracts["end"].to_numpy(np.int64).astype("datetime64[us]"),
            "value": found.contribution[:, -1],
        }
    )
    return rows, f"renewing without contact is estimated from {int(found.n[-1]):,} contracts nobody contacted"
