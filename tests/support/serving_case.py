"""A home as a night's run leaves it: an ingested CRM, registered models, scores of some days."""

import multiprocessing
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pandas as pd
import pytest
from folders import built_once, copy_of
from starlette.testclient import TestClient

from features.crm.load import ingest
from features.settings import Settings
from features.simulation import simulate
from serving.app import create_app
from serving.middleware import Lateness
from serving.scoring.batch import score
from training.calibrate import Adjustment
from training.candidates import Held, Recipe, fit_recipe
from training.dataset import build
from training.intervals import fit_intervals
from training.penalty import Regression
from training.registry import Record, register

LOCAL = "http://127.0.0.1"
STARTER = multiprocessing.get_context("forkserver")
STARTER.set_forkserver_preload(["serving.service", "perennial.cli"])  # done once, it takes long
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
    with client_of(settings.home):
        pass  # a service that is started leaves the accounts' rows, and the next one finds them


@pytest.fixture
def home(night: Path, tmp_path: Path) -> Path:
    """A copy of that home for one test to change."""
    return copy_of(night, tmp_path / "home")


@pytest.fixture(scope="module")
def one_home(night: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of that home for a file of tests that change nothing in it, or different things."""
    return copy_of(night, tmp_path_factory.mktemp("one") / "home")


@pytest.fixture(scope="module")
def one_client(one_home: Path) -> Iterator[TestClient]:
    """The application on that home, for all tests of a file."""
    with client_of(one_home) as client:
        yield client


@contextmanager
def on_busy_cores() -> Iterator[None]:
    """No request is turned away because other tests keep the cores busy, which makes this process late."""
    with patch.object(Lateness, "seconds", return_value=0.0):
        yield


@contextmanager
def client_of(
    home: Path, *, address: str = "127.0.0.1", key: str | None = None, base: str = LOCAL
) -> Iterator[TestClient]:
    """The application in this process, asked from `address`."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    app = create_app(Settings(home=home, threads=1))
    client = TestClient(
        app, base_url=base, headers=headers, client=(address, 50_000), raise_server_exceptions=False
    )
    with on_busy_cores(), client:
        yield client


def free_port() -> int:
    """A port nothing listens on."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until_ready(site: str, has_ended: Callable[[], bool]) -> None:
    """Wait until a service answers, or has ended."""
    until = time.monotonic() + 120
    while not has_ended() and time.monotonic() < until:
        try:
            urllib.request.urlopen(f"{site}/readyz", timeout=5)
            return
        except OSError:
            time.sleep(0.05)


class Serve:
    """`perennial serve` in a process of its own, which begins with what it imports.

    Args:
        home: whose.
        port: that it listens on.
        arguments: further ones of the command.
    """

    def __init__(self, home: Path, port: int, *arguments: str) -> None:
        self.site, self.output = f"{LOCAL}:{port}", home.with_name(f"output-{free_port()}")
        environment = {**os.environ, "PERENNIAL_HOME": str(home), "PERENNIAL_THREADS": "1"}
        words = ["perennial", "serve", "--port", str(port), *arguments]
        self.process = STARTER.Process(target=_serve, args=(words, environment, self.output), daemon=True)
        self.process.start()

    def ended(self, seconds: float | None = None) -> int:
        """How it ended, within so many seconds."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, "it runs on"
        return self.process.exitcode


def _serve(words: list[str], environment: dict[str, str], output: Path) -> None:
    os.environ.update(environment)
    with output.open("w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = words
    from perennial.cli import main

    main()


@contextmanager
def serving(home: Path, *arguments: str, port: int | None = None) -> Iterator[Serve]:
    """`perennial serve`, once it is ready or has ended; killed in the end."""
    running = Serve(home, port or free_port(), *arguments)
    try:
        until_ready(running.site, lambda: running.process.exitcode is not None)
        yield running
    finally:
        running.process.kill()
        running.process.join()
