"""The random hold-out: customers left without a score, so that models can be judged on them untouched."""

import hashlib

import numpy as np
import pandas as pd

from features.settings import Settings


def held_out(accounts: pd.Series, settings: Settings) -> np.ndarray:
    """Which accounts are in the random hold-out: by their id alone, so it is the same every night."""
    if not settings.holdout_share:
        return np.zeros(len(accounts), dtype=bool)
    salt = f"{settings.seed}:".encode()
    drawn = [
        int.from_bytes(hashlib.sha256(salt + str(account).encode()).digest()[:8]) / 2**64
        for account in accounts
    ]
    return np.array(drawn) < settings.holdout_share
