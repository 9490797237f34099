"""Each customer's gain and the plan's, where both are known: `python -m benchmarks.personal_gains`.

In each seed's world (tests/support/effect_worlds) some thousand contracts are lived through, the timing trial
is estimated from what was recorded of them, and a likelihood to renew is fitted. Other contracts of the same
world then come due: each gets advice and a gain by the code that ships. What each would do under every window
is known, contract by contract, as worry does not depend on contact there: so is what following the plan
changes over what is done at present.

Wanted: at least 90 % of the gains within their intervals, and the plan's gain within its interval in at least
95 % of the seeds, above 0 where anything is advised. `raw` is what the average gain of everybody says of each
contract, and how often that promises more than there is to lose.
"""

import argparse
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.effects.advice import advised, personalised
from training.effects.answer import ALL, answer
from training.effects.estimate import estimate_strategies
from training.effects.inference import without_covariates
from training.effects.policy_value import worth
from training.effects.timing_curve import Curve, curves
from training.effects.timing_trial import NAMES
from training.intervals import fit_intervals

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import effect_worlds as base

WORLDS = {
    "peak": replace(base.PEAK, early=0.0),
    "gap": replace(base.GAP, early=0.0),
    "by group": replace(base.BY_GROUP, early=0.0),
    "none": replace(base.NO_EFFECT, early=0.0),
}
"""Without early decisions every window is open to every contract, and its outcomes are plain."""

LEAD = 180.0


@dataclass(frozen=True)
class Run:
    """One seed: contracts with a gain, within; beyond 1 − p by the average; the plan's true and estimated."""

    with_gain: int
    within: int
    mean_within: int
    beyond: int
    true: float
    gain: float
    low: float
    high: float


def potential(world: base.World, drawn: base.Drawn) -> np.ndarray:
    """(n, 7) each contract's probability of renewal under each strategy, `none` last."""
    first = np.full(len(drawn.y), len(base.NAMES))
    for k, window in enumerate(drawn.windows):
        first = np.where(window.at_risk & window.outbound.hit, k, first)
    effect = np.append(world.effect, 0.0) + drawn.group[:, None] * np.append(world.group_effect, 0.0)
    bare = logit(drawn.chance) - effect[np.arange(len(first)), first]
    return expit(bare[:, None] + effect)


