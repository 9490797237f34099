"""False alarms and finds of the whole monitoring report: `python -m benchmarks.monitoring` from the root.

Each run has 2,000 predictions of 1,000 accounts, two contracts each whose features hang together, a reference
of 4,000 rows, and a history before it; the model is a regression fitted on the history, its forerunner one
fitted on half of it. A twentieth of the accounts is held out, a fifth acted on. `nothing` counts runs with
any alert at all (features, scores, data quality, performance, former champion and parity of two segments
together); the others count runs in which the change was named. `--whole` asks `monitor` itself, with its
store, registry and Evidently report, on simulated CRMs in which nothing changed. `--evidently` counts how
often Evidently's own drift preset, as it comes, flags a column on the same rows with nothing changed.
`--journey` asks on simulated CRMs whether the planted stage is named, and none where none is planted.
`--large` times a report of 100,000 predictions.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from sklearn.linear_model import LogisticRegression

from monitoring.checks import Check, Verdict
from monitoring.drift import shifts
from monitoring.forecasters import former_check, versus
from monitoring.live_parity import ParityRows, parity_by_segment
from monitoring.performance import performance, split_decided
from monitoring.report import drift_checks, score_checks
from monitoring.windows import one_per_lead, windows
from training.metrics import to_logit, to_probability
from training.penalty import Regression

CARRYING = 10
LEADS = (180, 150, 120, 90, 60, 30, 14)
UNTIL = pd.Timestamp("2026-01-01")


def rows(n: int, features: int, start: str, draw: np.random.Generator) -> pd.DataFrame:
    """Contracts, two an account, with numbers, counts, gaps and categories that stand still."""
    account = np.arange(n) // 2
    as_of = pd.Timestamp(start) + pd.to_timedelta(draw.integers(0, 180, n), unit="D")
    frame: dict[str, object] = {
        "subject_id": [f"{start}-{i}" for i in range(n)],
        "account_id": [f"{start}-{i}" for i in account],
        "as_of": as_of,
        "lead_days": draw.choice(LEADS, n).astype(float),
        "matured_at": as_of + pd.Timedelta(days=120),
    }
    shared = draw.normal(size=(account.max() + 1, features))[account]
    values = 0.8 * shared + 0.6 * draw.normal(size=(n, features))
    for at in range(features):
        column = values[:, at]
        if at % 5 == 3:
            column = np.floor(np.exp(column))
        if at % 5 == 4:
            column = np.where(draw.random(n) < 0.2, np.nan, column)
        frame[f"x{at}"] = column
    levels = draw.choice(list("abcde"), account.max() + 1, p=[0.4, 0.3, 0.15, 0.1, 0.05])[account]
    frame["industry"] = pd.Categorical(levels)
    return pd.DataFrame(frame)


def log_odds(frame: pd.DataFrame) -> np.ndarray:
    """True log-odds of renewal: the first columns carry them, the first one most."""
    strength = np.array([0.7, *np.linspace(0.5, 0.1, CARRYING - 1)])
    numbers = np.nan_to_num(frame[[f"x{at}" for at in range(CARRYING)]].to_numpy())
    return 1.9 + np.clip(numbers, -3, 3) @ strength + np.where(frame["industry"] == "a", 0.3, 0.0)


class Served:
    """A regression fitted on the history: its probabilities, and what each column carries."""

    def __init__(self, history: pd.DataFrame, features: int, draw: np.random.Generator) -> None:
        self.columns = [f"x{at}" for at in range(features)]
        y = draw.random(len(history)) < to_probability(log_odds(history))
        self.fit = LogisticRegression(C=0.1, max_iter=500).fit(self._design(history), y)
        spread = np.abs(self._design(history)).mean(axis=0) * np.abs(self.fit.coef_[0])
        self.importance = dict(zip(self.columns, spread[: len(self.columns)].tolist(), strict=True))
        self.importance["industry"] = float(spread[len(self.columns) :].sum())

    def _design(self, frame: pd.DataFrame) -> np.ndarray:
        numbers = np.clip(np.nan_to_num(frame[self.columns].to_numpy(float)), -3, 3)
        return np.column_stack([numbers, *[frame["industry"] == level for level in "abcde"]])

    def probability(self, frame: pd.DataFrame) -> np.ndarray:
        """(n,) probability of renewal."""
        return self.fit.predict_proba(self._design(frame))[:, 1]


Change = Callable[[pd.DataFrame], pd.DataFrame]


def _half_a_deviation(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(x0=frame["x0"] + 0.5 * frame["x0"].std())


def _new_category(frame: pd.DataFrame) -> pd.DataFrame:
    fresh = pd.factorize(frame["account_id"])[0] % 20 == 0
    return frame.assign(industry=frame["industry"].astype(object).where(~fresh, "z"))


def _gone(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(x5=np.nan)


CHANGES: dict[str, tuple[Change, str]] = {
    "nothing": (lambda frame: frame, ""),
    "half a standard deviation in the heaviest column": (_half_a_deviation, "drift: x0"),
    "a new category in 5 % of accounts": (_new_category, "data quality: industry new category"),
    "a column gone missing": (_gone, "data quality: x5 missing"),
    "twice the losses": (lambda frame: frame, "performance: calibration"),
    "overconfident by a factor of 2": (lambda frame: frame, "performance: calibration slope"),
    "a champion worse than the one before": (lambda frame: frame, "former champion: log loss"),
}


def report(name: str, seed: int, features: int) -> list[Check]:
    """All checks of one run."""
    draw = np.random.default_rng(seed)
    history = rows(8_000, features, "2023-01-01", draw)
    served = Served(history, features, draw)
    reference = rows(4_000, features, "2024-01-01", draw)
    before = rows(2_000, features, "2024-10-01", draw)
    loss = 1 - to_probability(log_odds(before))
    lost = draw.random(len(before)) < loss * (2 if name == "twice the losses" else 1)
    current = CHANGES[name][0](before)
    for frame in (history, reference, current):
        frame["probability"] = served.probability(frame)
    former = Served(history.iloc[: len(history) // 2], features, np.random.default_rng([seed, 1]))
    current["other"] = former.probability(current)
    if name.startswith("a champion worse"):
        current["other"], mixed = current["probability"], current["probability"].to_numpy().copy()
        mixed[::3] = draw.permutation(mixed[::3])  # a third of the scores are of somebody else
        current["probability"] = mixed
    if name.startswith("overconfident"):
        logits = to_logit(current["probability"].to_numpy(float))
        stretched = logits.mean() + 2 * (logits - logits.mean())
        current["probability"] = to_probability(stretched)
    current["label"] = (~lost).astype(float)
    compared = windows(reference, current, "renewal", seed, history)
    columns = [*served.columns, "industry"]
    checks = drift_checks(shifts(compared, columns, importance=served.importance), compared.accounts)
    checks += score_checks(shifts(compared, ["probability"], alpha=0.005), compared.accounts)
    judged = one_per_lead(current, "renewal").assign(p=lambda frame: frame["probability"])
    treated = np.random.default_rng([seed, 2]).random(1_000)[pd.factorize(judged["account_id"])[0]]
    outcomes = split_decided(judged.assign(held_out=treated < 0.05, acted=treated > 0.8), UNTIL)
    checks += performance(outcomes, None, seed)
    both = outcomes.decided.assign(one=lambda frame: frame["p"])
    checks.append(former_check("renewal", "2", "1", versus(both, seed=seed)))
    return [*checks, *_parity(judged, draw)]


def _parity(judged: pd.DataFrame, draw: np.random.Generator) -> list[Check]:
    accounts = judged["account_id"].unique()
    group = draw.choice(["one", "other"], len(accounts))
    segments = pd.DataFrame({"account_id": accounts, "attribute": "group", "value": group})
    live = judged.assign(y=judged["label"])
    cut = float(np.quantile(judged["p"], 0.2))
    return parity_by_segment(
        "renewal", [], [ParityRows("live", live, segments, cut, ("true positive rate",))]
    )


def evidently_default(seed: int, features: int) -> int:
    """Columns Evidently's drift preset flags, as it comes, with nothing changed."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    draw = np.random.default_rng(seed)
    columns = [*[f"x{at}" for at in range(features)], "industry"]
    reference = rows(4_000, features, "2024-01-01", draw)[columns]
    current = rows(2_000, features, "2024-10-01", draw)[columns]
    for frame in (reference, current):
        frame["industry"] = frame["industry"].astype(object)
    result = Report([DataDriftPreset()]).run(current, reference).dict()
    return int(next(m for m in result["metrics"] if "count" in m["value"])["value"]["count"])


