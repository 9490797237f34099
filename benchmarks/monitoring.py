"""False alarms and finds of the whole monitoring report: `python -m benchmarks.monitoring` from the root.

Each run has 2,000 predictions of 1,000 accounts, two contracts each whose features hang together, a reference
of 4,000 rows, and a history before it; the model is a regression fitted on the history. `nothing` counts runs
with any alert at all (features, scores, data quality, performance and parity of two segments together); the
others count runs in which the change was named. `--evidently` counts how often Evidently's own drift preset,
as it comes, flags a column on the same rows with nothing changed. `--journey` asks on simulated CRMs whether
the planted stage is named, and none where none is planted. `--large` times a report of 100,000 predictions.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression

from monitoring.checks import Check, Verdict
from monitoring.fairness import ParityRows, parity_by_segment
from monitoring.performance import performance, split_decided
from monitoring.report import drift_checks, score_checks
from monitoring.shift import shifts
from monitoring.windows import one_per_lead, windows
from training.metrics import to_logit, to_probability

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


def odds(frame: pd.DataFrame) -> np.ndarray:
    """True log-odds of renewal: the first columns carry them, the first one most."""
    strength = np.array([0.7, *np.linspace(0.5, 0.1, CARRYING - 1)])
    numbers = np.nan_to_num(frame[[f"x{at}" for at in range(CARRYING)]].to_numpy())
    return 1.9 + np.clip(numbers, -3, 3) @ strength + np.where(frame["industry"] == "a", 0.3, 0.0)


class Served:
    """A regression fitted on the history: its probabilities, and what each column carries."""

    def __init__(self, history: pd.DataFrame, features: int, draw: np.random.Generator) -> None:
        self.columns = [f"x{at}" for at in range(features)]
        y = draw.random(len(history)) < to_probability(odds(history))
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
}


def report(name: str, seed: int, features: int) -> list[Check]:
    """All checks of one run."""
    draw = np.random.default_rng(seed)
    history = rows(8_000, features, "2023-01-01", draw)
    served = Served(history, features, draw)
    reference = rows(4_000, features, "2024-01-01", draw)
    before = rows(2_000, features, "2024-10-01", draw)
    loss = 1 - to_probability(odds(before))
    lost = draw.random(len(before)) < loss * (2 if name == "twice the losses" else 1)
    current = CHANGES[name][0](before)
    for frame in (history, reference, current):
        frame["probability"] = served.probability(frame)
    if name.startswith("overconfident"):
        middle = to_logit(current["probability"]).mean()
        stretched = middle + 2 * (to_logit(current["probability"]) - middle)
        current["probability"] = to_probability(stretched)
    current["label"] = (~lost).astype(float)
    compared = windows(reference, current, "renewal", seed, history)
    columns = [*served.columns, "industry"]
    checks = drift_checks(shifts(compared, columns, importance=served.importance))
    checks += score_checks(shifts(compared, ["probability"], alpha=0.005))
    judged = one_per_lead(current, "renewal").assign(p=lambda frame: frame["probability"])
    checks += performance(split_decided(judged, UNTIL), None, seed)
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
    told = Report([DataDriftPreset()]).run(current, reference).dict()
    return int(next(m for m in told["metrics"] if "count" in m["value"])["value"]["count"])


def finds(seeds: int, features: int) -> None:
    """Print, for each change, the share of runs in which it was named (nothing: any alert)."""
    for name, (_, wanted) in CHANGES.items():
        started, hits, others = time.monotonic(), 0, 0
        for seed in range(seeds):
            checks = report(name, seed, features)
            alerts = {check.name for check in checks if check.verdict is Verdict.ALERT}
            hits += bool(alerts) if not wanted else wanted in alerts
            others += bool(wanted) and not alerts <= {wanted, "drift: features"}
        each = (time.monotonic() - started) / seeds
        word = "any alert" if not wanted else f"named, {others} with a further alert"
        print(f"| {name} | {seeds} | {hits / seeds:.0%} | {word} | {each:.1f} s |", flush=True)


def large(features: int) -> None:
    """Time of the comparison and of the Evidently report over 100,000 predictions."""
    from monitoring.drift import drift_report

    draw = np.random.default_rng(0)
    reference, current = (rows(100_000, features, day, draw) for day in ("2024-01-01", "2024-10-01"))
    columns = [name for name in reference if name.startswith("x")] + ["industry"]
    started = time.monotonic()
    compared = windows(reference, current, "renewal", 0)
    tested = shifts(compared, columns)
    middle = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        drift_report("renewal", compared, tested, 0.02, drift_checks(tested), [], Path(folder) / "report")
    took = middle - started, time.monotonic() - middle
    print(f"100,000 × {features}: compared in {took[0]:.1f} s, report written in {took[1]:.1f} s")


def stages(seeds: int, accounts: int) -> None:
    """Print how often the simulator's unfair qualification is named, and anything where none is planted."""
    from features.load import load
    from features.simulate import simulate
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
    parser.add_argument("--features", type=int, default=60)
    parser.add_argument("--journey", type=int, metavar="SEEDS")
    parser.add_argument("--accounts", type=int, default=800)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--evidently", type=int, metavar="SEEDS")
    asked = parser.parse_args()
    if asked.large:
        large(asked.features)
    elif asked.journey:
        stages(asked.journey, asked.accounts)
    elif asked.evidently:
        flagged = [evidently_default(seed, asked.features) for seed in range(asked.evidently)]
        any_ = sum(count > 0 for count in flagged)
        print(f"Evidently's preset, nothing changed: {any_} of {len(flagged)} runs flag a column")
    else:
        finds(asked.seeds, asked.features)


if __name__ == "__main__":
    main()
