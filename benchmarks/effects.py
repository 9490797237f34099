"""Contact timing against worlds whose truth is known: `python -m benchmarks.effects` from the repo root.

Each row states the world with the planted gap to the second best, contracts a run, runs, and what was
found; ± is two standard errors of a share. `--quick` takes a tenth of the runs. Peers get the same data in
the same run: raw rates, logistic regression with controls as of 180 days before the end (g-computation),
and DoubleML's potential-outcome estimator on the same controls. EconML and
causalml were not measured.
"""

import argparse
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats
from sklearn.linear_model import LogisticRegression

from training.causal.answer import infer
from training.causal.covariates import Scaling
from training.causal.estimate import estimate_strategies
from training.causal.sensitivity import margin, without_covariates
from training.causal.trial import Strategies

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import effect_worlds as worlds

M = len(worlds.NAMES) + 1


@dataclass(frozen=True)
class Run:
    """One run's estimates (7,), ends, set, raw rates and seconds; NaN where nothing is told."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    keep: np.ndarray
    told: np.ndarray
    raw: np.ndarray
    seconds: float


def ours(drawn: worlds.Drawn, seed: int) -> Run:
    """Our estimate of one drawn world."""
    start = time.perf_counter()
    found = estimate_strategies(drawn.windows, drawn.y, drawn.cluster, seed=seed)
    said = infer(found, seed)
    seconds = time.perf_counter() - start
    return Run(said.estimate, said.low, said.high, said.keep, said.usable, found.raw, seconds)


def runs(world: worlds.World, n: int, seeds: int) -> list[Run]:
    """One run a seed."""
    return [ours(world.draw(n, 10_000 + seed), seed) for seed in range(seeds)]


def share(hits: list[bool] | np.ndarray) -> str:
    """A share in per cent with two standard errors."""
    p, n = float(np.mean(hits)), len(hits)
    return f"{100 * p:5.1f} % ± {200 * np.sqrt(max(p * (1 - p), 0.25 / n) / n):.1f}"


def line(name: str, world: str, n: int, seeds: int, found: str, wanted: str) -> None:
    """Print one row of the table."""
    print(f"{name:<46} {world:<10} {n:>6} {seeds:>4}  {found:<34} {wanted}", flush=True)


def confounded(name: str, world: worlds.World, n: int, seeds: int) -> None:
    """Does the set hold the best, how long is it, and what do raw rates name?"""
    truth = world.truth()
    best, gap = int(np.argmax(truth)), float(np.diff(np.sort(truth)[-2:])[0])
    done = runs(world, n, seeds)
    label = f"{name} ({100 * gap:.1f})"
    wrong = [np.nanargmax(r.raw) != best for r in done]
    line("raw rates name a wrong window", label, n, seeds, share(wrong), "most")
    line("set holds the true best", label, n, seeds, share([r.keep[best] for r in done]), ">= 95 % - 2 SE")
    line("windows named", label, n, seeds, f"{np.mean([r.keep.sum() for r in done]):.2f}", "<= 3 at 20,000")
    alone = [bool(r.keep[best]) and r.keep.sum() == 1 for r in done]
    line("true best alone", label, n, seeds, share(alone), ">= 70 % at 20,000, gap 8")
    line("seconds a run", label, n, seeds, f"{np.mean([r.seconds for r in done]):.2f}", "< 180")


def coverage(name: str, world: worlds.World, n: int, seeds: int) -> None:
    """Do all intervals of a run hold the truth together, and is an effect claimed?"""
    truth = world.truth()
    done = runs(world, n, seeds)
    whole = [bool(np.all((r.low <= truth) & (truth <= r.high) | ~r.told)) for r in done]
    line("all intervals hold", name, n, seeds, share(whole), ">= 95 % - 2 SE")
    line("windows told", name, n, seeds, f"{np.mean([r.told.sum() for r in done]):.2f} of {M}", "")
    if np.ptp(truth) < 0.005:
        line("an effect is claimed", name, n, seeds, share([not r.keep.all() for r in done]), "<= 5 % + 2 SE")


def no_overlap(n: int, seeds: int) -> None:
    """Without overlap nothing may be told."""
    done = runs(worlds.NO_OVERLAP, n, seeds)
    line("can't tell", "no overlap", n, seeds, share([not r.told.any() for r in done]), "every time")


def hidden(n: int, seeds: int) -> None:
    """With part of the worry unrecorded, the margin covers the bias."""
    world = worlds.HIDDEN
    truth = world.truth()
    biases, bounds = [], []
    for seed in range(seeds):
        drawn = world.draw(n, 10_000 + seed)
        found = estimate_strategies(drawn.windows, drawn.y, drawn.cluster, seed=seed, errors=False)
        nothing = without_covariates(drawn.windows)
        bare = estimate_strategies(nothing, drawn.y, drawn.cluster, seed=seed, errors=False)
        biases.append(found.estimate - truth)
        bounds.append(margin(found.estimate, bare.estimate, infer(found, seed).usable))
    bias = np.nanmean(biases, axis=0)
    largest = float(np.abs(bias).max())
    covered = [largest <= bound for bound in bounds]
    line(
        "largest bias, mean margin, points",
        "hidden",
        n,
        seeds,
        f"{100 * largest:.1f}, {100 * np.mean(bounds):.1f}",
        "",
    )
    line("margin covers the bias in every window", "hidden", n, seeds, share(covered), "yes")


def naive(drawn: worlds.Drawn, found: Strategies) -> tuple[np.ndarray, np.ndarray]:
    """Raw rates with binomial standard errors."""
    return found.raw, np.sqrt(found.raw * (1 - found.raw) / np.maximum(found.n, 1))


def _first(drawn: worlds.Drawn, found: Strategies) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows with a first contact or none, their arm, and what was known 180 days before the end."""
    arm = np.where(found.followed.any(axis=1), found.followed.argmax(axis=1), -1)
    X = drawn.windows[0].X
    return arm >= 0, arm, Scaling.fit(X).apply(X)


