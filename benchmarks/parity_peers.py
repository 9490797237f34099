"""Parity on real people: `python -m benchmarks.parity_peers PATH` from the root.

PATH is an unpacked nannyml wheel (or the folder of its `employment_MA_*.pq`): 277,677 people of the American
Community Survey in Massachusetts, 2015 to 2018, with what a classifier predicted of their being employed
(Ding et al. 2021). Favourable is being predicted employed; the primary metric is the true positive rate. For
sex, race and both it prints rates, intervals, differences and ratios; beside them fairlearn's own figures,
which must be equal, and which groups are hidden for being too small.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd

from training.fairness.parity import MIN_SIZE, parity, segment_rows

SEX = {"1": "men", "2": "women"}
RACE = {
    "1": "white", "2": "black", "3": "american indian", "4": "alaska native", "5": "tribe not specified",
    "6": "asian", "7": "pacific islander", "8": "other", "9": "two or more",
}  # fmt: skip
THRESHOLD = 0.5
SHOWN = ("selection rate", "true positive rate", "false positive rate", "calibration")


def people(folder: Path) -> pd.DataFrame:
    """Everybody with an outcome: `account_id`, `y`, `p`, `sex`, `race`."""
    reference = next(iter(sorted(folder.rglob("employment_MA_reference.pq"))), None)
    if reference is None:
        raise SystemExit(f"no employment_MA_reference.pq under {folder}: give an unpacked nannyml wheel")
    here = reference.parent
    later = pd.read_parquet(here / "employment_MA_analysis.pq")
    later = later.merge(pd.read_parquet(here / "employment_MA_analysis_target.pq"), on="id")
    rows = pd.concat([pd.read_parquet(reference), later], ignore_index=True)
    return pd.DataFrame(
        {
            "account_id": rows["id"].astype(str),
            "y": rows["employed"].to_numpy(float),
            "p": rows["predicted_probability"].to_numpy(float),
            "sex": rows["SEX"].astype(str).map(SEX),
            "race": rows["RAC1P"].astype(str).map(RACE),
        }
    )


def segments_of(rows: pd.DataFrame) -> pd.DataFrame:
    """The table `segments` of these people."""
    melted = rows.melt(id_vars="account_id", value_vars=["sex", "race"], var_name="attribute")
    return segment_rows(rows["account_id"], melted.assign(share=1.0))


def fairlearn_figures(rows: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Group → fairlearn's selection, true and false positive rate, from its own `MetricFrame`."""
    from fairlearn.metrics import MetricFrame, false_positive_rate, selection_rate, true_positive_rate

    metrics = {
        "selection rate": selection_rate,
        "true positive rate": true_positive_rate,
        "false positive rate": false_positive_rate,
    }
    picked = (rows["p"] >= THRESHOLD).astype(int)
    return MetricFrame(
        metrics=metrics, y_true=rows["y"].astype(int), y_pred=picked, sensitive_features=rows[by]
    ).by_group


def largest_disagreement(checks: list[dict], rows: pd.DataFrame) -> float:
    """The largest difference between a shown rate and fairlearn's."""
    worst = 0.0
    for by in (["sex"], ["race"], ["race", "sex"]):
        theirs = fairlearn_figures(rows, by)
        for group, figures in theirs.iterrows():
            values = group if isinstance(group, tuple) else (group,)
            name = " & ".join(f"{a}={v}" for a, v in zip(by, values, strict=True))
            for check in checks:
                if check["segment"] == name and check["metric"] in figures and check["estimate"] is not None:
                    worst = max(worst, abs(check["estimate"] - figures[check["metric"]]))
    return worst


def main() -> None:
    """Print what is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--sample", type=int, help="only so many people, at random")
    options = parser.parse_args()
    rows = people(options.path)
    if options.sample:
        rows = rows.sample(options.sample, random_state=0).reset_index(drop=True)
    started = time.monotonic()
    checks = parity(rows["y"].to_numpy(), rows["p"].to_numpy(), THRESHOLD, segments_of(rows), kind="win")
    took = time.monotonic() - started
    print(f"{len(rows):,} people, {len(checks)} comparisons in {took:.0f} s; favourable: predicted employed")
    print("| segment | metric | n | here | rest | difference (90 %) | ratio | verdict |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for check in checks:
        if check["metric"] in SHOWN and " & " not in check["segment"]:
            print(line(check))
    pairs = [c for c in checks if " & " in c["segment"] and c["primary"]]
    print("pairs, true positive rate:")
    for check in sorted(pairs, key=lambda c: c["ratio"] if c["ratio"] is not None else np.inf)[:6]:
        print(line(check))
    hidden = {c["segment"] for c in checks if c["estimate"] is None}
    print(
        f"hidden in at least one metric, fewer than {MIN_SIZE} people: {', '.join(sorted(hidden)) or 'none'}"
    )
    print(f"largest difference from fairlearn's own figures: {largest_disagreement(checks, rows):.1e}")


def line(check: dict) -> str:
    """A comparison as a row of a table."""
    start = f"| {check['segment']} | {check['metric']} |"
    if check["estimate"] is None:
        return f"{start} hidden | | | | | {check['verdict']} |"
    span = f"{check['difference']:+.3f} ({check['difference_low']:+.3f} to {check['difference_high']:+.3f})"
    ratio = "" if check["ratio"] is None else f"{check['ratio']:.2f}"
    figures = f"{check['n']:,} | {check['estimate']:.3f} | {check['rest']:.3f} | {span} | {ratio}"
    return f"{start} {figures} | {check['verdict']} |"


if __name__ == "__main__":
    main()
