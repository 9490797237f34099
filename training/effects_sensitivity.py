"""How much an unseen worry could change the answer, measured against the worry that is seen.

Nobody can tell from data how strong a confounder is that nobody recorded. What can be told is what the
recorded ones
did: the shift between the estimate that adjusts for all of them and the one that adjusts for none, in the
same trial with the same decisions and exposures. An unseen worry as strong as everything recorded would
shift estimates about as much again (benchmarking against observed covariates: Cinelli & Hazlett 2020;
Chernozhukov et al. 2022). A bucket's own shift can be small by chance or because errors cancel, so a
bucket's margin is never below the root mean square of all.
"""

from collections.abc import Sequence

import numpy as np

from training.effects_trial import Window


def without_covariates(windows: Sequence[Window]) -> list[Window]:
    """The same trial, in which nothing was known of anybody."""
    return [
        Window(w.name, np.empty((len(w.at_risk), 0)), w.at_risk, w.any_contact, w.outbound) for w in windows
    ]


def margins(adjusted: np.ndarray, unadjusted: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """(m,) how far estimates could be off if unseen worry were as strong as everything recorded."""
    shift = np.where(usable, np.abs(adjusted - unadjusted), np.nan)
    if not usable.any():
        return np.full(len(adjusted), np.nan)
    return np.fmax(shift, np.sqrt(np.nanmean(shift**2)))


def e_value(better: float, worse: float) -> float:
    """VanderWeele & Ding 2017: the risk ratio an unseen confounder needs with both choice and outcome.

    It would then explain the ratio of two probabilities wholly; 1 means that nothing is needed.
    """
    if not 0 < worse < better:
        return 1.0
    ratio = better / worse
    return float(ratio + np.sqrt(ratio * (ratio - 1)))


def lead_of_best(
    names: Sequence[str], estimate: np.ndarray, margin: np.ndarray, usable: np.ndarray
) -> dict[str, object] | None:
    """The best bucket's lead over the next, and how strong an unseen confounder would have to be to undo it.

    `times_recorded` is the strength as a multiple of all recorded signals together, both buckets being
    shifted against each other.
    """
    order = [b for b in np.argsort(-np.where(usable, estimate, -np.inf)) if usable[b]]
    if len(order) < 2:
        return None
    first, second = order[:2]
    gap = float(estimate[first] - estimate[second])
    shift = float(margin[first] + margin[second])
    return {
        "best": names[first],
        "second": names[second],
        "lead": gap,
        "e_value": e_value(float(estimate[first]), float(estimate[second])),
        "times_recorded": gap / shift if shift > 0 else None,
    }
