"""Small CRMs as folders of CSV files with a planted effect of the first contact, by a recipe of their own.

Each contract has a health that drifts from half-month to half-month. Usage and cases show it, sales people
call when usage falls or cases come in, and renewal follows the health at the decision plus what the window
of the first outbound contact adds. Part of the contracts are decided early; after that the lost are called
most (a win-back), which is no treatment.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

WINDOWS = ((121, 180), (91, 120), (61, 90), (31, 60), (15, 30), (0, 14))
STEP_DAYS = 15
LAST = pd.Timestamp("2024-12-31")


@dataclass(frozen=True)
class Recipe:
    """What the CRM is like.

    Attributes:
        effect: industry → log-odds added by a first contact in each of the six windows.
        term_days: length of every contract.
        early: share of contracts decided before their end, with `decided_at`.
        direction: whether activities say who called.
        kind: what contacts are called.
        twice: every activity is there twice, once with the same id and once with another.
    """

    effect: dict[str, tuple[float, ...]] = field(default_factory=lambda: {"any": (0.0,) * 6})
    term_days: int = 365
    early: float = 0.15
    direction: bool = True
    kind: str = "call"
    twice: bool = False


def write(folder: Path, recipe: Recipe, n: int, seed: int) -> Path:
    """Write accounts, contracts, activities, usage and cases of n contracts."""
    rng = np.random.default_rng(seed)
    steps = min(recipe.term_days, 180) // STEP_DAYS
    industry = rng.choice(list(recipe.effect), n)
    end = LAST - pd.to_timedelta(rng.integers(60, 900, n), "D")
    decides = np.where(rng.uniform(size=n) < recipe.early, rng.integers(5, steps * STEP_DAYS, n), 0)
    health, final = rng.normal(size=n), np.zeros(n)
    first, usage, cases, calls = np.full(n, -1), [], [], []
    for step in range(steps):
        low = (steps - 1 - step) * STEP_DAYS
        days = low + rng.integers(0, STEP_DAYS, n) + rng.uniform(0.1, 0.9, n)
        usage.append(
            (np.arange(n), low + STEP_DAYS + 1.5, np.exp(4 + 0.5 * health + 0.15 * rng.normal(size=n)))
        )
        open_cases = rng.poisson(0.4 * np.exp(-0.6 * health))
        cases.append((np.flatnonzero(open_cases), low + STEP_DAYS + 1.5))
        worry = -0.9 * health + 0.6 * (open_cases > 0)
        called = rng.uniform(size=n) < expit(-2.8 + worry)
        calls.append((np.flatnonzero(called), days[called], "outbound"))
        rings = rng.uniform(size=n) < 0.02
        calls.append((np.flatnonzero(rings), days[rings] + 0.01, "inbound"))
        still = decides < np.where(called, days, low)
        window = np.array([next(w for w, (a, b) in enumerate(WINDOWS) if a <= int(d) <= b) for d in days])
        first = np.where(called & still & (first < 0), window, first)
        final = np.where((decides >= low) & (decides < low + STEP_DAYS), health, final)
        health = 0.85 * health + 0.5 * rng.normal(size=n)
    added = np.array([(*recipe.effect[i], 0.0)[w] for i, w in zip(industry, first, strict=True)])
    renewed = rng.uniform(size=n) < expit(0.7 + 1.2 * final + added)
    lost = np.flatnonzero(~renewed & (decides > 2))
    calls.append((lost, decides[lost] * rng.uniform(0.1, 0.9, len(lost)), "outbound"))
    _save(folder, recipe, industry, end, decides, renewed, usage, cases, calls)
    return folder


def _save(folder, recipe, industry, end, decides, renewed, usage, cases, calls) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    n = len(industry)
    ids = np.array([f"a{i}" for i in range(n)])

    def moment(rows, days) -> pd.Series:
        at = (
            pd.Series(end[rows])
            + pd.Timedelta(days=1)
            - pd.to_timedelta(np.broadcast_to(days, len(rows)), "D")
        )
        return at.dt.strftime("%Y-%m-%d %H:%M:%S")

    def events(found, **columns) -> pd.DataFrame:
        parts = [pd.DataFrame({"account_id": ids[f[0]], "at": moment(f[0], f[1])}) for f in found]
        table = pd.concat(parts, ignore_index=True).assign(**columns)
        table.insert(0, "id", [f"e{i}" for i in range(len(table))])
        return table

    contracts = pd.DataFrame(
        {
            "contract_id": [f"c{i}" for i in range(n)],
            "account_id": ids,
            "start_date": (end - pd.Timedelta(days=recipe.term_days)).strftime("%Y-%m-%d"),
            "end_date": end.strftime("%Y-%m-%d"),
            "decided_at": moment(np.arange(n), np.maximum(decides, 0.3)),
            "renewed": renewed,
            "annual_value": 1000,
        }
    )
    made = events(calls, kind=recipe.kind).rename(columns={"id": "activity_id", "at": "occurred_at"})
    if recipe.direction:
        made["direction"] = np.concatenate([np.repeat(way, len(rows)) for rows, _, way in calls])
    if recipe.twice:
        made = pd.concat([made, made, made.assign(activity_id="again " + made["activity_id"])])
    used = events(usage, metric="seats used", value=np.concatenate([u[2] for u in usage]).round(2))
    opened = events(cases, priority="normal")
    tables = {
        "accounts": pd.DataFrame({"account_id": ids, "industry": industry}),
        "contracts": contracts,
        "activities": made,
        "usage": used.drop(columns="id").rename(columns={"at": "used_on"}),
        "cases": opened.rename(columns={"id": "case_id", "at": "opened_at"}),
    }
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