def finds(seeds: int, features: int, only: str) -> None:
    """Print, for each change, the share of runs in which it was named (nothing: any alert)."""
    for name, (_, wanted) in CHANGES.items():
        if only not in name:
            continue
        started, hits, others = time.monotonic(), 0, 0
        for seed in range(seeds):
            checks = report(name, seed, features)
            alerts = {check.name for check in checks if check.verdict is Verdict.ALERT}
            hits += bool(alerts) if not wanted else wanted in alerts
            others += bool(wanted) and not alerts <= {wanted, "drift: features"}
            if seed % 25 == 24:
                print(f"  {name}: {hits} of {seed + 1}", file=sys.stderr, flush=True)
        each = (time.monotonic() - started) / seeds
        low, high = stats.binomtest(hits, seeds).proportion_ci(method="wilson")
        word = "any alert" if not wanted else f"named, {others} with a further alert"
        share = f"{hits} ({low:.0%} to {high:.0%})"
        print(f"| {name} | {seeds} | {share} | {word} | {each:.1f} s |", flush=True)


def large(features: int) -> None:
    """Time of the comparison and of the Evidently report over 100,000 predictions."""
    from monitoring.evidently_report import drift_report

    draw = np.random.default_rng(0)
    reference, current = (rows(100_000, features, day, draw) for day in ("2024-01-01", "2024-10-01"))
    columns = [*(name for name in map(str, reference) if name.startswith("x")), "industry"]
    started = time.monotonic()
    compared = windows(reference, current, "renewal", 0)
    tested = shifts(compared, columns)
    middle = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        checks = drift_checks(tested, compared.accounts)
        drift_report("renewal", compared, tested, 0.02, checks, [], Path(folder) / "report")
    took = middle - started, time.monotonic() - middle
    print(f"100,000 × {features}: compared in {took[0]:.1f} s, report written in {took[1]:.1f} s")