def logistic(drawn: worlds.Drawn, found: Strategies) -> tuple[np.ndarray, np.ndarray]:
    """Logistic regression of renewal on arms and controls, standardised; bootstrap standard errors."""
    rows, arm, Z = _first(drawn, found)
    dummies = np.eye(M)[np.maximum(arm, 0)]

    def fit(which: np.ndarray) -> np.ndarray:
        model = LogisticRegression(max_iter=500).fit(np.hstack([dummies, Z])[which], drawn.y[which])
        levels = [np.hstack([np.tile(np.eye(M)[a], (len(Z), 1)), Z]) for a in range(M)]
        return np.array([model.predict_proba(level)[:, 1].mean() for level in levels])

    index = np.flatnonzero(rows)
    rng = np.random.default_rng(0)
    again = [fit(rng.choice(index, len(index))) for _ in range(10)]
    return fit(index), np.std(again, axis=0)


def doubleml(drawn: worlds.Drawn, found: Strategies) -> tuple[np.ndarray, np.ndarray]:
    """DoubleML's average potential outcomes, confounders as of 180 days before the end."""
    from doubleml import DoubleMLAPOS, DoubleMLData

    rows, arm, Z = _first(drawn, found)
    data = DoubleMLData.from_arrays(Z[rows], drawn.y[rows], arm[rows].astype(float))
    learner = LogisticRegression(max_iter=500)
    np.random.seed(0)
    model = DoubleMLAPOS(data, learner, learner, treatment_levels=list(range(M)))
    model.fit()
    return np.asarray(model.coef), np.asarray(model.se)


PEERS: dict[str, Callable[[worlds.Drawn, Strategies], tuple[np.ndarray, np.ndarray]]] = {
    "raw rates": naive,
    "logistic regression, controls at 180 days": logistic,
    "DoubleML APOS, controls at 180 days": doubleml,
}


def peers(n: int, seeds: int) -> None:
    """Error, coverage of pointwise 95 % intervals, the window named, and time, on the same data."""
    world = worlds.PEAK
    truth = world.truth()
    gathered: dict[str, list[tuple[np.ndarray, np.ndarray, float]]] = {name: [] for name in ("ours", *PEERS)}
    for seed in range(seeds):
        drawn = world.draw(n, 10_000 + seed)
        start = time.perf_counter()
        found = estimate_strategies(drawn.windows, drawn.y, drawn.cluster, seed=seed)
        seconds, spread = time.perf_counter() - start, found.influence.std(axis=0) / np.sqrt(n)
        gathered["ours"].append((found.estimate, spread, seconds))
        for name, method in PEERS.items():
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                gathered[name].append((*method(drawn, found), time.perf_counter() - start))
    head = f"{'RMSE, points':>13} {'coverage':>9} {'best named':>11} {'seconds':>8}"
    print(f"\n{'method, on peak':<46} {'n':>6} {'runs':>4} {head}")
    for name, done in gathered.items():
        error = np.array([estimate - truth for estimate, _, _ in done])
        held = np.abs(error) <= stats.norm.isf(0.025) * np.array([spread for _, spread, _ in done])
        right = np.mean([np.nanargmax(estimate) == np.argmax(truth) for estimate, _, _ in done])
        rmse, seconds = 100 * np.sqrt(np.nanmean(error**2)), np.mean([s for _, _, s in done])
        figures = f"{rmse:>13.2f} {held.mean():>9.1%} {right:>11.1%} {seconds:>8.2f}"
        print(f"{name:<46} {n:>6} {seeds:>4} {figures}", flush=True)


def sections(few: int) -> dict[str, Callable[[], None]]:
    """The table's parts by name, each with its runs divided by `few`."""

    def small() -> None:
        coverage("peak", worlds.PEAK, 1_000, 200 // few)
        coverage("no effect", worlds.NO_EFFECT, 1_000, 200 // few)
        coverage("shared", worlds.SHARED, 2_000, 200 // few)

    def confounding() -> None:
        confounded("peak", worlds.PEAK, 3_000, 100 // few)
        confounded("severe", worlds.SEVERE, 3_000, 100 // few)

    def overlap() -> None:
        no_overlap(800, 50 // few)
        no_overlap(3_000, 50 // few)

    def large() -> None:
        confounded("peak", worlds.PEAK, 20_000, max(30 // few, 3))
        confounded("gap", worlds.GAP, 20_000, max(30 // few, 3))

    return {
        "small": small,
        "confounding": confounding,
        "overlap": overlap,
        "hidden": lambda: hidden(3_000, 50 // few),
        "large": large,
        "peers": lambda: peers(3_000, max(30 // few, 3)),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"any of {', '.join(sections(1))}; all by default")
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs")
    asked = parser.parse_args()
    parts = sections(10 if asked.quick else 1)
    print(f"{'measure':<46} {'world':<10} {'n':>6} {'runs':>4}  {'found':<34} wanted")
    for name in asked.parts or parts:
        parts[name]()


if __name__ == "__main__":
    main()
