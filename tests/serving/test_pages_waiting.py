"""Pages whose long answers are still on their way show the rest, and what came without being asked again."""

import shutil

import pytest
from folders import copy_of
from pages_case import NEEDS_CHROMIUM, Endless, browser, informed, night, served, watched_page  # noqa: F401

from features.settings import Settings
from monitoring.store import open_store
from serving import precompute
from serving.precompute import FOLDER

pytestmark = [pytest.mark.slow, NEEDS_CHROMIUM]


@pytest.fixture
def waiting(informed, tmp_path, monkeypatch):  # noqa: F811
    """A home without its long answers, and the folder they can be taken from."""
    monkeypatch.setattr(precompute, "_start", lambda *_: Endless())
    home = copy_of(informed, tmp_path / "home")
    shutil.move(home / FOLDER, tmp_path / "answers")
    (home / FOLDER).mkdir()
    return home, tmp_path / "answers"


def arrives(name, home, answers):
    for path in answers.glob(f"{name}*.json"):
        shutil.copy(path, home / FOLDER / path.name)


def test_parts_of_a_page_appear_by_themselves_and_leave_the_rest_alone(browser, waiting):  # noqa: F811
    home, answers = waiting
    row = open_store(Settings(home=home)).scores.page("renewal", limit=1).rows[0]
    with served(home) as site, watched_page(browser, site) as page:
        page.goto(f"/accounts/{row['account_id']}")
        window, alike = page.locator("#window-1"), page.locator("#alike-1")
        assert "appears here by itself" in window.inner_text()
        assert "appears here by itself" in alike.inner_text()
        page.get_by_text("Note your own estimate").first.click()
        page.locator("input[name=reason]").first.fill("They told me so")
        arrives("effects", home, answers)
        window.locator(":scope:not(:has([data-comes]))").wait_for(timeout=60_000)
        assert "appears here by itself" in alike.inner_text()
        arrives("similar", home, answers)
        alike.locator(":scope:not(:has([data-comes]))").wait_for(timeout=60_000)
        assert "renewed" in alike.inner_text() or "too few" in alike.inner_text()
        assert page.locator("input[name=reason]").first.input_value() == "They told me so"


def test_a_page_that_is_on_its_way_comes_by_itself(browser, waiting):  # noqa: F811
    home, answers = waiting
    with served(home) as site, watched_page(browser, site) as page:
        page.goto("/profiles")
        assert "On its way" in page.locator("main").inner_text()
        arrives("icp", home, answers)
        page.get_by_text("What counts how much").wait_for(timeout=60_000)