def whole(seeds: int, accounts: int) -> None:
    """Print how often `monitor` itself alerts on a simulated CRM in which nothing changed.

    A model of a few columns is fitted up to 2025 and scores three days of 2025; features drift as an account
    ages, seasons come and go, and each day's list repeats contracts.
    """
    alarms: dict[str, int] = {}
    count = {"ok": 0, "unknown": 0, "alert": 0}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as work:
            result = _monitored(Path(work), seed, accounts)
        count[result["verdict"]] += 1
        for name in {check["name"] for check in result["checks"] if check["verdict"] == "alert"}:
            alarms[name] = alarms.get(name, 0) + 1
        print(f"  seed {seed}: {result['verdict']} {count} {alarms}", file=sys.stderr, flush=True)
    print(f"monitor itself, {accounts} accounts, {seeds} seeds, nothing changed: {count}; alarms: {alarms}")


def _monitored(folder: Path, seed: int, accounts: int) -> dict:
    from features.crm.load import load
    from features.settings import Settings
    from features.simulation import simulate
    from monitoring.report import monitor
    from serving.scoring.batch import score

    settings = Settings(home=folder / "home", threads=1, seed=seed)
    simulate(folder / "crm", accounts=accounts, seed=seed, draws=0)
    old = load(folder / "crm", mapping=None, until=pd.Timestamp("2025-01-01"), into=folder / "old")
    full = load(folder / "crm", mapping=None, until=None, into=folder / "full")
    _register(old, settings, folder / "run")
    for day in ("2025-02-03", "2025-04-11", "2025-06-18"):
        score("renewal", full, settings, as_of=pd.Timestamp(day))
    return monitor(full, settings, "renewal")


