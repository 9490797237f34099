"""How much an unseen worry could change the answer, measured against the worry that is seen.

Nobody can tell from data how strong a confounder is that nobody recorded. What can be told is what the
recorded ones did: the shift between the estimate that adjusts for all of them and the one that adjusts for
none, in the same trial with the same decisions and exposures (benchmarking against observed covariates:
Cinelli & Hazlett 2020; Chernozhukov et al. 2022). Recorded signals are noisy images of the worry behind
them, so they undo less than its whole; and one bucket's shift can be small because errors cancel. The
margin is therefore three times the largest shift of any bucket, and the same for all of them.
"""

from collections.abc import Sequence

import numpy as np

from training.causal.trial import Window

TIMES = 3.0


def without_covariates(windows: Sequence[Window]) -> list[Window]:
    """The same trial, in which nothing was known of anybody."""
    return [
        Window(w.name, np.empty((len(w.at_risk), 0)), w.at_risk, w.any_contact, w.outbound) for w in windows
    ]


def margin(adjusted: np.ndarray, unadjusted: np.ndarray, usable: np.ndarray) -> float:
    """How far estimates (m,) are off if unseen worry moves them three times as much as all recorded."""
    return float(TIMES * np.abs(adjusted - unadjusted)[usable].max()) if usable.any() else float("nan")


def e_value(better: float, worse: float) -> float:
    """VanderWeele & Ding 2017: the risk ratio an unseen confounder needs with both choice and outcome.

    It would then explain the ratio of two probabilities wholly; 1 means that nothing is needed.
    """
    if not 0 < worse < better:
        return 1.0
    ratio = better / worse
    return float(ratio + np.sqrt(ratio * (ratio - 1)))


def lead_of_best(
    names: Sequence[str], adjusted: np.ndarray, unadjusted: np.ndarray, usable: np.ndarray
) -> dict[str, object] | None:
    """The best bucket's lead over the next, and how strong an unseen confounder would have to be to undo it.

    `times_recorded` is that strength as a multiple of all recorded signals together, by how far these moved
    the two buckets against each other (at least as far as they moved an average pair).
    """
    order = [b for b in np.argsort(-np.where(usable, adjusted, -np.inf)) if usable[b]]
    if len(order) < 2:
        return None
    first, second = order[:2]
    gap = float(adjusted[first] - adjusted[second])
    shift = (adjusted - unadjusted)[usable]
    moved = max(
        abs(adjusted[first] - unadjusted[first] - adjusted[second] + unadjusted[second]), 2**0.5 * shift.std()
    )
    return {
        "best": names[first],
        "second": names[second],
        "lead": gap,
        "e_value": e_value(float(adjusted[first]), float(adjusted[second])),
        "times_recorded": gap / float(moved) if moved > 0 else None,
    }
