"""Profiles and the targeting list against worlds whose truth is known: `python -m benchmarks.icp`.

Run from the repo root. `--seeds` and `--accounts` size the two worlds of the tests and the two with nothing
planted; `--shipped` and `--shipped-accounts` the shipped simulator, which goes the whole way through files,
cleaning and the estimated effects. ± is two standard errors of a share. The look-alike is the same data's
model of wins alone (what 6sense, Demandbase and MadKudu describe), here a regression and gradient-boosted
trees, the better of the two in each run. Truths are worked out on fresh accounts that no search has seen:
for the shipped simulator, lifts in the later half of another CRM of 20,000 accounts.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks import icp_shipped as shipped
from features.crm.crm import Crm
from features.crm.load import load
from features.settings import Settings
from features.simulation import simulate
from training.icp.fit_score import as_logs, terms_renewed
from training.icp.prospect_outcomes import checked_weights
from training.icp.prospects import Observed, observe
from training.icp.rules import Rule
from training.icp.study import Study, discover, study_of

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import icp_worlds as worlds

FRESH = 20_000
FOUND_FROM = 0.5
LATER, LATER_SEED = 20_000, 999_999
"""Accounts and seed of the fresh CRM in which the lifts of the shipped simulator are looked up."""
SHARE = 0.2


@dataclass(frozen=True)
class Run:
    """What one seed showed.

    Attributes:
        claimed: how many profiles were claimed.
        finds_planted: whether one of the first three shares half its members with the planted one.
        held: of each promised interval, whether it held the truth.
        ours, look_alike: gain of the first fifth over that of ranking by the truth: (hourly, ratio of sums).
        seconds: of the search, the judging and the learning.
    """

    claimed: int
    finds_planted: bool
    held: tuple[bool, ...]
    ours: np.ndarray
    look_alike: np.ndarray
    seconds: float


def run_world(world: worlds.World, accounts: int, seed: int) -> Run:
    """One seed of a world of the tests."""
    observed = world.draw(accounts, seed)
    start = time.perf_counter()
    study = study_of(observed, checked_weights(None), seed)
    seconds = time.perf_counter() - start
    claimed = study.findings.claimed
    finds_planted = bool(world.ideal) and any(
        worlds.overlap(world, j.rule, world.ideal) >= FOUND_FROM for j in claimed[:3]
    )
    truth = world.truth([j.rule for j in claimed])
    held = tuple(
        bool(m.low <= true[name][1] <= m.high)
        for j, true in zip(claimed, truth, strict=True)
        for name, m in j.outcomes.items()
        if m.lift is not None
    )
    fresh = world.prospects(FRESH, np.random.default_rng([seed, 5]))
    ours, look_alike = gains(study, fresh, world.expected(fresh))
    return Run(len(claimed), finds_planted, held, ours, look_alike, seconds)


def gains(study: Study, fresh: pd.DataFrame, true: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Gains of our list and of the better look-alike, relative to ranking by the truth."""
    value = (
        true["win"] * true["amount"] * (1 - true["discount"]) * terms_renewed(true["renews without contact"])
    )
    hourly = value / true["effort"]

    def gain(score: np.ndarray) -> np.ndarray:
        first = np.argsort(-score, kind="stable")[: round(SHARE * len(score))]
        return np.array([hourly[first].sum(), value[first].sum() / true["effort"][first].sum()])

    best = gain(hourly)
    scored = study.fit.score(fresh)
    alike = [gain(scored["win"].to_numpy()), gain(_boosted(study.observed, study, fresh))]
    ours = gain(scored["value_per_hour"].to_numpy()) / best
    theirs = max(alike, key=lambda g: g[0]) / best
    return ours, theirs


def _boosted(observed: Observed, study: Study, fresh: pd.DataFrame) -> np.ndarray:
    """P(win) by gradient-boosted trees on the same attributes."""
    encode = study.fit.encoding.encode
    rows = observed.frame.iloc[observed.deals["row"].to_numpy()]
    model = HistGradientBoostingClassifier(max_depth=3, max_iter=80, learning_rate=0.06, random_state=0)
    model.fit(encode(as_logs(rows, study.fit.logged)), observed.deals["won"].to_numpy())
    return model.predict_proba(encode(as_logs(fresh, study.fit.logged)))[:, 1]


