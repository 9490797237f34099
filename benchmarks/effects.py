"""Effects against worlds whose truth is known: `python -m benchmarks.effects [PART …]` from the repo root.

Each row states the world with the planted gap to the second best in points, contracts a run, runs, and what
was found; ± is two standard errors of a share. Seeds are 10,000 and up, one a run. `--quick` takes a tenth
of the runs. `--keep FILE` writes every run as a line of JSON as it ends and takes those it finds there as
done, so a run that was cut short goes on, and with `--show` prints what it has.

Worlds: `peak` and `severe` are strongly confounded by worry that changes over time, `gap` has 8 points
between the best and the second best, `alarms` works by another mechanism (effect_worlds_alarm), in
`none` and `calm` nothing has an effect. `peers` runs other tools on the same draws
(benchmarks/effects_peers.py); `whole` goes all the way from a simulated CRM with about 20,000 contracts in
the trial.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy import stats

from training.effects.answer import infer, infer_groups
from training.effects.estimate import estimate_strategies
from training.effects.inference import margin, without_covariates
from training.effects.trial_arrays import Strategies

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import effect_worlds as base
from effect_worlds_alarm import ALARMS, CALM

from benchmarks.effects_peers import at_hand, gains_of


class World(Protocol):
    """What persons are drawn from whose probabilities under each strategy are known."""

    def draw(self, n: int, seed: int) -> base.Drawn:
        """So many persons."""

    def truth(self) -> np.ndarray:
        """(7,) P(renew) under each strategy."""
        ...


WORLDS: dict[str, World] = {
    "peak": base.PEAK,
    "severe": base.SEVERE,
    "gap": base.GAP,
    "none": base.NO_EFFECT,
    "shared": base.SHARED,
    "no overlap": base.NO_OVERLAP,
    "hidden": base.HIDDEN,
    "by group": base.BY_GROUP,
    "alarms": ALARMS,
    "calm": CALM,
}
FIRST_SEED = 10_000
NO_EFFECT = 0.005
NOT_KEPT = ("groups", "peers", "whole")


@dataclass(frozen=True)
class Run:
    """One run: estimates, ends, may be the best, usable, raw rates (7,); margin, CPU seconds; NaN: none."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    keep: np.ndarray
    usable: np.ndarray
    raw: np.ndarray
    bound: float
    seconds: float


@dataclass
class Kept:
    """Runs done before, by world, n and seed; new ones are appended to the file, if there is one."""

    file: Path | None
    done: dict[tuple[str, int, int], Run]
    only_show: bool = False

    @classmethod
    def at(cls, file: Path | None, only_show: bool = False) -> "Kept":
        """What the file holds."""
        done = {}
        for text in file.read_text().splitlines() if file and file.exists() else []:
            row = json.loads(text)
            key = row.pop("world"), row.pop("n"), row.pop("seed")
            bound, seconds = (float(np.array(row.pop(name), float)) for name in ("bound", "seconds"))
            arrays = {k: np.array(v, float if k not in ("keep", "usable") else bool) for k, v in row.items()}
            done[key] = Run(**arrays, bound=bound, seconds=seconds)
        return cls(file, done, only_show)

    def runs(self, name: str, n: int, seeds: int, unseen: bool = False) -> list[Run]:
        """One run a seed, those not done yet now."""
        runs = []
        for seed in range(FIRST_SEED, FIRST_SEED + seeds):
            key = (name, n, seed)
            if key not in self.done and not self.only_show:
                self.done[key] = ours(WORLDS[name], n, seed, unseen)
                self._append(key, self.done[key])
            if key in self.done:
                runs.append(self.done[key])
        return runs

    def _append(self, key: tuple[str, int, int], run: Run) -> None:
        if self.file is None:
            return
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in asdict(run).items()}
        with self.file.open("a") as out:
            out.write(json.dumps(dict(zip(("world", "n", "seed"), key, strict=True)) | plain) + "\n")


@cache
def truth(name: str) -> np.ndarray:
    """(7,) P(renew) under each strategy."""
    return WORLDS[name].truth()


def ours(world: World, n: int, seed: int, unseen: bool = False) -> Run:
    """Our estimate of one drawn world; with `unseen` also the margin for unseen worry."""
    drawn = world.draw(n, seed)
    start = time.process_time()
    strategies = estimate_strategies(drawn.windows, drawn.y, drawn.cluster, seed=seed)
    inferred = infer(strategies, seed)
    seconds, bound = time.process_time() - start, np.nan
    if unseen:
        nothing = without_covariates(drawn.windows)
        bare = estimate_strategies(nothing, drawn.y, drawn.cluster, seed=seed, errors=False)
        bound = margin(strategies.estimate, bare.estimate, inferred.usable)
    return Run(
        inferred.estimate,
        inferred.low,
        inferred.high,
        inferred.keep,
        inferred.usable,
        strategies.raw,
        bound,
        seconds,
    )


