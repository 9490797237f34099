"""The pages in a real Chromium: what a sales manager and an ML engineer see, wide and on a phone."""

import json
import re
import threading
import time
from pathlib import Path

import pytest
import uvicorn
from serving_case import free_port, home, night  # noqa: F401 (fixtures)

from features.settings import Settings
from monitoring.store import open_store
from serving.app import create_app
from serving.worked_out import FOLDER, work_out

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PAGES = ["/renewals", "/pipeline", "/profiles", "/journey", "/models", "/docs"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="install the Debian package chromium"),
]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield opened
        opened.close()


@pytest.fixture
def site(home):  # noqa: F811
    """The application on a port of its own, in a thread."""
    port = free_port()
    app = create_app(Settings(home=home, threads=1))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


@pytest.fixture
def page(browser, site):
    """A page that fails the test on any script error, refused resource or request to elsewhere."""
    context = browser.new_context(base_url=site, viewport={"width": 1360, "height": 900})
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    opened.on("request", lambda asked: wrong.append(asked.url) if not asked.url.startswith(site) else None)
    yield opened
    context.close()
    assert not [text for text in wrong if "responded with a status of 4" not in text]


def rows_of(page):
    return page.locator("table.list tbody tr")


def test_renewals_are_listed_by_money_with_odds_reasons_and_totals(page, home):  # noqa: F811
    every = open_store(Settings(home=home)).scores("renewal", limit=1_000).rows
    page.goto("/")
    assert page.url.endswith("/renewals")
    assert page.locator("h1").inner_text() == "Renewals"
    assert f"{len(every)} running contracts" in page.locator(".head").inner_text()
    first = rows_of(page).first
    assert every[0]["contract_id"] in first.inner_text()
    assert f"{100 * every[0]['probability']:.0f} %" in first.inner_text()
    bar = first.locator("svg.odds")
    dot, box = bar.locator("circle").bounding_box(), bar.bounding_box()
    at = (dot["x"] + dot["width"] / 2 - box["x"]) / box["width"]
    assert at == pytest.approx(every[0]["probability"], abs=0.02)
    assert every[0]["reasons"][0]["words"] in first.locator(".why").inner_text()
    money = [float(row.locator("td").last.inner_text().replace(",", "")) for row in rows_of(page).all()]
    assert money == sorted(money, reverse=True)


def test_filters_narrow_the_list_and_stay_in_the_address(page, home):  # noqa: F811
    every = open_store(Settings(home=home)).scores("renewal", limit=1_000).rows
    page.goto("/renewals")
    page.get_by_label("Band").select_option("at risk")
    page.wait_for_url(re.compile("band=at"))
    wanted = [row for row in every if row["band"] == "at risk"]
    assert rows_of(page).count() == min(25, len(wanted))
    assert set(page.locator("tbody .band").all_inner_texts()) == {"at risk"}
    page.get_by_label("Customer").fill(wanted[0]["account_name"])
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(re.compile("q="))
    assert wanted[0]["contract_id"] in rows_of(page).first.inner_text()
    page.goto("/renewals?band=at+risk&q=nobody-of-that-name")
    assert "Nothing here" in page.locator("main").inner_text()


def test_paging_shows_every_contract_once(page, home):  # noqa: F811
    every = open_store(Settings(home=home)).scores("renewal", limit=1_000).rows
    page.goto("/renewals")
    seen = []
    while True:
        seen += [
            text.split(" ")[0]
            for text in page.locator("tbody .sub:nth-of-type(1)").all_inner_texts()
            if text.startswith("C")
        ]
        if not page.get_by_role("link", name=re.compile("^Next")).count():
            break
        page.get_by_role("link", name=re.compile("^Next")).click()
    assert sorted(seen) == sorted(row["contract_id"] for row in every)


@pytest.mark.parametrize("ending", ["CSV", "Excel"])
def test_the_list_can_be_saved(page, home, ending, tmp_path):  # noqa: F811
    import pandas as pd

    page.goto("/renewals")
    with page.expect_download() as waited:
        page.get_by_role("link", name=ending).click()
    path = tmp_path / waited.value.suggested_filename
    waited.value.save_as(path)
    saved = pd.read_csv(path) if ending == "CSV" else pd.read_excel(path)
    every = open_store(Settings(home=home)).scores("renewal", limit=1_000).rows
    assert saved["contract_id"].tolist() == [row["contract_id"] for row in every]
    assert saved["reason_1"].tolist() == [row["reasons"][0]["words"] for row in every]


