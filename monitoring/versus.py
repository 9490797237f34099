"""Two forecasters of the same rows, paired: who was closer to what happened, and how surely."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from monitoring.performance import LEAST_ACCOUNTS, LEAST_OUTCOMES
from training.metrics import auc, bootstrap_gain, brier, losses

LEVEL = 0.98
"""Of the intervals: they are looked at every night, so a difference must be rather sure."""

DRAWS = 2_000
SUREST = 0.01
"""A forecast of 0 or 1 by a person counts as 1 % or 99 % in the log loss, which would be endless else."""


@dataclass(frozen=True)
class Versus:
    """What `one` and `other` said of the same decided rows.

    `gain` is the mean log loss of `one` less that of `other`, in nats: above 0 `other` was closer. `low` and
    `high`: an interval (98 % by default), by a paired bootstrap that draws whole accounts. `brier_gain`
    likewise. `closer`: `one`, `other`, `neither` (no sure difference) or `unknown` (too few rows; then
    there are no intervals).
    """

    rows: int
    accounts: int
    log_loss: tuple[float, float] | None
    brier: tuple[float, float] | None
    auc: tuple[float, float] | None
    gain: float | None
    low: float | None
    high: float | None
    brier_gain: tuple[float, float, float] | None
    closer: str
    why: str

    def as_dict(self, one: str, other: str) -> dict[str, Any]:
        """The comparison with the forecasters' names."""
        told = asdict(self)
        for name in ("log_loss", "brier", "auc"):
            pair = told[name]
            told[name] = None if pair is None else {one: pair[0], other: pair[1]}
        told["closer"] = {"one": one, "other": other}.get(self.closer, self.closer)
        return told


def versus(
    rows: pd.DataFrame, *, seed: int = 0, least_accounts: int = LEAST_ACCOUNTS, level: float = LEVEL
) -> Versus:
    """Compare two forecasts of decided rows.

    Args:
        rows: `y` (0/1), `one` and `other` (probabilities), `account_id` (or, where it is missing,
            `subject_id`): rows of one account hang together and are drawn together.
        seed: of the bootstrap.
        least_accounts: fewer are too few for a verdict.
        level: of the intervals; nearer to 1 where many comparisons are made at once.
    """
    rows = rows[rows["one"].notna() & rows["other"].notna()]
    y = rows["y"].to_numpy(float)
    one, other = (np.clip(rows[name].to_numpy(float), SUREST, 1 - SUREST) for name in ("one", "other"))
    account = pd.factorize(rows["account_id"].where(rows["account_id"].notna(), rows["subject_id"]))[0]
    accounts, rarer = len(np.unique(account)), int(min(y.sum(), (1 - y).sum())) if len(y) else 0
    if not len(rows):
        return _unknown(0, 0, "no row has both, and an outcome that may be judged")
    loss = float(losses(y, one).mean()), float(losses(y, other).mean())
    pairs = {
        "log_loss": loss,
        "brier": (brier(y, one), brier(y, other)),
        "auc": (auc(y, one), auc(y, other)) if rarer else None,
    }
    if accounts < least_accounts or rarer < LEAST_OUTCOMES:
        lack = (
            f"{accounts} accounts with {rarer} rows of the rarer outcome; "
            f"{least_accounts} and {LEAST_OUTCOMES} are needed"
        )
        return _unknown(len(rows), accounts, lack, **pairs)
    gain = bootstrap_gain(losses(y, one) - losses(y, other), account, times=DRAWS, level=level, seed=seed)
    squared = bootstrap_gain((y - one) ** 2 - (y - other) ** 2, account, times=DRAWS, level=level, seed=seed)
    closer = "other" if gain[1] > 0 else "one" if gain[2] < 0 else "neither"
    why = (
        f"log loss {loss[0]:.3f} and {loss[1]:.3f} on the same {len(rows):,} rows "
        f"of {accounts:,} accounts, a difference of {gain[0]:+.3f} ({gain[1]:+.3f} to {gain[2]:+.3f})"
    )
    return Versus(len(rows), accounts, **pairs, gain=gain[0], low=gain[1], high=gain[2],
                  brier_gain=squared, closer=closer, why=why)  # fmt: skip


def _unknown(rows: int, accounts: int, why: str, **pairs: Any) -> Versus:
    known = dict.fromkeys(("log_loss", "brier", "auc")) | pairs
    none = dict.fromkeys(("gain", "low", "high", "brier_gain"))
    return Versus(rows, accounts, **known, **none, closer="unknown", why=why)
