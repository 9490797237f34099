"""Experiments looked at every day of a year: `python -m benchmarks.experiments [--seeds 200]` from the root.

Each seed is a year of customers with one to four contracts whose outcomes are alike within a customer, in
strata that renew more or less often, drawn by `training.effects.arms.draw`; four in five of those drawn for
the advice are treated, and one in twenty of the others. As many outcomes become known over the year as
`monitoring.experiment_plan` would ask for. There is no effect, or the one planned for, or twice that.

It prints how often a difference was claimed on any of the 365 looks (false positives where there is none,
beside those of a plain 95 % test that is looked at as often), how often on the last look, how often the
effect of being drawn lay inside its interval at every look, that of being treated at the last, and the day on
which chance was ruled out beside the day on which a fixed design with the same power would have answered.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
from scipy import stats

from training.effects.always_valid import half_width, inflation, mixing_variance
from training.effects.arms import ADVICE, draw
from training.effects.experiment import contracts_each
from training.effects.randomised import Outcomes, path, treated_interval

DAYS = 365
USUAL, GAP, LEVEL, POWER, FOLLOWED, STRAY = 0.72, 0.10, 0.05, 0.8, 0.8, 0.05
ALIKE = 0.1
"""Intraclass correlation: what `contracts_each` plans with."""
STRATA = (-0.10, -0.03, 0.03, 0.10)


@dataclass(frozen=True)
class Year:
    """What one year showed."""

    claimed: bool
    claimed_last: bool
    naive: bool
    inside: bool
    treated_inside: bool
    day: int | None


def contracts_of(rng: np.random.Generator, customers: int) -> np.ndarray:
    """(customers,) contracts of each: one to four."""
    return 1 + rng.binomial(3, 0.15, customers)


def needed() -> tuple[int, int]:
    """Contracts in both arms for a fixed design and for one that is looked at all the time."""
    shared = float(contracts_of(np.random.default_rng(0), 100_000).mean())
    net = GAP * (FOLLOWED - STRAY)
    fixed = 2 * contracts_each(USUAL, net, POWER, LEVEL, shared)
    return fixed, int(np.ceil(fixed * inflation(LEVEL, POWER)))


def world(seed: int, contracts: int, effect: float) -> tuple[Outcomes, float, float]:
    """A year's outcomes, and the true effects of being drawn and of being treated."""
    rng = np.random.default_rng(seed)
    customers = contracts  # more than there can be; cut below
    count = contracts_of(rng, customers)
    customers = int(np.searchsorted(np.cumsum(count), contracts)) + 1
    count = count[:customers]
    stratum = rng.integers(0, len(STRATA), customers)
    arms = draw({f"c{c}": str(s) for c, s in enumerate(stratum)}, 0.5, seed, {})
    drawn = np.array([arms[f"c{c}"] == ADVICE for c in range(customers)], dtype=int)
    base = USUAL + np.array(STRATA)[stratum]
    of_customer = rng.beta(base * (1 / ALIKE - 1), (1 - base) * (1 / ALIKE - 1))
    cluster = np.repeat(np.arange(customers), count)
    p, n = of_customer[cluster], int(count.sum())
    gained = np.clip(p + effect, 0.0, 1.0) - p
    chance = np.where(drawn[cluster] == 1, FOLLOWED, STRAY)
    treated = rng.random(n) < chance
    y = rng.random(n) < p + gained * treated
    known_on = rng.integers(1, DAYS + 1, n)
    outcomes = Outcomes(
        cluster, drawn[cluster], stratum[cluster], known_on, y.astype(float), treated.astype(float)
    )
    return outcomes, float(gained.mean() * (FOLLOWED - STRAY)), float(gained.mean())


def year(seed: int, contracts: int, effect: float) -> Year:
    """One year, looked at every day."""
    outcomes, of_draw, of_treatment = world(seed, contracts, effect)
    estimates = path(outcomes, np.arange(1, DAYS + 1))
    mixing = mixing_variance(GAP * (FOLLOWED - STRAY), LEVEL, POWER)
    half = half_width(estimates.variance, mixing, LEVEL)
    sure = np.abs(estimates.effect) > half
    plain = np.abs(estimates.effect) > stats.norm.isf(LEVEL / 2) * np.sqrt(estimates.variance)
    _, low, high = treated_interval(estimates, -1, mixing, LEVEL)
    return Year(
        bool(sure.any()),
        bool(sure[-1]),
        bool(plain.any()),
        not bool(np.any(np.abs(estimates.effect - of_draw) > half)),
        low <= of_treatment <= high,
        int(estimates.days[np.argmax(sure)]) if sure.any() else None,
    )


def share(values: list[bool]) -> str:
    """A share of the seeds, with its standard error."""
    mean = float(np.mean(values))
    return f"{100 * mean:.1f} ± {100 * np.sqrt(mean * (1 - mean) / len(values)):.1f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    options = parser.parse_args()
    fixed, ours = needed()
    fixed_day = DAYS * fixed / ours
    print(
        f"{ours:,} contracts become known over the year; a fixed design takes {fixed:,}, "
        f"on day {fixed_day:.0f}"
    )
    print(
        "| effect | claimed, any look | plain test, any look | last look | drawn inside, all looks "
        "| treated inside | day, mean | day, median | before the fixed design |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    started = time.monotonic()
    for effect in (0.0, GAP, 2 * GAP):
        years = [year(seed, ours, effect) for seed in range(options.seeds)]
        days = np.array([DAYS if one.day is None else one.day for one in years])
        cells = [
            share([getattr(one, name) for one in years])
            for name in ("claimed", "naive", "claimed_last", "inside", "treated_inside")
        ]
        ends = (
            [f"{days.mean():.0f}", f"{np.median(days):.0f}", share(list(days < fixed_day))]
            if effect
            else ["–"] * 3
        )
        print("| " + " | ".join([f"{100 * effect:.0f} points", *cells, *ends]) + " |", flush=True)
    print(f"{options.seeds} seeds each, per cent ± standard error; {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
