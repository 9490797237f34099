"""Contracts that were scored, forecast by their owners, and decided since; the true probabilities."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features.crm.crm import Crm
from features.crm.load import load
from features.settings import Settings
from monitoring.store import Store, open_store
from monitoring.store.predictions import Shadow

SCORED_ON, UNTIL = pd.Timestamp("2024-06-01"), pd.Timestamp("2025-03-01")


@dataclass
class Decided:
    """600 contracts of 300 accounts: `truth` are the probabilities, `renewed` what came of them."""

    settings: Settings
    store: Store
    crm: Crm
    truth: np.ndarray
    renewed: np.ndarray

    @property
    def ids(self) -> list[str]:
        return [f"C{i}" for i in range(len(self.truth))]

    def blurred(self, spread: float, seed: int = 5) -> np.ndarray:
        """The true probability seen through noise: the more, the worse a forecast."""
        noise = np.random.default_rng(seed).normal(0, spread, len(self.truth))
        return 1 / (1 + np.exp(-(np.log(self.truth / (1 - self.truth)) + noise)))

    def log(self, probability, *, version="2", as_of=SCORED_ON, shadow=None, current=False, **columns):
        """Log scores of all contracts; by default as a look back, in which today's forecast is not kept."""
        rows = pd.DataFrame({"contract_id": self.ids, "as_of": as_of, "probability": probability})
        rows["account_id"] = [f"A{i // 2}" for i in range(len(rows))]
        rows["owner_id"] = [f"O{i % 3}" for i in range(len(rows))]
        rows["lead_days"], rows["held_out"] = 90.0, False
        would = None if shadow is None else Shadow("1", pd.Series(shadow))
        self.store.scores.write(
            "renewal", rows.assign(**columns), run_id=f"r{version}{as_of}", model_version=version,
            current=current, shadow=would,
        )  # fmt: skip


def decided(folder: Path, *, forecast_spread: float = 0.2, n: int = 600) -> Decided:
    """The case in its own home. Today's forecast column reveals the outcome; history has what it was."""
    draw = np.random.default_rng(3)
    truth = 1 / (1 + np.exp(-(0.6 + 1.3 * draw.normal(size=n))))
    renewed = draw.random(n) < truth
    settings = Settings(home=folder / "home", threads=1)
    made = Decided(settings, open_store(settings), None, truth, renewed)  # type: ignore[arg-type]
    ends = SCORED_ON + pd.to_timedelta(draw.integers(60, 150, n), unit="D")
    contracts = pd.DataFrame(
        {
            "contract_id": made.ids,
            "account_id": [f"A{i // 2}" for i in range(n)],
            "owner_id": [f"O{i % 3}" for i in range(n)],
            "start_date": (ends - pd.Timedelta(days=364)).date,
            "end_date": ends.date,
            "annual_value": 1000,
            "renewed": renewed,
            "decided_at": ends.date,
            "forecast": renewed.astype(float),
            "forecast_category": np.where(truth > 0.6, "commit", "pipeline"),
        }
    )
    said = made.blurred(forecast_spread, seed=9)
    row = {"table": "contracts", "id": made.ids, "column": "forecast"}
    before = pd.DataFrame({**row, "changed_at": "2024-05-02", "value": said.round(3)})
    after = pd.DataFrame({**row, "changed_at": ends, "value": renewed.astype(float)})
    source = folder / "crm"
    source.mkdir()
    contracts.to_csv(source / "contracts.csv", index=False)
    pd.concat([before, after]).to_csv(source / "history.csv", index=False)
    made.crm = load(source, until=UNTIL, into=folder / "clean")
    return made
