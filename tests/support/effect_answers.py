"""Made-up answers of `training.effects`, so that reports of them can be tested without estimating."""

import numpy as np

NAMES = ("61-90", "31-60", "none")
CLEAR = (0.9, 0.8, 0.6)
"""P(renew) of these windows where one stands out."""

UNCLEAR = (0.71, 0.7, 0.69)


def made_up(estimate, n=(100, 100, 100), sd=0.01, group="all", best="61-90", alike=("61-90",)):
    """An answer of `estimated_timing` with one group."""
    rows = [
        {
            "outcome": "renewal", "group": group, "bucket": b, "estimate": e, "low": e - 2 * sd,
            "high": e + 2 * sd, "raw": e, "n": k, "overlap_ok": True, "effective_n": 0.8 * k,
            "margin": 0.02, "why": None,
        }
        for b, e, k in zip(NAMES, estimate, n, strict=True)
    ]  # fmt: skip
    return {
        "rows": rows,
        "covariance": {group: {"buckets": list(NAMES), "matrix": (sd**2 * np.eye(3)).tolist()}},
        "best": {group: best},
        "indistinguishable": {group: list(alike)},
        "notes": [],
    }


def both(one, other):
    """Two groups in one answer."""
    return {
        name: one[name] + other[name] if isinstance(one[name], list) else one[name] | other[name]
        for name in one
    }