COLUMNS = (
    "calls_90d", "inbound_90d", "cases_180d", "escalated_365d", "nps_last", "usage_active_seats_pct_90d",
    "contracts.annual_value", "contracts.product", "accounts.industry", "accounts.employees", "accounts.tier",
)  # fmt: skip


def _register(crm: Any, settings: Any, folder: Path) -> None:
    """Fit a regression of a few columns and make it champion, with the rows it was judged on."""
    from training.calibrate import Adjustment
    from training.candidates import Held, Recipe, fit_recipe
    from training.card_figures import save_reference
    from training.dataset import build
    from training.registry import Record, register
    from training.split import forward_split

    held = Held(np.zeros(0, int), np.zeros(0))
    recipe = Recipe("logistic", 0.0, None, Regression(0.05), 0.05, Adjustment(), "given", {}, {}, held)
    data = build(crm, "renewal", settings)
    data = data.without(set(data.X.columns) - set(COLUMNS))
    split = forward_split(data)
    early = fit_recipe(data.take(split.train), recipe, seed=0, threads=1)
    test = pd.DataFrame({"row": split.test, "probability": early.probability(data.X.iloc[split.test])})
    model = fit_recipe(data, recipe, seed=0, threads=1)
    model = replace(model, cuts=tuple(np.quantile(test["probability"], [0.2, 0.5])))
    model.save(folder / "model")
    save_reference(folder, data, test, settings.seed)
    register("renewal", folder, Record({}, {}, {}, "f", {"served": "logistic"}), settings, lead=True)


def stages(seeds: int, accounts: int) -> None:
    """Print how often the simulator's unfair qualification is named, and anything where none is planted."""
    from features.crm.load import load
    from features.simulation import simulate
    from monitoring.journey import journey

    named, alone, false = 0, 0, 0
    for seed in range(seeds):
        for is_unfair in (True, False):
            with tempfile.TemporaryDirectory() as work:
                folder = Path(work)
                simulate(folder / "crm", accounts=accounts, seed=seed, unfair=is_unfair, draws=0)
                crm = load(folder / "crm", mapping=None, until=None, into=folder / "clean")
                gaps = [(gap["segment"], gap["stage"]) for gap in journey(crm)["gaps"]]
            named += is_unfair and ("women", "qualification") in gaps
            alone += is_unfair and gaps == [("women", "qualification")]
            false += not is_unfair and bool(gaps)
    print(f"journey, {accounts} accounts, {seeds} seeds: named {named}, nothing else {alone}, false {false}")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--only", default="", metavar="WORDS", help="changes whose name has these words")
    parser.add_argument("--features", type=int, default=60)
    parser.add_argument("--journey", type=int, metavar="SEEDS")
    parser.add_argument("--accounts", type=int, default=800)
    parser.add_argument("--whole", type=int, metavar="SEEDS")
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--evidently", type=int, metavar="SEEDS")
    options = parser.parse_args()
    if options.large:
        large(options.features)
    elif options.whole:
        whole(options.whole, options.accounts)
    elif options.journey:
        stages(options.journey, options.accounts)
    elif options.evidently:
        flagged = [evidently_default(seed, options.features) for seed in range(options.evidently)]
        any_ = sum(count > 0 for count in flagged)
        print(f"Evidently's preset, nothing changed: {any_} of {len(flagged)} runs flag a column")
    else:
        finds(options.seeds, options.features, options.only)


if __name__ == "__main__":
    main()