def share(hits: list[bool] | np.ndarray) -> str:
    """A share in per cent with two standard errors."""
    p, n = float(np.mean(hits)), len(hits)
    return f"{100 * p:5.1f} % ± {200 * np.sqrt(max(p * (1 - p), 0.25 / n) / n):.1f}"


def line(name: str, world: str, n: int, seeds: int, figure: str, wanted: str = "") -> None:
    """Print one row of the table."""
    print(f"{name:<42} {world:<13} {n:>6} {seeds:>4}  {figure:<20} {wanted}".rstrip(), flush=True)


def about(name: str, n: int, done: list[Run]) -> Iterator[tuple[str, str, str]]:
    """What is asked of a world's runs: measure, found, wanted."""
    real = truth(name)
    best, effect = int(np.argmax(real)), float(np.ptp(real)) > NO_EFFECT
    whole = [bool(np.all((r.low <= real) & (real <= r.high) | ~r.usable)) for r in done]
    yield "all intervals hold together", share(whole), ">= 95 % - 2 SE"
    each = np.concatenate([((r.low <= real) & (real <= r.high))[r.usable] for r in done])
    yield "windows estimated; intervals that hold", f"{_mean(done, 'usable'):.2f} of 7; {each.mean():.1%}", ""
    if not effect:
        yield "an effect is claimed", share([not r.keep.all() for r in done]), "<= 5 % + 2 SE"
        return
    wrong = [bool(np.nanargmax(r.raw) != best) for r in done]
    yield "raw rates name a wrong window", share(wrong), "most, where worry confounds"
    yield "set holds the true best", share([bool(r.keep[best]) for r in done]), ">= 95 % - 2 SE"
    yield "windows named", f"{_mean(done, 'keep'):.2f}", "<= 3" if n >= 20_000 else ""
    alone = [bool(r.keep[best]) and r.keep.sum() == 1 for r in done]
    yield "true best alone", share(alone), ">= 70 %" if (name, n) == ("gap", 20_000) else ""


def _mean(done: list[Run], field: str) -> float:
    return float(np.mean([getattr(r, field).sum() for r in done]))


def world_rows(store: Kept, name: str, n: int, seeds: int) -> None:
    """All rows of one world and size."""
    done = store.runs(name, n, seeds)
    if not done:
        return
    gap = float(np.diff(np.sort(truth(name))[-2:])[0])
    label = name if np.ptp(truth(name)) <= NO_EFFECT else f"{name} ({100 * gap:.1f})"
    for measure, figure, wanted in about(name, n, done):
        line(measure, label, n, len(done), figure, wanted)
    line("CPU seconds a run", label, n, len(done), f"{np.mean([r.seconds for r in done]):.2f}")


def no_overlap(store: Kept, n: int, seeds: int) -> None:
    """Without overlap no estimate may be given."""
    done = store.runs("no overlap", n, seeds)
    if done:
        line(
            "can't tell", "no overlap", n, len(done), share([not r.usable.any() for r in done]), "every time"
        )


def hidden(store: Kept, n: int, seeds: int) -> None:
    """With part of the worry unrecorded, the margin covers the bias."""
    done = store.runs("hidden", n, seeds, unseen=True)
    if not done:
        return
    largest = float(np.abs(np.nanmean([r.estimate - truth("hidden") for r in done], axis=0)).max())
    bounds = [r.bound for r in done]
    figure = f"{100 * largest:.1f}, {100 * np.mean(bounds):.1f}"
    line("largest bias of a window, mean margin", "hidden", n, len(done), figure)
    line("margin covers it", "hidden", n, len(done), share([largest <= bound for bound in bounds]), "yes")


def by_group(n: int, seeds: int) -> None:
    """Two groups, the best window of each its own: is it in each group's set, and do the intervals hold?"""
    real = base.BY_GROUP.truth_by_group(100_000)
    held, named, whole = [], [], []
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        drawn = base.BY_GROUP.draw(n, seed)
        strategies = estimate_strategies(drawn.windows, drawn.y, drawn.cluster, seed=seed)
        groups = {str(g): strategies.among(drawn.group == g) for g in (0, 1)}
        inferred = infer_groups(groups, infer(strategies, seed).why, [], seed)
        for g, t in enumerate(real):
            one = inferred[str(g)]
            held.append(bool(one.keep[np.argmax(t)]))
            named.append(int(one.keep.sum()))
            whole.append(bool(np.all((one.low <= t) & (t <= one.high) | ~one.usable)))
    line("set holds the group's best", "by group", n, seeds, share(held), ">= 95 % - 2 SE")
    line("windows named a group", "by group", n, seeds, f"{np.mean(named):.2f}")
    line("all intervals of a group hold", "by group", n, seeds, share(whole), ">= 95 % - 2 SE")


