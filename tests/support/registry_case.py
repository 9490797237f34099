"""New registries of the tests: MLflow's migrations run once, each further registry begins as their result."""

import os
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from folders import built_once


@pytest.fixture(scope="session", autouse=True)
def migrated_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """While tests of this process run, a registry in SQLite that does not exist yet is copied, not migrated.

    Its some sixty migrations take seconds. Registries in PostgreSQL and of other processes are left alone.
    """
    registry = sys.modules.get("training.registry")
    if registry is None:
        yield
        return
    make_ready = registry.make_ready

    def migrate(folder: Path) -> None:
        from mlflow import MlflowClient

        url = f"sqlite:///{folder / 'mlflow.db'}"
        MlflowClient(tracking_uri=url, registry_uri=url).search_experiments()

    def ready(url: str) -> str:
        path = Path(url.removeprefix("sqlite:///"))
        if url.startswith("sqlite:///") and not path.exists():
            template = built_once(tmp_path_factory, "registry", migrate) / "mlflow.db"
            draft = path.with_name(f"{os.getpid()}-{threading.get_ident()}.draft")
            with suppress(OSError):  # another was first, or nothing can be written: what follows says so
                shutil.copy2(template, draft)
                os.link(draft, path)
            draft.unlink(missing_ok=True)
        return make_ready(url)

    registry.make_ready = ready
    yield
    registry.make_ready = make_ready
