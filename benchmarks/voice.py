"""KPIs where customers choose whether to answer: `python -m benchmarks.voice [--seeds 100]` from the root.

Each seed is a CRM of customers who are all asked and whose scores are all known to the simulator. How
satisfied one is goes by industry, by troubles on record and by what no record shows; who answers goes by the
same record, so that the unhappy are silent (`silent unhappy`) or loud (`loud unhappy`); or by the score
itself, whatever the record shows (`score itself`, which no weighting can mend).

It prints, for NPS, CSAT and CES, the mean error of the raw mean and of the estimate against what everybody
asked would have said, how often the 90 % interval of each held that truth, overall and by industry, and how
often the span from the estimate down to `if_worse`, widened by the interval, did.
"""

import argparse
import time
from typing import Any

import numpy as np
import pandas as pd

from features.crm.crm import Crm
from features.crm.load import from_rows
from monitoring.voice_kpis import points_of, voice

UNTIL = pd.Timestamp("2026-01-01")
CUSTOMERS = 700
INDUSTRIES = ("software", "retail", "finance", "health")
WORLDS = ("silent unhappy", "loud unhappy", "score itself")
SCALES = {"nps": (0, 10, 7.4, 2.2), "csat": (1, 5, 3.9, 0.9), "ces": (1, 7, 5.2, 1.4)}


def expit(x: np.ndarray) -> np.ndarray:
    """Logistic function."""
    return 1 / (1 + np.exp(-x))


def world(seed: int, selection: str) -> tuple[Crm, pd.DataFrame]:
    """A CRM, and the truth: industry, and for each kind what everybody asked would have said."""
    rng = np.random.default_rng(seed)
    industry = rng.integers(0, len(INDUSTRIES), CUSTOMERS)
    troubles = rng.poisson(0.8, CUSTOMERS)
    contacts = rng.poisson(2.0, CUSTOMERS)
    record = -0.55 * troubles + 0.15 * contacts - 0.35 * (industry == 1) + 0.25 * (industry == 2)
    ids = [f"A{at:04}" for at in range(CUSTOMERS)]
    asked_at = UNTIL - pd.to_timedelta(rng.integers(10, 170, CUSTOMERS), "D")
    truth = pd.DataFrame({"industry": [INDUSTRIES[i] for i in industry]})
    surveys = []
    for kind, (lowest, highest, middle, spread) in SCALES.items():
        mood = record - record.mean() + rng.normal(0, 0.9, CUSTOMERS)
        truth[kind] = np.clip(np.round(middle + spread * 0.8 * mood), lowest, highest)
        pull = {
            "silent unhappy": 1.4 * (record - record.mean()),
            "loud unhappy": -1.4 * (record - record.mean()),
            "score itself": 0.9 * mood,
        }[selection]
        answered = rng.random(CUSTOMERS) < expit(-0.9 + pull)
        surveys += [
            {
                "response_id": f"{kind}{a}",
                "account_id": a,
                "kind": kind,
                "asked_at": str(at),
                "answered_at": str(at + pd.Timedelta(days=2)) if has_answered else None,
                "score": score if has_answered else None,
            }
            for a, at, has_answered, score in zip(ids, asked_at, answered, truth[kind], strict=True)
        ]
    calls = _before(ids, asked_at, contacts, 85, rng, "activity_id", "occurred_at")
    rows: dict[str, list[dict[str, Any]]] = {
        "accounts": [{"account_id": a, "industry": i} for a, i in zip(ids, truth["industry"], strict=True)],
        "contracts": [
            {"contract_id": f"C{a}", "account_id": a, "start_date": "2024-01-01", "end_date": "2026-12-31"}
            for a in ids
        ],
        "surveys": surveys,
        "cases": _before(ids, asked_at, troubles, 170, rng, "case_id", "opened_at"),
        "activities": [{**row, "kind": "call"} for row in calls],
    }
    return from_rows(rows, UNTIL), truth


def _before(
    ids: list[str],
    asked_at: Any,
    counts: np.ndarray,
    days: int,
    rng: np.random.Generator,
    key: str,
    column: str,
) -> list[dict[str, Any]]:
    """So many events of each customer within some days before it was asked."""
    return [
        {key: f"{a}-{n}", "account_id": a, column: str(at - pd.Timedelta(days=float(rng.uniform(1, days))))}
        for a, at, count in zip(ids, asked_at, counts, strict=True)
        for n in range(count)
    ]


def compared(seed: int, selection: str) -> list[dict[str, Any]]:
    """Raw mean and estimate against the truth by kind, for everybody and by industry."""
    crm, truth = world(seed, selection)
    rows = []
    for row in voice(crm)["rows"]:
        if row["dimension"] not in ("all", "industry") or row["estimate"] is None:
            continue
        kind = row["kpi"].lower()
        points = points_of(truth[kind], kind)
        inside = np.ones(len(truth), bool) if row["dimension"] == "all" else truth["industry"] == row["group"]
        true = float(points[inside].mean())
        half = row["estimate"] - row["low"]
        worst = row["low"] if row["if_worse"] is None else min(row["estimate"], row["if_worse"]) - half
        rows.append(
            {
                "kind": kind,
                "whole": row["dimension"] == "all",
                "raw": row["raw"] - true,
                "estimate": row["estimate"] - true,
                "raw_inside": row["raw_low"] <= true <= row["raw_high"],
                "inside": row["low"] <= true <= row["high"],
                "span": worst <= true <= row["high"],
            }
        )
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=100)
    asked_at = parser.parse_args()
    started = time.monotonic()
    print(
        "| KPI | who answers | raw off by | estimate off by | raw inside | estimate inside | by industry: "
        "raw | by industry: estimate | span inside |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for selection in WORLDS:
        every = pd.DataFrame([row for seed in range(asked_at.seeds) for row in compared(seed, selection)])
        for kind in SCALES:
            rows = every[every["kind"] == kind]
            whole, parts = rows[rows["whole"]], rows[~rows["whole"]]
            cells = [f"{whole[name].mean():+.2f}" for name in ("raw", "estimate")]
            cells += [f"{100 * whole[name].mean():.0f} %" for name in ("raw_inside", "inside")]
            cells += [f"{100 * parts[name].mean():.0f} %" for name in ("raw_inside", "inside")]
            cells.append(f"{100 * whole['span'].mean():.0f} %")
            print("| " + " | ".join([kind.upper(), selection, *cells]) + " |", flush=True)
    print(f"{asked_at.seeds} seeds of {CUSTOMERS} customers; {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