def test_a_judgement_is_noted_beside_the_score_and_logged(page, home):  # noqa: F811
    page.goto("/renewals")
    first = rows_of(page).first
    before = first.locator(".odds-words b").inner_text()
    first.get_by_text("Note your own odds").click()
    first.get_by_label("Your odds").fill("35")
    first.get_by_label("Because").fill("their sponsor left <b>")
    first.get_by_role("button", name="Note it").click()
    assert "their sponsor left <b>" in rows_of(page).first.inner_text()
    assert rows_of(page).first.locator(".odds-words b").first.inner_text() == before
    made = open_store(Settings(home=home)).overrides("renewal")
    assert made["probability"].tolist() == [0.35]
    assert made["made_by"].tolist() == ["this machine"]


def test_a_form_without_its_token_changes_nothing(page, home):  # noqa: F811
    page.goto("/renewals")
    action = rows_of(page).first.locator("form").get_attribute("action")
    told = page.request.post(action, form={"odds": "10", "reason": "forged", "csrf": "guessed"})
    assert told.status == 403
    assert open_store(Settings(home=home)).overrides("renewal").empty


def test_a_customer_shows_odds_over_time_reasons_and_what_happened(page):
    page.goto("/renewals")
    name = rows_of(page).first.locator("a.name")
    words = name.inner_text()
    name.click()
    assert page.locator("h1").inner_text() == words
    assert page.locator("svg.chart circle").count() >= 2
    assert page.locator(".force svg").count() >= 3
    assert page.locator(".timeline .counted").count() > 3
    page.get_by_text("Note what you did").first.click()
    page.get_by_label("Note", exact=True).first.fill("left a message")
    page.get_by_role("button", name="Note it").first.click()
    assert "left a message" in page.locator("aside").inner_text()


def test_the_pipeline_shows_deals_by_expected_money(page, home):  # noqa: F811
    every = open_store(Settings(home=home)).scores("win", limit=1_000).rows
    page.goto("/pipeline")
    assert every[0]["opportunity_id"] in rows_of(page).first.inner_text()
    assert set(page.locator("tbody .band").all_inner_texts()) <= {"hot", "warm", "cold"}


def test_models_can_be_promoted_and_rolled_back(page, home):  # noqa: F811
    from serving_case import train_plainly

    from features.load import opened

    settings = Settings(home=home, threads=1)
    with opened(settings) as crm:
        train_plainly("renewal", crm, settings, home / "next", C=0.001, lead=False)
    page.goto("/models")
    page.get_by_text("Make champion").first.click()
    page.get_by_role("button", name="Promote 2").click()
    assert "renewal version 2 serves now" in page.locator("main").inner_text()
    page.get_by_text("Roll back").first.click()
    page.get_by_role("button", name="Back to the former champion").click()
    assert "renewal version 1 serves now" in page.locator("main").inner_text()


def test_profiles_show_lifts_with_intervals_and_the_list_to_save(page, home, tmp_path):  # noqa: F811
    import pandas as pd

    work_out("icp", Settings(home=home, threads=1))
    told = json.loads(next((home / FOLDER).glob("icp-*.json")).read_text())["value"]
    page.goto("/profiles")
    assert page.locator("h1").inner_text() == "Profiles"
    found = told["profiles"]["profiles"]
    assert page.locator(".profile h2").all_inner_texts() == [profile["rule"] for profile in found]
    shown = [each for profile in found for each in profile["outcomes"].values() if each["lift"] is not None]
    assert page.locator(".profile svg.odds").count() == len(shown)
    assert page.locator(".target").count() == min(50, len(told["list"]["rows"]))
    assert told["list"]["rows"][0]["id"] in page.locator(".target").first.inner_text()
    with page.expect_download() as waited:
        page.get_by_role("link", name="CSV").click()
    waited.value.save_as(tmp_path / "targets.csv")
    saved = pd.read_csv(tmp_path / "targets.csv")
    assert saved["id"].tolist() == [row["id"] for row in told["list"]["rows"]]
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_journey_names_the_gap_and_shows_segments_to_their_keepers_only(page, home):  # noqa: F811
    work_out("journey", Settings(home=home, threads=1))
    told = json.loads(next((home / FOLDER).glob("journey-*.json")).read_text())["value"]
    secret = told["from_segments"]
    assert secret
    assert told["gaps"]
    page.goto("/journey")
    assert page.locator(".gap").count() == len(told["gaps"])
    assert told["gaps"][0]["why"] in page.locator(".gap").first.inner_text()
    assert rows_of(page).count() == len(told["rows"])
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    key, _ = open_store(Settings(home=home)).create_key("marketing", label="Oslo")
    time.sleep(2.1)
    page.goto("/journey")
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    assert page.locator("h1").inner_text() == "Journey"
    open_rows = [row for row in told["rows"] if row["attribute"] not in secret]
    assert rows_of(page).count() == len(open_rows)
    words = page.locator("main").inner_text()
    assert not [name for name in secret if name in words]
    assert page.locator("nav.nav a").all_inner_texts() == ["Profiles", "Journey", "API"]


