"""Planted truths among idle columns, and many owners: `python -m benchmarks.models_planted`.

1,500 contracts at three looks by 160 idle columns. In `alone` three columns matter, in `together` an
attribute matters only for those first met early, in `opposed` it turns the sign of the timing's effect, and
in `owners` one of 150 owners looks after each. The same procedure runs with the part that is meant to help
and without: columns offered to trees by how stable they are, and target statistics of many-valued categories.
Excess is log loss on later contracts above the truth's own; ± one standard error over seeds.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd

import training.candidates as candidates
from features.catalog.declare import Info
from training.boosting import DEFAULT
from training.candidates import encoded_rows
from training.dataset import Dataset, dataset
from training.linear import fit_logistic
from training.metrics import log_loss, to_probability
from training.penalty import choose_penalty
from training.racing import Race
from training.search import Tuned, fit_tuned
from training.select import tuning_folds
from training.split import Split, forward_split
from training.training_rows import EVERYTHING, WEIGHTED

CONTRACTS, IDLE, OWNERS = 1500, 150, 150
LEADS = np.array([120, 60, 14])
SETTINGS = [
    {**DEFAULT, "max_depth": depth, "colsample_bytree": share}
    for depth, share in ((1, 0.3), (2, 0.2), (3, 0.4))
]


def world_of(world: str, seed: int) -> tuple[Dataset, np.ndarray]:
    """A dataset of this world and its true probabilities (n,)."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(CONTRACTS), len(LEADS))

    def quantity() -> np.ndarray:
        return 0.8 * rng.normal(size=CONTRACTS)[of] + 0.6 * rng.normal(size=len(of))

    def words(levels: int) -> pd.Series:
        values = [f"v{value}" for value in rng.integers(0, levels, CONTRACTS)[of]]
        return pd.Series(values).astype("category")

    X: dict[str, object] = {f"idle {at}": quantity() for at in range(IDLE)}
    X |= {f"idle attribute {at}": words(3 + at) for at in range(10)}
    first, second, third, timing = quantity(), quantity(), quantity(), quantity()
    attribute = rng.integers(0, 3, CONTRACTS)[of]
    owner = rng.integers(0, OWNERS, CONTRACTS)[of]
    X |= {"first": first, "second": second, "third": third, "days to first contact": timing}
    X |= {"segment": pd.Categorical([f"s{at}" for at in attribute])}
    margin = 0.6 + 0.35 * first - 0.35 * second + 0.3 * np.maximum(third, 0)
    if world == "together":
        margin += 1.2 * ((attribute == 0) & (timing < 0))
    if world == "opposed":
        margin += 0.8 * np.where(attribute == 0, 1, -1) * np.sign(timing)
    if world == "owners":
        X["owner"] = pd.Categorical([f"owner {at}" for at in owner])
        margin += 0.9 * rng.normal(size=OWNERS)[owner]
    p = (np.bincount(of, to_probability(margin)) / len(LEADS))[of]
    y = (rng.random(CONTRACTS)[of] < p).astype(float)
    frame = pd.DataFrame(X)
    frame = frame[list(rng.permutation(frame.columns))]
    infos = {str(name): Info(str(name), str(name), "number", "accounts", "here") for name in frame}
    return dataset(frame, y, _snapshots(rng, of, y), infos, "renewal", True), p


def _snapshots(rng: np.random.Generator, of: np.ndarray, y: np.ndarray) -> pd.DataFrame:
    end = pd.Timestamp("2021-06-01") + pd.to_timedelta(rng.integers(0, 1400, CONTRACTS), "D")
    lead = np.tile(LEADS, CONTRACTS)
    ids = np.char.add("C", of.astype(str))
    rows = pd.DataFrame({"subject_id": ids, "account_id": ids, "label": y, "lead_days": lead.astype(float)})
    return rows.assign(
        as_of=end[of] - pd.to_timedelta(lead, "D"), matured_at=end[of] + pd.Timedelta(45, "D"), amount=100
    )


def trees(ds: Dataset, split: Split, choice: str) -> np.ndarray:
    """Later rows' probabilities by the best of three settings, its trees offered columns by this choice."""
    earlier = ds.take(split.train)
    rows, encoding = encoded_rows(earlier)
    folds = tuning_folds(earlier, 0)
    race = Race(rows, folds, seed=0, threads=1)
    runs = [(race.run({**each, "features": choice}, lambda *_: None), each) for each in SETTINGS]
    best, params = min(runs, key=lambda run: run[0].loss if not run[0].is_behind else np.inf)
    contracts = int(np.mean([rows.contracts(fold.train) for fold in folds]))
    tuned = Tuned({**params, "features": choice}, best.rounds, best.loss, 3, contracts, "", "")
    fitted = fit_tuned(rows, np.arange(len(earlier)), tuned, seed=0, threads=1)
    return to_probability(fitted.margin(encoding.encode(ds.X.iloc[split.test])))


def regression(ds: Dataset, split: Split) -> np.ndarray:
    """Later rows' probabilities by the regression."""
    earlier = ds.take(split.train)
    rows, encoding = encoded_rows(earlier)
    chosen = choose_penalty(rows, tuning_folds(earlier, 0)).regression
    fitted = fit_logistic(
        rows.E, rows.y, rows.weight, rows.types, C=chosen.C, curved=chosen.curved, sparse=chosen.sparse
    )
    return to_probability(fitted.margin(encoding.encode(ds.X.iloc[split.test])))


@contextmanager
def without_statistics() -> Iterator[None]:
    """Many-valued categories encoded value by value, as if there were no statistics."""
    many_valued = candidates.many_valued
    candidates.many_valued = lambda X: []
    try:
        yield
    finally:
        candidates.many_valued = many_valued


def value_by_value(ds: Dataset, split: Split) -> np.ndarray:
    """`regression` without target statistics."""
    with without_statistics():
        return regression(ds, split)


CONTENDERS: dict[str, dict[str, Callable[[Dataset, Split], np.ndarray]]] = {
    world: {
        "trees, columns alike": lambda ds, split: trees(ds, split, EVERYTHING),
        "trees, stable columns first": lambda ds, split: trees(ds, split, WEIGHTED),
    }
    for world in ("alone", "together", "opposed")
} | {"owners": {"regression, value by value": value_by_value, "regression, target statistics": regression}}


def main() -> None:
    """A line for each world and contender."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--worlds", nargs="*", default=list(CONTENDERS), choices=list(CONTENDERS))
    given = parser.parse_args()
    for world in given.worlds:
        excess: dict[str, list[float]] = {name: [] for name in CONTENDERS[world]}
        for seed in range(given.seeds):
            ds, p = world_of(world, seed)
            split = forward_split(ds)
            y = ds.y[split.test]
            for name, fit in CONTENDERS[world].items():
                excess[name].append(log_loss(y, fit(ds, split)) - log_loss(y, p[split.test]))
        without, with_part = map(np.array, excess.values())
        gain = without - with_part
        for name, values in excess.items():
            print(f"{world:9} {name:32} excess {np.mean(values):.4f}", flush=True)
        error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.nan
        print(f"{world:9} gain {gain.mean():.4f} ± {error:.4f}, {len(gain)} seeds", flush=True)


if __name__ == "__main__":
    main()
