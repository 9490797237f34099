"""The page Effects in Chromium: phone to wide, light and dark, every section, no script of its own."""

from itertools import pairwise

import pytest
from contrast import FAINT_TEXT
from pages_case import NEEDS_CHROMIUM, browser, served, watched_page  # noqa: F401
from test_effects_page import keep, kept_effects, write_crm

from features.crm.load import ingest
from features.settings import Settings

SECTIONS = ("/effects", "/effects?what=timing&by=industry", "/effects?what=calls", "/effects?what=discount")
pytestmark = [pytest.mark.slow, NEEDS_CHROMIUM]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A home whose effects are kept, served."""
    folder = tmp_path_factory.mktemp("effects")
    settings = Settings(home=folder / "home", threads=1)
    crm = ingest(write_crm(folder / "crm"), settings, until="2026-01-01")
    keep(settings, {"value": kept_effects(crm)})
    with served(settings.home) as address:
        yield address


@pytest.mark.parametrize("path", SECTIONS)
def test_nothing_overflows(browser, site, path):  # noqa: F811
    with watched_page(browser, site) as page:
        page.goto(path)
        for width in (360, 768, 1920):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.locator("h1").all_inner_texts() == ["Effects"]
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_labels_on_a_phone_do_not_run_into_each_other(browser, site):  # noqa: F811
    with watched_page(browser, site) as page:
        page.set_viewport_size({"width": 360, "height": 800})
        page.goto("/effects?what=timing")
        boxes = [each.bounding_box() for each in page.locator("svg.bands text[text-anchor=middle]").all()]
        lines = {}
        for box in boxes:
            lines.setdefault(round(box["y"] / 4), []).append(box)
        for line in lines.values():
            line.sort(key=lambda box: box["x"])
            for one, other in pairwise(line):
                assert one["x"] + one["width"] <= other["x"] + 1


@pytest.mark.parametrize("path", SECTIONS)
def test_text_stands_out_from_what_is_behind_it(browser, site, path):  # noqa: F811
    with watched_page(browser, site) as page:
        page.goto(path)
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert (scheme, page.evaluate(FAINT_TEXT)) == (scheme, [])


def test_from_the_plan_to_the_customer_and_through_the_sections(browser, site):  # noqa: F811
    with watched_page(browser, site) as page:
        page.goto("/effects")
        assert page.locator("nav.nav a[aria-current]").inner_text() == "Effects"
        page.get_by_role("link", name="When to make contact").click()
        page.get_by_role("link", name="By industry").click()
        assert page.locator("svg.bands").count() == 2
        page.get_by_text("As a table").first.click()
        assert page.locator("table:visible tbody tr").count() == 3
        page.get_by_role("link", name="The plan").click()
        with page.expect_download() as waited:
            page.get_by_role("link", name="Excel").click()
        assert waited.value.suggested_filename == "contact-plan.xlsx"
        page.get_by_role("link", name="Nord <b>").click()
        assert page.locator("h1").inner_text() == "Nord <b>"
