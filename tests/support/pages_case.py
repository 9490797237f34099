"""The pages served to a real Chromium: a home with every long answer, one server and one browser."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import uvicorn
from folders import built_once, copy_of
from serving_case import free_port, night, on_busy_cores  # noqa: F401 (fixtures)

from features.crm.load import opened
from features.settings import Settings
from monitoring.customer_kpis import customer_kpis
from monitoring.journey_map import journey_map
from serving.app import create_app
from serving.precompute import _path as path_of
from serving.precompute import work_out
from serving.scoring.export import write

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
LONG = ("retention", "similar@1", "churn-drivers@1.1", "right", "journey", "calls", "effects", "icp")
NEEDS_CHROMIUM = pytest.mark.skipif(not CHROMIUM.exists(), reason="install the Debian package chromium")


class Endless:
    """Work that never ends; its answer is put in place by the test."""

    returncode = None

    def poll(self):
        return None

    def terminate(self):
        pass

    def wait(self):
        pass


@pytest.fixture(scope="session")
def informed(night, tmp_path_factory):  # noqa: F811
    """The night's home with every long answer; not to be changed."""

    def build(folder: Path) -> None:
        copy_of(night, folder / "home")
        settings = Settings(home=folder / "home", threads=1)
        for name in LONG:
            work_out(name, settings)
        _keep_kpis(settings)

    return built_once(tmp_path_factory, "informed", build) / "home"


def _keep_kpis(settings: Settings) -> None:
    """The KPIs without what moves them, which takes minutes and has a test of its own."""
    with opened(settings) as crm:
        figures = customer_kpis(crm)
        kept_answer = {**figures, "movers": [], "map": journey_map(crm, figures), "notes": []}
    write(path_of("kpis", settings), {"value": kept_answer}, pd.DataFrame())


@pytest.fixture(scope="module")
def browser():
    """One Chromium for a file of tests."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield opened
        opened.close()


@contextmanager
def served(home: Path) -> Iterator[str]:
    """The application on a port of its own, in a thread; gives its address."""
    port = free_port()
    app = create_app(Settings(home=home, threads=1))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    with on_busy_cores():
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@contextmanager
def watched_page(browser, site: str, **options):
    """A page that fails the test on any script error, refused resource or request to elsewhere."""
    context = browser.new_context(base_url=site, viewport={"width": 1360, "height": 900}, **options)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    opened.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(site) else None)
    yield opened
    context.close()
    assert not [text for text in wrong if "responded with a status of 4" not in text]


def rows_of(page):
    """The rows of the list that is worked through on a page."""
    return page.locator("table.work tbody tr")