def peers(n: int, seeds: int) -> None:
    """Error and pointwise coverage of the gains over no contact, the window named, and time, a tool a row."""
    real = truth("peak")
    gains = real[:-1] - real[-1]
    methods = at_hand()
    gathered: dict[str, list[tuple[np.ndarray, np.ndarray, float]]] = {
        name: [] for name in ("ours", *methods)
    }
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        drawn = base.PEAK.draw(n, seed)
        start = time.process_time()
        strategies: Strategies = estimate_strategies(drawn.windows, drawn.y, drawn.cluster, seed=seed)
        gathered["ours"].append((*gains_of(strategies), time.process_time() - start))
        for name, method in methods.items():
            start = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                gathered[name].append((*method(drawn, strategies), time.process_time() - start))
    head = f"{'RMSE, points':>13} {'coverage':>9} {'best named':>11} {'CPU s':>7}"
    print(f"\n{'gain over no contact, on peak':<46} {'n':>6} {'runs':>4} {head}")
    for name, done in gathered.items():
        error = np.array([estimate - gains for estimate, _, _ in done])
        held = np.abs(error) <= stats.norm.isf(0.025) * np.array([spread for _, spread, _ in done])
        named = [int(np.nanargmax(np.append(estimate, 0.0))) for estimate, _, _ in done]
        right, seconds = np.mean(np.array(named) == np.argmax(real)), np.mean([s for _, _, s in done])
        rmse = 100 * np.sqrt(np.nanmean(error**2))
        figures = f"{rmse:>13.2f} {held.mean():>9.1%} {right:>11.1%} {seconds:>7.2f}"
        print(f"{name:<46} {n:>6} {seeds:>4} {figures}", flush=True)


def whole(accounts: int) -> None:
    """`effects timing` of a simulated CRM, from Parquet files to the answer, beside the simulator's truth."""
    from features.crm.load import load
    from features.settings import Settings
    from features.simulation import simulate
    from training.effects import timing

    with tempfile.TemporaryDirectory() as there:
        real = simulate(Path(there, "crm"), accounts=accounts, seed=1)["timing"]
        crm = load(Path(there, "crm"), mapping=None, until=None, into=Path(there, "clean"))
        start, cpu = time.perf_counter(), time.process_time()
        answer = timing(crm, Settings(home=Path(there, "home"), threads=2))
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    rows = [row for row in answer["rows"] if row["group"] == "all"]
    n = sum(row["n"] for row in rows)
    line("wall, CPU seconds from CRM to answer", "simulated", n, 1, f"{seconds:.0f}, {cpu:.0f}", "< 180")
    alike = answer["indistinguishable"]["all"]
    line("named; the simulator's best", "simulated", n, 1, f"{', '.join(alike)}; {real['best']}")
    off = [abs(row["estimate"] - real["windows"][row["bucket"]]["all"]) for row in rows if row["overlap_ok"]]
    raw = [abs(row["raw"] - real["windows"][row["bucket"]]["all"]) for row in rows if row["overlap_ok"]]
    figure = f"{100 * np.mean(off):.1f}; {100 * np.mean(raw):.1f}"
    line("mean error in points; of raw rates", "simulated", n, 1, figure)


def sections(few: int, store: Kept) -> dict[str, Callable[[], None]]:
    """The table's parts by name, each with its runs divided by `few`."""

    def rows(*sizes: tuple[str, int, int]) -> Callable[[], None]:
        def part() -> None:
            for name, n, seeds in sizes:
                world_rows(store, name, n, max(seeds // few, 3))

        return part

    def overlap() -> None:
        no_overlap(store, 800, max(40 // few, 3))
        no_overlap(store, 3_000, max(20 // few, 3))

    return {
        "confounding": rows(("peak", 3_000, 100), ("severe", 3_000, 50), ("alarms", 3_000, 30)),
        "large": rows(("peak", 20_000, 20), ("gap", 20_000, 30), ("alarms", 20_000, 10)),
        "small": rows(("peak", 1_000, 200), ("none", 1_000, 200), ("calm", 1_000, 50), ("shared", 2_000, 30)),
        "overlap": overlap,
        "hidden": lambda: hidden(store, 3_000, max(30 // few, 3)),
        "groups": lambda: by_group(16_000, max(10 // few, 2)),
        "peers": lambda: peers(3_000, max(20 // few, 2)),
        "whole": lambda: whole(12_600 // few),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = ", ".join(sections(1, Kept(None, {})))
    parser.add_argument("parts", nargs="*", help=f"any of {names}; all by default")
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs")
    parser.add_argument("--keep", type=Path, help="a file of runs done, to go on from")
    parser.add_argument("--show", action="store_true", help="with --keep: print what is there, run nothing")
    options = parser.parse_args()
    parts = sections(10 if options.quick else 1, Kept.at(options.keep, options.show))
    shown = [name for name in parts if not (options.show and name in NOT_KEPT)]
    print(f"{'measure':<42} {'world':<13} {'n':>6} {'runs':>4}  {'found':<20} wanted")
    for name in options.parts or shown:
        parts[name]()


if __name__ == "__main__":
    main()