def likelihood(trial: base.Drawn, later: base.Drawn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) each later contract's likelihood to renew under present practice, 180 days before its end.

    A regression on the trial's contracts, with intervals as models get them, of predictions held out.
    """
    model = make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression())
    X, Z = trial.windows[0].X, later.windows[0].X
    held = cross_val_predict(model, X, trial.y, cv=5, method="predict_proba")[:, 1]
    p = model.fit(X, trial.y).predict_proba(Z)[:, 1]
    low, high = fit_intervals(held, trial.y, np.arange(len(held))).at(p)
    return p, low, high


def estimated(trial: base.Drawn, seed: int) -> dict[str, Curve]:
    """The curves of everybody and of both groups, as they are shown."""
    whole = estimate_strategies(trial.windows, trial.y, trial.cluster, seed=seed)
    bare = estimate_strategies(
        without_covariates(trial.windows), trial.y, trial.cluster, seed=seed, errors=False
    )
    parts = {ALL: whole} | {f"group {g}": whole.among(trial.group == g) for g in (0, 1)}
    return curves(answer("renewal", tuple(reversed(NAMES)), parts, bare, seed=seed))


def coming(later: base.Drawn) -> pd.DataFrame:
    """Contracts that end in 180 days, not contacted yet, as `timing_curve.coming` has them."""
    n = len(later.y)
    end = pd.Timestamp("2026-01-01") + pd.Timedelta(days=LEAD)
    ids = [f"C{i}" for i in range(n)]
    names = ("contacted_at", "planned_at", "mail_answered_at")
    never = {name: pd.Series(pd.NaT, range(n), dtype="datetime64[us]") for name in names}
    rows = {"contract_id": ids, "account_id": ids, "account_name": ids, "owner_id": "O", "region": "R"}
    facts = {"ends_at": end, "days_to_end": LEAD, "amount": 1.0, "planned": None}
    return pd.DataFrame({**rows, "group": [f"group {g}" for g in later.group], **never, **facts})


def one_run(world: base.World, n: int, coming_n: int, seed: int) -> Run:
    """Estimate, advise, and compare with what is true of each contract."""
    trial, later = world.draw(n, seed), world.draw(coming_n, seed + 500_000)
    curve_by_group = estimated(trial, seed)
    p, low, high = likelihood(trial, later)
    table = coming(later)
    limits = dict(zip(table["contract_id"], zip(p, low, high, strict=True), strict=True))
    average = advised(table, curve_by_group)
    rows = personalised(average, curve_by_group, limits)
    possible, names = potential(world, later), list(NAMES)
    with_gain = within = mean_within = beyond = 0
    gains = []
    for at, (row, mean) in enumerate(zip(rows, average, strict=True)):
        if row["gain"] is None:
            continue
        curve = curve_by_group[row["curve"]]
        usual = curve.usual(LEAD)
        columns = [names.index(bucket) for bucket in curve.buckets]
        true = possible[at, names.index(row["leaning"])] - usual @ possible[at, columns]
        with_gain += 1
        within += row["low"] <= true <= row["high"]
        mean_within += mean["low"] <= true <= mean["high"]
        beyond += mean["gain"] > 1 - p[at]
        if row["window"] is not None:
            gains.append(possible[at, names.index(row["window"])] - later.chance[at])
    total = worth(rows, curve_by_group, {})
    ends = (np.nan, np.nan, np.nan) if total["money"] is None else (
        total["money"], total["low"], total["high"]
    )  # fmt: skip
    return Run(with_gain, within, mean_within, beyond, float(np.sum(gains)), *ends)


def share(hits: np.ndarray) -> str:
    """A share in per cent with two standard errors."""
    p, n = float(np.mean(hits)), len(hits)
    return f"{100 * p:5.1f} % ± {200 * np.sqrt(max(p * (1 - p), 0.25 / n) / n):.1f}"


def report(name: str, n: int, runs: list[Run]) -> None:
    """What the runs of one world show."""
    with_gain = sum(run.with_gain for run in runs)
    print(f"{name}: {n:,} contracts in the trial, {len(runs)} seeds")
    for words, hits, wanted in (
        ("gains of single contracts within their intervals", sum(r.within for r in runs), "(>= 90 %)"),
        ("raw: within the interval of the average", sum(r.mean_within for r in runs), ""),
        ("raw: average gain beyond what there is to lose", sum(r.beyond for r in runs), "(ours: 0)"),
    ):
        print(f"  {words:<49} {hits / with_gain:.1%}  {wanted}".rstrip())
    advising = [run for run in runs if np.isfinite(run.gain)]
    print(f"  seeds with advice                                 {len(advising)} of {len(runs)}")
    if advising:
        held = np.array([run.low <= run.true <= run.high for run in advising])
        better = np.array([run.true > 0 for run in advising])
        gain, true = np.mean([run.gain for run in advising]), np.mean([run.true for run in advising])
        print(f"  the plan's gain within its interval               {share(held)}  (>= 95 %)")
        print(f"  following the plan beats the present              {share(better)}")
        print(f"  renewals gained: estimated {gain:.1f}, true {true:.1f}", flush=True)


def main() -> None:
    """Run the worlds asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("worlds", nargs="*", default=list(WORLDS), help=", ".join(WORLDS))
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first-seed", type=int, default=20_000)
    parser.add_argument("--contracts", type=int, default=3_000, help="in the trial")
    parser.add_argument("--coming", type=int, default=1_000, help="contracts that come due")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    for name in options.worlds:
        seeds = range(options.first_seed, options.first_seed + options.seeds)
        runs = [one_run(WORLDS[name], options.contracts, options.coming, seed) for seed in seeds]
        report(name, options.contracts, runs)


if __name__ == "__main__":
    main()