def test_signing_in_and_out(page, home):  # noqa: F811
    key, _ = open_store(Settings(home=home)).create_key("sales", label="Berlin")
    time.sleep(2.1)
    page.goto("/renewals?band=watch")
    page.get_by_label("Key").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    assert "not valid" in page.get_by_role("alert").inner_text()
    page.get_by_label("Key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    assert page.url.endswith("/renewals?band=watch")
    assert "Berlin" in page.locator("header").inner_text()
    assert page.get_by_role("link", name="Models").count() == 0
    assert page.goto("/models").status == 403
    page.get_by_role("button", name="Sign out").click()
    assert page.url.endswith("/sign-in")


@pytest.mark.parametrize("path", [*PAGES, "/accounts/A000001", "/nowhere", "/sign-in"])
@pytest.mark.parametrize("width", [360, 768, 1920])
def test_nothing_overflows_and_each_page_has_one_heading(page, path, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("h1").count() == 1
    assert page.title()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_text_stands_out_from_what_is_behind_it(page, path, scheme):
    """WCAG 2.2, success criterion 1.4.3: contrast of at least 4.5 to 1 for text."""
    page.emulate_media(color_scheme=scheme)
    page.goto(path)
    assert page.evaluate(FAINT_TEXT) == []


FAINT_TEXT = """() => {
  const canvas = Object.assign(document.createElement("canvas"), {width: 1, height: 1});
  const brush = canvas.getContext("2d", {willReadFrequently: true});
  const plain = (color) => {
    brush.clearRect(0, 0, 1, 1);
    brush.fillStyle = color;
    brush.fillRect(0, 0, 1, 1);
    return [...brush.getImageData(0, 0, 1, 1).data];
  };
  const linear = (c) => (c / 255 <= .03928 ? c / 255 / 12.92 : ((c / 255 + .055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = plain(getComputedStyle(node).backgroundColor);
      if (color[3] > 200) return color;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
    if (!own || !node.checkVisibility() || node.closest("svg, option")) continue;
    const pair = [light(plain(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
    if ((pair[0] + .05) / (pair[1] + .05) < 4.5) faint.push(node.textContent.trim().slice(0, 40));
  }
  return faint;
}"""


def test_the_list_can_be_worked_with_the_keyboard(page):
    page.goto("/renewals")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    unnamed = page.evaluate(
        "[...document.querySelectorAll('a, button, input:not([type=hidden]), select')]"
        ".filter((each) => !(each.textContent.trim() || each.labels?.length || each.ariaLabel)).length"
    )
    assert unnamed == 0


def test_before_anything_is_scored_the_pages_say_what_to_run(browser, settings):
    port = free_port()
    server = uvicorn.Server(
        uvicorn.Config(create_app(settings), host="127.0.0.1", port=port, log_level="error")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    page = browser.new_page()
    for path, command in (
        ("/renewals", "perennial train renewal"),
        ("/pipeline", "perennial train win"),
        ("/models", "perennial train win"),
    ):
        assert page.goto(f"http://127.0.0.1:{port}{path}").status == 200
        assert command in page.locator("main").inner_text()
    server.should_exit = True
    thread.join()