def run_shipped(accounts: int, seed: int, later: shipped.Later) -> Run:
    """One seed of the shipped simulator with its planted profile, the whole way through files."""
    with tempfile.TemporaryDirectory() as folder:
        observed, seconds, crm = _observed(accounts, seed, True, Path(folder))
        start = time.perf_counter()
        study = study_of(observed, checked_weights(None), seed)
        seconds += time.perf_counter() - start
        hours = shipped.hours_by_calls(crm, study.observed.deals)
    claimed = study.findings.claimed
    planted = shipped.PLANTED.covers(study.observed.frame)

    def overlap(rule: Rule) -> float:
        inside = rule.covers(study.observed.frame)
        return float((inside & planted).sum() / max((inside | planted).sum(), 1))

    finds_planted = any(overlap(j.rule) >= FOUND_FROM for j in claimed[:3])
    held = tuple(
        bool(m.low <= later.lift(j.rule, name) <= m.high)
        for j in claimed
        for name, m in j.outcomes.items()
        if m.low is not None and m.high is not None
    )
    prospects, true = shipped.fresh(FRESH // 10, seed + 50_000, hours)
    ours, look_alike = gains(study, study.fit.read(prospects), true)
    return Run(len(claimed), finds_planted, held, ours, look_alike, seconds)


def run_flips(accounts: int, seed: int) -> Run:
    """One seed of the shipped simulator with nothing but coin flips in it."""
    with tempfile.TemporaryDirectory() as folder:
        observed, seconds, _ = _observed(accounts, seed, False, Path(folder))
    start = time.perf_counter()
    findings = discover(observed.frame, observed.account, observed.samples, checked_weights(None), seed=seed)
    seconds += time.perf_counter() - start
    return Run(len(findings.claimed), False, (), np.ones(2), np.ones(2), seconds)


def _observed(accounts: int, seed: int, signal: bool, home: Path) -> tuple[Observed, float, Crm]:
    simulate(home / "files", accounts=accounts, seed=seed, signal=signal, draws=0)
    start = time.perf_counter()
    crm = load(home / "files", into=home / "crm")
    observed = observe(crm, Settings(home=home, threads=1))
    return observed, time.perf_counter() - start, crm


def million(rows: int = 1_000_000) -> str:
    """Score and rank a million prospects."""
    world = worlds.WORLDS["midsized hospitals"]
    study = study_of(world.draw(2000, 0), checked_weights(None))
    prospects = world.prospects(rows, np.random.default_rng(1))
    start = time.perf_counter()
    np.argsort(-study.fit.score(prospects)["value_per_hour"].to_numpy(), kind="stable")
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return (
        f"{rows:,} prospects scored and ranked in {seconds:.1f} s; peak memory of the process {peak:,.0f} MB"
    )


def share(values: Iterable[Any]) -> str:
    """A share with two standard errors."""
    sample = np.array(list(values), dtype=float)
    if not len(sample):
        return "–"
    p = sample.mean()
    return f"{p:.3f} ± {2 * np.sqrt(p * (1 - p) / len(sample)):.3f}"


def table_of_worlds(accounts: int, seeds: int) -> None:
    """One row a world."""
    columns = ("world", "seeds × accounts", "any claimed", "among the first three", "intervals that hold")
    more = ("all of a run", "list: gain", "look-alike", "s a run")
    print("| " + " | ".join(columns + more) + " |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, world in worlds.WORLDS.items():
        row(name, accounts, [run_world(world, accounts, seed) for seed in range(seeds)], bool(world.ideal))


def table_of_shipped(accounts: int, seeds: int, flips: int) -> None:
    """The shipped simulator with its profile, and all coin flips; every tenth seed the row as it stands."""
    with tempfile.TemporaryDirectory() as folder:
        later = shipped.later_half(LATER, LATER_SEED, Path(folder))
    for name, count, run in (
        ("shipped simulator", seeds, lambda seed: run_shipped(accounts, seed, later)),
        ("shipped simulator, coin flips", flips, lambda seed: run_flips(accounts, seed)),
    ):
        runs: list[Run] = []
        for seed in range(count):
            runs.append(run(seed))
            if seed % 10 == 9 or seed == count - 1:
                row(name, accounts, runs, name == "shipped simulator")


def row(name: str, accounts: int, runs: list[Run], is_planted: bool) -> None:
    """One line of the table."""
    planted = share(r.finds_planted for r in runs) if is_planted else "nothing planted"
    ours, theirs = (np.mean([getattr(r, who) for r in runs], axis=0) for who in ("ours", "look_alike"))
    gain = f"{ours[0]:.3f} (least {min(r.ours[0] for r in runs):.3f}; by sums {ours[1]:.3f})"
    held, all_held = share(h for r in runs for h in r.held), share(all(r.held) for r in runs if r.held)
    print(
        f"| {name} | {len(runs)} × {accounts} | {share(r.claimed > 0 for r in runs)} | {planted} | {held} | "
        f"{all_held} | {gain} | {theirs[0]:.3f} (by sums {theirs[1]:.3f}) | "
        f"{np.mean([r.seconds for r in runs]):.1f} |",
        flush=True,
    )


def main() -> None:
    """Print the tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=100)
    options.add_argument("--accounts", type=int, default=800)
    options.add_argument("--shipped", type=int, default=10)
    options.add_argument("--shipped-accounts", type=int, default=2000)
    options.add_argument("--flips", type=int, help="seeds of coin flips; default: as many as --shipped")
    arguments = options.parse_args()
    if arguments.seeds:
        table_of_worlds(arguments.accounts, arguments.seeds)
    if arguments.shipped or arguments.flips:
        flips = arguments.shipped if arguments.flips is None else arguments.flips
        table_of_shipped(arguments.shipped_accounts, arguments.shipped, flips)
    print(million())


if __name__ == "__main__":
    main()
