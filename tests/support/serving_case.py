"""A home as a night's run leaves it: an ingested CRM, registered models, scores of some days."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from folders import built_once, copy_of
from starlette.testclient import TestClient

from features.crm.load import ingest
from features.settings import Settings
from features.simulation import simulate
from serving.app import create_app
from serving.scoring.batch import score
from training.calibrate import Adjustment
from training.candidates import Held, Recipe, fit_recipe
from training.dataset import build
from training.intervals import fit_intervals
from training.penalty import Regression
from training.registry import Record, register

LOCAL = "http://127.0.0.1"
NOWHERE = Held(np.zeros(0, int), np.zeros(0))


def plain_recipe(C: float = 0.05) -> Recipe:
    """A regression that is fitted in a second: what serves is not what these tests are about."""
    return Recipe("logistic", 0.0, None, Regression(C), 0.05, Adjustment(), "given", {}, {}, NOWHERE)


def train_plainly(kind: str, crm, settings: Settings, folder: Path, *, C: float = 0.05, lead: bool = True):
    """Fit and register a regression."""
    data = build(crm, kind, settings)
    model = fit_recipe(data, plain_recipe(C), seed=0, threads=1)
    p = model.probability(data.X)
    cuts = tuple(np.quantile(p, [0.2, 0.5]))
    model = replace(model, cuts=cuts, intervals=fit_intervals(p, data.y, data.subjects))
    model.save(folder / "model")
    record = Record({}, {}, {}, f"{kind} {C} {lead}", {"served": model.served})
    return register(kind, folder, record, settings, lead=lead)


@pytest.fixture(scope="session")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with models and the scores of three evenings; not to be changed."""
    return built_once(tmp_path_factory, "night", _night) / "home"


def _night(folder: Path) -> None:
    settings = Settings(home=folder / "home", threads=1)
    simulate(folder / "crm", accounts=300, seed=3, draws=0)
    crm = ingest(folder / "crm", settings)
    for kind in ("renewal", "win"):
        train_plainly(kind, crm, settings, folder / kind)
        for days in (60, 30):
            score(kind, crm, settings, as_of=crm.until - pd.Timedelta(days=days))
        score(kind, crm, settings)


@pytest.fixture
def home(night: Path, tmp_path: Path) -> Path:
    """A copy of that home for one test to change."""
    return copy_of(night, tmp_path / "home")


@contextmanager
def client_of(
    home: Path, *, address: str = "127.0.0.1", key: str | None = None, base: str = LOCAL
) -> Iterator[TestClient]:
    """The application in this process, asked from `address`."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    app = create_app(Settings(home=home, threads=1))
    with TestClient(
        app, base_url=base, headers=headers, client=(address, 50_000), raise_server_exceptions=False
    ) as client:
        yield client


def free_port() -> int:
    """A port nothing listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
