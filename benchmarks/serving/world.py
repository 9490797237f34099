"""A home of any size to serve from: a CRM with many accounts, models as heavy as Perennial trains, scores."""

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np

from features.crm.contract import TABLES, Kind
from features.crm.crm import Crm
from features.crm.load import ingest, load
from features.settings import Settings
from features.simulation import simulate
from training.boosting import DEFAULT, MAX_TREES
from training.calibrate import Adjustment
from training.candidates import Held, Recipe, fit_recipe
from training.dataset import build
from training.intervals import fit_intervals
from training.penalty import Regression
from training.registry import MODEL_FOLDER, RESULT_FILE, Record, register
from training.search import Tuned

SIMULATED = 5_000
"""Accounts that are simulated; more are copies of them under names of their own."""
SHARED = ("owners", "campaigns", "population")
DEPTH = 4
"""The deepest trees the search may choose."""


def home(folder: Path, accounts: int, seed: int = 0) -> Settings:
    """A home with an ingested CRM and a champion of each kind, made once.

    Args:
        folder: kept between runs.
        accounts: how many in the CRM, a multiple of 5,000 or fewer.
        seed: of the simulation.
    """
    place = folder / f"home-{accounts}-{seed}"
    settings = Settings(home=place, threads=2)
    if (place / "made").is_file():
        return settings
    shutil.rmtree(place, ignore_errors=True)
    plain, many = folder / f"crm-{accounts}-{seed}-simulated", folder / f"crm-{accounts}-{seed}"
    began = time.perf_counter()
    simulate(plain, accounts=min(accounts, SIMULATED), seed=seed, draws=0, faults=False)
    copy(plain, many, max(1, accounts // SIMULATED))
    taught = load(plain, into=place / "taught")
    for kind in ("renewal", "win"):
        teach(kind, taught, settings, place / f"model-{kind}")
    ingest(many, settings)
    for left in (plain, many, place / "taught"):
        shutil.rmtree(left)
    (place / "made").write_text("")
    print(f"a CRM of {accounts:,} accounts and its models, made in {time.perf_counter() - began:.0f} s")
    return settings


def copy(source: Path, target: Path, times: int) -> None:
    """A CRM folder with every account `times` times, each copy's ids marked with its number."""
    target.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        for path in sorted(source.glob("*.csv")):
            table = path.stem
            connection.execute(
                "CREATE OR REPLACE VIEW here AS SELECT * FROM "
                f"read_csv('{path}', all_varchar=true, header=true)"
            )
            names = [row[0] for row in connection.sql("DESCRIBE here").fetchall()]
            ids = [] if table in SHARED else [name for name in names if _is_marked(table, name)]
            marked = ", ".join(f'"{name}" || \'-\' || copy AS "{name}"' for name in ids)
            copies = 1 if table in SHARED else times
            connection.execute(
                f"COPY (SELECT * EXCLUDE (copy) {f'REPLACE ({marked})' if ids else ''} FROM here, "
                f"(SELECT format('{{:02d}}', n) AS copy FROM range({copies}) r(n))) "
                f"TO '{target / table}.parquet' (FORMAT parquet)"
            )


def _is_marked(table: str, name: str) -> bool:
    """Whether a column names something that each copy has its own of."""
    if (table, name) == ("history", "id"):
        return True
    kinds = {column.name: column.kind for column in TABLES[table].columns}
    return kinds.get(name) is Kind.ID and name not in ("owner_id", "manager_id", "campaign_id")


def teach(kind: str, crm: Crm, settings: Settings, folder: Path, *, lead: bool = True) -> None:
    """Fit and register a blend of the most and deepest trees a search may choose and a curved regression.

    Args:
        kind: `renewal` or `win`.
        crm: what it is trained on.
        settings: say where it is registered.
        folder: where its files are written.
        lead: whether it becomes the champion.
    """
    data = build(crm, kind, settings)
    tuned = Tuned({**DEFAULT, "max_depth": DEPTH}, MAX_TREES, 0.0, 1, len(data.y), "", "")
    nowhere = Held(np.zeros(0, int), np.zeros(0))
    curved = Regression(0.05, curved=True)
    recipe = Recipe("blend", 0.5, tuned, curved, 0.05, Adjustment(), "given", {}, {}, nowhere)
    model = fit_recipe(data, recipe, seed=0, threads=settings.threads)
    p = model.probability(data.X)
    cuts = (float(np.quantile(p, 0.2)), float(np.quantile(p, 0.5)))
    model = replace(model, cuts=cuts, intervals=fit_intervals(p, data.y, data.subjects))
    model.save(folder / MODEL_FOLDER)
    (folder / RESULT_FILE).write_text(json.dumps({"until": str(crm.until), "rows": len(data.y)}))
    register(
        kind, folder, Record({}, {}, {}, f"{kind} benchmark", {"served": model.served}), settings, lead=lead
    )
