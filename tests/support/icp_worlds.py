"""Small worlds with a planted ideal customer, or none, drawn as the search takes them.

They share no code with the shipped simulator. A world knows the expected outcome of each prospect, so that a
rule's true lift, and the best possible ranking, can be worked out on a large fresh population.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit

from training.icp.prospect_outcomes import SIGN, Sample
from training.icp.prospects import Observed
from training.icp.rules import Condition, Rule

SECTORS = ("banking", "hospitals", "logistics", "media", "schools")
COUNTRIES = ("AT", "CH", "DE", "FR")
SOURCES = ("advert", "fair", "partner", "search")
START = np.datetime64("2021-01-01", "us")
DAYS = 1460


@dataclass(frozen=True)
class World:
    """How prospects of this world behave.

    Attributes:
        ideal: the planted rule; None plants nothing.
        win, effort, discount, alone: what it adds to log-odds, log hours, share of list, log-odds.
        backdrop: how strongly sector, size and country matter besides, for everybody.
        luck: standard deviation of what is peculiar to an account and stays with it (log-odds).
        deals, contracts: mean number an account.
        missing: share of sizes not known.
    """

    ideal: Rule | None = None
    win: float = 1.3
    effort: float = -0.5
    discount: float = -0.05
    alone: float = 1.2
    backdrop: float = 0.0
    luck: float = 0.0
    deals: float = 1.4
    contracts: float = 1.2
    missing: float = 0.05

    def prospects(self, n: int, rng: np.random.Generator) -> pd.DataFrame:
        """n accounts' attributes."""
        employees = np.round(np.exp(rng.normal(4.5, 1.2, n))) + 2
        frame = pd.DataFrame(
            {
                "sector": rng.choice(SECTORS, n, p=[0.25, 0.2, 0.25, 0.15, 0.15]).astype(object),
                "country": rng.choice(COUNTRIES, n, p=[0.2, 0.25, 0.35, 0.2]).astype(object),
                "employees": employees,
                "founded": np.round(rng.uniform(1950, 2020, n)),
                "theme": rng.choice(("blue", "green", "grey"), n).astype(object),
                "lead_source": rng.choice(SOURCES, n).astype(object),
            }
        )
        frame.loc[rng.random(n) < self.missing, "employees"] = np.nan
        return frame

    def expected(self, frame: pd.DataFrame, luck: np.ndarray | float = 0.0) -> dict[str, np.ndarray]:
        """(n,) the expected outcomes of each prospect, and its expected `amount`."""
        inside = np.zeros(len(frame)) if self.ideal is None else self.ideal.covers(frame).astype(float)
        size = np.log(frame["employees"].fillna(100).to_numpy() / 100)
        merit = self.backdrop * (
            (frame["sector"] == "banking").to_numpy() * 0.5
            - (frame["country"] == "FR").to_numpy() * 0.4
            + 0.15 * size
        )
        return {
            "win": expit(-1.0 + merit + self.win * inside + luck),
            "effort": np.exp(1.3 - 0.2 * merit + self.effort * inside + 0.18),
            "discount": np.clip(0.15 - 0.02 * merit + self.discount * inside, 0, 1),
            "renews without contact": expit(0.6 + merit + self.alone * inside + luck),
            "amount": 50 * np.exp(0.8 * np.log(frame["employees"].fillna(100).to_numpy()) + 0.125),
        }

    def draw(self, accounts: int, seed: int) -> Observed:
        """What a CRM of this world would show of so many accounts."""
        rng = np.random.default_rng([seed, 77])
        frame = self.prospects(accounts, rng)
        luck = self.luck * rng.normal(size=accounts)
        p = self.expected(frame, luck)
        account = np.arange(accounts)
        deals = self._deals(p, rng)
        row = deals["row"].to_numpy()
        at = deals["created_at"].to_numpy("datetime64[us]")
        samples = [
            Sample("win", row, row, at, deals["won"].to_numpy()),
            Sample("effort", row, row, at, deals["hours"].to_numpy()),
            Sample("discount", row, row, at, deals["discount"].to_numpy()),
            self._alone(p["renews without contact"], rng),
        ]
        ids = np.array([f"A{i}" for i in account], dtype=object)
        today = frame.drop(columns="lead_source").set_axis(ids)
        return Observed(frame, ids, account, samples, deals, today, {}, {}, [])

    def _deals(self, p: dict[str, np.ndarray], rng: np.random.Generator) -> pd.DataFrame:
        row = np.repeat(np.arange(len(p["win"])), rng.poisson(self.deals, len(p["win"])))
        n = len(row)
        created = START + rng.integers(0, DAYS, n).astype("timedelta64[D]")
        return pd.DataFrame(
            {
                "row": row,
                "created_at": created.astype("datetime64[us]"),
                "won": (rng.random(n) < p["win"][row]).astype(float),
                "hours": p["effort"][row] * np.exp(rng.normal(-0.18, 0.6, n)),
                "discount": np.clip(p["discount"][row] + 0.07 * rng.normal(size=n), 0, 1),
                "amount": p["amount"][row] * np.exp(rng.normal(-0.125, 0.5, n)),
            }
        )

    def _alone(self, p: np.ndarray, rng: np.random.Generator) -> Sample:
        """Pseudo-outcomes as a doubly robust estimate gives them: unbiased, noisier than labels, beyond
        0–1."""
        row = np.repeat(np.arange(len(p)), rng.poisson(self.contracts, len(p)))
        y = (rng.random(len(row)) < p[row]).astype(float)
        chance = rng.uniform(0.3, 0.8, len(row))
        guess = np.clip(p.mean() + 0.1 * rng.normal(size=len(row)), 0.05, 0.95)
        value = guess + (rng.random(len(row)) < chance) / chance * (y - guess)
        at = (START + rng.integers(0, DAYS, len(row)).astype("timedelta64[D]")).astype("datetime64[us]")
        return Sample("renews without contact", row, row, at, value)

    def truth(
        self, rules: list[Rule], seed: int = 0, n: int = 60_000
    ) -> list[dict[str, tuple[float, float]]]:
        """For each rule the true (value, lift) of each outcome on a large fresh population."""
        rng = np.random.default_rng([seed, 99])
        frame = self.prospects(n, rng)
        p = self.expected(frame, self.luck * rng.normal(size=n))
        masks = [rule.covers(frame) for rule in rules]
        return [
            {name: (float(p[name][m].mean()), float(p[name][m].mean() / p[name].mean())) for name in SIGN}
            for m in masks
        ]

    def members(self, rule: Rule, seed: int = 0, n: int = 20_000) -> np.ndarray:
        """(n,) bool: who of a fixed large population fulfils a rule."""
        return rule.covers(self.prospects(n, np.random.default_rng([seed, 99])))


PARTNER_BANKS = Rule(
    (
        Condition("sector", ("banking", "logistics")),
        Condition("lead_source", ("partner",)),
    )
)
MIDSIZED_HOSPITALS = Rule(
    (
        Condition("sector", ("hospitals",)),
        Condition("country", ("CH", "DE")),
        Condition("employees", low=40, high=400),
    )
)
WORLDS = {
    "partner banks": World(PARTNER_BANKS, win=1.2, effort=-0.4, discount=-0.04, alone=1.0, backdrop=0.5),
    "midsized hospitals": World(
        MIDSIZED_HOSPITALS, win=1.5, effort=-0.6, discount=-0.06, alone=1.5, backdrop=0.5
    ),
    "nothing": World(),
    "nothing but luck": World(luck=1.0),
}


def overlap(world: World, one: Rule, other: Rule) -> float:
    """Jaccard overlap of two rules' members in a large population."""
    a, b = world.members(one), world.members(other)
    return float((a & b).sum() / max((a | b).sum(), 1))
