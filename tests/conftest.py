"""What many tests share: settings with a home of their own, and one small simulated CRM."""

import os
from pathlib import Path

import pytest
from front_case import service  # noqa: F401  (fixture)
from postgres import postgres_server, postgres_url  # noqa: F401  (fixtures)
from registry_case import migrated_registry  # noqa: F401  (fixture)
from store_case import store  # noqa: F401  (fixture)

from features.settings import Settings

os.environ.setdefault("PERENNIAL_WORK_AHEAD", "false")  # services started by tests work out what is asked for
SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


SLOW = (
    "training.train", "training.select", "fit_recipe", "fit_trees", "effect_worlds", "icp_worlds",
    "serving_case", "pages_case", "postgres", "on_spark", "decided_case", "effect_crms", "simulated_",
    "simulate(", "front_case", "training.registry", "monitoring.retrain", "Popen", "subprocess", "real_data",
    "WorkedOut", "nbclient", "import linkage",
)  # fmt: skip
"""What in a test module's text means a browser, database, Spark, service, process or training of a model.

Tests that repeat one statistic on hundreds of draws are marked where they are.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow what `make quick` leaves out, all tests of a module that needs one of those and all on
    PostgreSQL, and put those modules first: so no worker is left with a long one when the others have ended.
    """
    slow = {
        path: any(word in path.read_text(encoding="utf-8") for word in SLOW)
        for path in {i.path for i in items}
    }
    for item in items:
        if slow[item.path] or "postgres" in item.name:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: not slow[item.path])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings whose home is a folder of this test alone."""
    return Settings(home=tmp_path / "home", threads=1)


@pytest.fixture(scope="session")
def simulated_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated CRM of 400 accounts as CSV files, with truth.json beside them."""
    from features.simulation import simulate

    folder = tmp_path_factory.mktemp("simulated") / "crm"
    simulate(folder, accounts=400, seed=1)
    return folder


@pytest.fixture(scope="session")
def simulated_crm(simulated_folder: Path, tmp_path_factory: pytest.TempPathFactory):
    """The same CRM, cleaned."""
    from features.crm.load import load

    return load(simulated_folder, into=tmp_path_factory.mktemp("clean") / "crm")


@pytest.fixture
def real_data(request: pytest.FixtureRequest) -> Path:
    """A folder of real data, named by `@pytest.mark.parametrize("real_data", [...], indirect=True)`."""
    folder = SHARED_DATA / request.param
    if not folder.is_dir():
        pytest.skip(f"the real data set {request.param} is not beside the checkout, in ../shared/data")
    return folder
