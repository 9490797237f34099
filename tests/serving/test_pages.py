"""The pages in a real Chromium: what they show and do, for a sales manager, a marketer, an ML engineer."""

import io
import json
import re

import pandas as pd
import pytest
from folders import copy_of
from pages_case import NEEDS_CHROMIUM, browser, informed, night, rows_of, served, watched_page  # noqa: F401
from serving_case import train_plainly

from features.crm.load import opened
from features.settings import Settings
from monitoring.store import open_store
from serving.precompute import FOLDER

pytestmark = [pytest.mark.slow, NEEDS_CHROMIUM]


@pytest.fixture(scope="module")
def home(informed, tmp_path_factory):  # noqa: F811
    """A home of this file's own; tests that change it touch different things."""
    return copy_of(informed, tmp_path_factory.mktemp("pages") / "home")


@pytest.fixture(scope="module")
def site(home):
    with served(home) as address:
        yield address


@pytest.fixture
def page(browser, site):  # noqa: F811
    with watched_page(browser, site) as opened:
        yield opened


def result(home, name):
    """A long answer as it was worked out."""
    return json.loads(next((home / FOLDER).glob(f"{name}*.json")).read_text())["value"]


def test_renewals_are_listed_by_money_with_odds_reasons_and_totals(page, home):
    every = open_store(Settings(home=home)).scores.page("renewal", limit=1_000).rows
    page.goto("/")
    assert page.url.endswith("/renewals")
    assert page.locator("h1").inner_text() == "Renewals"
    assert f"{len(every)} running contracts" in page.locator(".head").inner_text()
    first = rows_of(page).first
    assert every[0]["contract_id"] in first.inner_text()
    assert f"{100 * every[0]['probability']:.0f} %" in first.inner_text()
    bar = first.locator("svg.likelihood")
    dot, box = bar.locator("circle").bounding_box(), bar.bounding_box()
    at = (dot["x"] + dot["width"] / 2 - box["x"]) / box["width"]
    assert at == pytest.approx(every[0]["probability"], abs=0.02)
    assert every[0]["reasons"][0]["words"] in first.locator(".why").inner_text()
    money = [float(row.locator("td").last.inner_text().replace(",", "")) for row in rows_of(page).all()]
    assert money == sorted(money, reverse=True)


def test_filters_narrow_the_list_and_stay_in_the_address(page, home):
    every = open_store(Settings(home=home)).scores.page("renewal", limit=1_000).rows
    page.goto("/renewals")
    page.locator("select[name=band]").select_option("at risk")
    page.wait_for_url(re.compile("band=at"))
    wanted = [row for row in every if row["band"] == "at risk"]
    assert rows_of(page).count() == min(25, len(wanted))
    assert set(page.locator("table.work .band").all_inner_texts()) == {"at risk"}
    page.get_by_label("Customer").fill(wanted[0]["account_name"])
    page.get_by_role("button", name="Show").click()
    page.wait_for_url(re.compile("q="))
    assert wanted[0]["contract_id"] in rows_of(page).first.inner_text()
    page.goto("/renewals?band=at+risk&q=nobody-of-that-name")
    assert "Nothing here" in page.locator("main").inner_text()


def test_paging_shows_every_contract_once(page, home):
    every = open_store(Settings(home=home)).scores.page("renewal", limit=1_000).rows
    page.goto("/renewals")
    seen = []
    while True:
        seen += [
            text.split(" ")[0]
            for text in page.locator("table.work .sub:nth-of-type(1)").all_inner_texts()
            if text.startswith("C")
        ]
        if not page.get_by_role("link", name="Next page").count():
            break
        with page.expect_navigation():
            page.get_by_role("link", name="Next page").click()
    assert sorted(seen) == sorted(row["contract_id"] for row in every)


@pytest.mark.parametrize("ending", ["CSV", "Excel"])
def test_the_list_can_be_saved(page, home, ending, tmp_path):
    page.goto("/renewals")
    with page.expect_download() as waited:
        page.get_by_role("link", name=ending).click()
    path = tmp_path / waited.value.suggested_filename
    waited.value.save_as(path)
    saved = pd.read_csv(path) if ending == "CSV" else pd.read_excel(path)
    every = open_store(Settings(home=home)).scores.page("renewal", limit=1_000).rows
    assert saved["contract_id"].tolist() == [row["contract_id"] for row in every]
    assert saved["reason_1"].tolist() == [row["reasons"][0]["words"] for row in every]


def test_a_judgement_is_noted_beside_the_score_and_logged(page, home):
    page.goto("/renewals")
    first = rows_of(page).first
    before = first.locator(".likelihood-words b").inner_text()
    first.get_by_text("Override").click()
    first.get_by_label("Your estimate").fill("35")
    first.get_by_label("Because").fill("their sponsor left <b>")
    first.get_by_role("button", name="Note it").click()
    assert "their sponsor left <b>" in rows_of(page).first.inner_text()
    assert rows_of(page).first.locator(".likelihood-words b").first.inner_text() == before
    made = open_store(Settings(home=home)).judgements.overrides("renewal")
    assert made["probability"].tolist() == [0.35]
    assert made["made_by"].tolist() == ["this machine"]
    saved = pd.read_parquet(io.BytesIO(page.request.get("/renewals/export.parquet").body()))
    noted = saved.set_index("contract_id").loc[made["subject_id"].iloc[0]]
    assert (noted["override"], noted["override_reason"]) == (0.35, "their sponsor left <b>")
    assert noted["override_by"] == "this machine"
    assert noted["override_at"] == made["made_at"].iloc[0]
    assert saved["override"].notna().sum() == 1
    assert saved["forecast"].notna().any()


def test_a_form_without_its_token_changes_nothing(page, home):
    before = len(open_store(Settings(home=home)).judgements.overrides("renewal"))
    page.goto("/renewals")
    action = rows_of(page).first.locator("form").get_attribute("action")
    result = page.request.post(action, form={"probability": "10", "reason": "forged", "csrf": "guessed"})
    assert result.status == 403
    assert len(open_store(Settings(home=home)).judgements.overrides("renewal")) == before


@pytest.fixture
def customer(home):
    """The current score of a customer whose contract has scores of several evenings."""
    store = open_store(Settings(home=home))
    rows = store.scores.page("renewal", limit=1_000).rows
    return next(row for row in rows if len(store.predictions.history("renewal", row["contract_id"])) > 2)


def test_a_customer_shows_odds_over_time_reasons_and_what_happened(page, customer):
    page.goto(f"/accounts/{customer['account_id']}")
    assert page.locator("h1").inner_text() == customer["account_name"]
    over_time = page.locator("svg.chart", has=page.locator("polygon.area")).first
    assert over_time.locator("circle").count() >= 3
    assert page.locator(".force svg").count() >= 3
    assert page.locator(".timeline .counted").count() > 3
    page.get_by_text("Note what you did").first.click()
    page.get_by_label("Note", exact=True).first.fill("left a message")
    page.locator("form[action^='/actions'] button").first.click()
    assert "left a message" in page.locator("aside").inner_text()


def test_a_customer_shows_the_best_window_with_its_curve(page, home, customer):
    timing = result(home, "effects")["timing"]
    page.goto(f"/accounts/{customer['account_id']}")
    curve = page.locator("svg.chart", has=page.locator(".raw")).first
    words = curve.locator("desc").text_content()
    groups: dict[tuple, list] = {}
    for by, table in timing.items():
        for row in table.get("rows", []):
            if row["estimate"] is not None:
                said = f"{row['bucket']}: {100 * row['estimate']:.0f} % ({100 * row['low']:.0f}–"
                groups.setdefault((by, row["group"]), []).append(said in words)
    assert any(all(said) and len(said) == curve.locator("circle.at").count() for said in groups.values())


def test_customers_alike_are_counted_as_they_are_listed(page, customer):
    page.goto(f"/accounts/{customer['account_id']}")
    words = page.locator("main").inner_text()
    renewed, n = map(int, re.search(r"(\d+) of (\d+) renewed", words).groups())
    page.get_by_text("Which they were").first.click()
    listed = page.locator("details", has_text="Which they were").locator("tbody tr")
    assert listed.count() == n
    assert listed.filter(has_text="renewed").count() == renewed
    assert customer["account_name"] not in listed.all_inner_texts()


def test_sliders_of_actions_move_score_and_effect_apart_by_keyboard_too(page, customer):
    page.goto(f"/accounts/{customer['account_id']}")
    slider = page.get_by_label("Discount quoted").first
    assert slider.get_attribute("type") == "range"
    assert slider.get_attribute("aria-valuetext") == "as it is"
    slider.focus()
    with page.expect_response(re.compile("/what-if/")):
        page.keyboard.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext").endswith(" %")
    answer = page.locator(".supposed").first
    answer.get_by_role("heading", name="What the score would say").wait_for()
    assert "Estimated effect" in answer.inner_text()
    assert f"{100 * customer['probability']:.0f} %" in answer.inner_text()
    with page.expect_response(re.compile("/what-if/")):
        page.get_by_role("button", name="As it is").first.click()
    answer.get_by_text("Move a slider").wait_for()


def test_without_a_script_the_what_if_is_a_form(browser, site, customer):  # noqa: F811
    with watched_page(browser, site, java_script_enabled=False) as page:
        page.goto(f"/accounts/{customer['account_id']}")
        page.get_by_label("Discount quoted").first.fill("20")
        page.get_by_role("button", name="What if?").first.click()
        answer = page.locator(".supposed").first.inner_text()
        assert "What the score would say" in answer
        assert "Estimated effect" in answer
        assert page.goto(page.url.replace("discount_pct=20", "discount_pct=2000").split("#")[0]).status == 422
        assert "Discount quoted" in page.locator("main").inner_text()


def test_the_pipeline_shows_deals_by_expected_money(page, home):
    every = open_store(Settings(home=home)).scores.page("win", limit=1_000).rows
    page.goto("/pipeline")
    assert every[0]["opportunity_id"] in rows_of(page).first.inner_text()
    assert set(page.locator("table.work .band").all_inner_texts()) <= {"hot", "warm", "cold"}
    spoken = [row for row in every[:25] if row.get("forecast") is not None]
    shown = page.locator("td[data-label='Owner’s forecast'] .nowrap").all_inner_texts()
    assert [text for text in shown if text != "–"] == [f"{100 * row['forecast']:.0f} %" for row in spoken]
    calls = result(home, "calls")
    page.get_by_text("Calls to win").click()
    estimated = [row for row in calls["rows"] if row["estimate"] is not None]
    assert page.locator("details.fold svg circle.at").count() == len(estimated)


def test_deals_of_one_kind_can_be_listed_counted_and_saved(page, home):
    every = open_store(Settings(home=home)).scores.page("win", limit=1_000).rows
    kinds = sorted({row["deal_kind"] for row in every})
    assert len(kinds) > 1
    kind = kinds[0]
    own = [row["opportunity_id"] for row in every if row["deal_kind"] == kind]
    page.goto("/pipeline")
    page.locator("select[name=deal_kind]").select_option(kind)
    page.wait_for_url(f"**deal_kind={kind}**")
    assert f"{len(own)} open deal" in page.locator(".head").inner_text()
    assert own[0] in rows_of(page).first.inner_text()
    result = page.request.get("/v1/opportunities", params={"deal_kind": kind, "limit": 1000}).json()
    assert [row["opportunity_id"] for row in result["rows"]] == own
    assert result["total"] == len(own)
    saved = page.request.get(f"/pipeline/export.parquet?deal_kind={kind}").body()
    assert pd.read_parquet(io.BytesIO(saved))["opportunity_id"].tolist() == own


def test_calls_in_a_deals_first_days_are_ours_and_linked_to_it(page, home):
    with opened(Settings(home=home)) as crm:
        deals = crm.frame("opportunities", ["opportunity_id", "created_at"]).set_index("opportunity_id")
        made = crm.frame("activities", ["opportunity_id", "kind", "direction", "occurred_at"])
    made = made[(made["kind"] == "call") & (made["direction"] != "inbound")]
    page.goto("/pipeline")
    shown = {}
    for row in rows_of(page).all():
        shown[row.locator(".sub").first.inner_text().split(" ")[0]] = row.locator(
            "[data-label=Calls]"
        ).inner_text()
    for deal, count in shown.items():
        begun = deals.loc[deal, "created_at"]
        inside = made["occurred_at"].between(begun, begun + pd.Timedelta(days=30), inclusive="left")
        assert count == str((inside & (made["opportunity_id"] == deal)).sum())
    assert sum(map(int, shown.values())) > 0


def test_models_can_be_promoted_and_rolled_back(page, home):
    settings = Settings(home=home, threads=1)
    with opened(settings) as crm:
        train_plainly("renewal", crm, settings, home / "next", C=0.001, lead=False)
    page.goto("/models")
    page.get_by_text("Make champion").first.click()
    page.get_by_role("button", name="Promote 2").click()
    assert "renewal version 2 serves now" in page.locator("main").inner_text()
    assert page.locator("h3", has_text="Beside the former champion").count() == 0  # no figures of later data
    page.get_by_text("Roll back").first.click()
    page.get_by_role("button", name="Back to the former champion").click()
    assert "renewal version 1 serves now" in page.locator("main").inner_text()


def test_profiles_show_the_rules_and_the_list_to_save(page, home, tmp_path):
    found = result(home, "icp")
    page.goto("/profiles")
    assert page.locator("h1").inner_text() == "Profiles"
    words = page.locator("main").inner_text()
    for profile in found["profiles"]["profiles"]:
        assert profile["rule"][1:] in words
    caught = found["list"]["value_caught"]
    assert caught is None or f"{100 * caught:.0f} % of the money" in words
    with page.expect_download() as waited:
        page.get_by_role("link", name="CSV").first.click()
    waited.value.save_as(tmp_path / "targets.csv")
    saved = pd.read_csv(tmp_path / "targets.csv")
    assert saved["id"].tolist() == [row["id"] for row in found["list"]["rows"]]
    kind = found["list"]["rows"][0]["kind"]
    page.get_by_role("link", name=re.compile(f"^{kind}s", re.I)).click()
    shown = page.locator("tr.target td:first-child .sub").all_inner_texts()
    assert shown
    assert all(text.endswith(kind) for text in shown)
    with page.expect_download() as waited:
        page.get_by_role("link", name="CSV").first.click()
    waited.value.save_as(tmp_path / "some.csv")
    some = [row["id"] for row in found["list"]["rows"] if row["kind"] == kind]
    assert pd.read_csv(tmp_path / "some.csv")["id"].tolist() == some


def test_the_weights_are_sliders_for_the_keyboard_that_move_the_list(page):
    page.goto("/profiles")
    slider = page.get_by_label("Little effort")
    before = page.locator("tr.target b").all_inner_texts()
    slider.focus()
    for _ in range(16):
        page.keyboard.press("ArrowRight")
    page.get_by_role("button", name="Order by these").click()
    assert "effort=100" in page.url
    after = page.locator("tr.target b").all_inner_texts()
    assert len(after) == len(before)
    assert after != before
    assert "weights=" in page.get_by_role("link", name="Parquet").get_attribute("href")


def test_the_journey_names_the_gap_and_shows_every_stage(page, home):
    found = result(home, "journey")
    assert found["gaps"]
    page.goto("/journey")
    assert page.locator(".gap").count() == len(found["gaps"])
    assert found["gaps"][0]["why"] in page.locator(".gap").first.inner_text()
    of_stages = page.locator("section:not(#targets):not(#touchpoints) table.list tbody tr")
    assert of_stages.count() == len(found["rows"])
    places = page.locator("#touchpoints tbody tr")
    assert places.count() == len(result(home, "kpis")["map"])
    assert "case resolution" in places.filter(has_text="case closed").inner_text()


def test_the_forecast_adds_up_and_stands_beside_what_owners_expect(page, home, tmp_path):
    rows = pd.DataFrame(open_store(Settings(home=home)).scores.page("renewal", limit=1_000).rows)
    known = result(home, "retention")
    last = str(rows["end_date"].max().to_period("M"))
    near = [row for row in known["decided"] if row["month"] <= last]
    decided = sum(row["amount"] for row in near)
    kept = sum(row["amount"] * row["renewed"] for row in near)
    page.goto("/forecast")
    with page.expect_download() as waited:
        page.get_by_role("link", name="CSV").click()
    waited.value.save_as(tmp_path / "forecast.csv")
    whole = pd.read_csv(tmp_path / "forecast.csv").iloc[-1]
    assert whole["up"] == pytest.approx(rows["amount"].sum() + decided)
    expected = (rows["amount"] * rows["probability"]).sum() + kept
    assert whole["expected"] == pytest.approx(expected)
    assert whole["low"] < expected < whole["high"]
    assert whole["gross"] == pytest.approx(expected / whole["up"], abs=1e-4)
    assert whole["net"] > whole["gross"]
    noted = (
        open_store(Settings(home=home)).judgements.overrides("renewal").set_index("subject_id")["probability"]
    )
    own = rows["subject_id"].map(noted.astype(float)).fillna(rows["forecast"])
    assert whole["own"] == pytest.approx((rows["amount"] * own).sum())
    charts = page.locator("svg.chart")
    assert charts.count() == 2
    for at in range(2):
        name = charts.nth(at).get_attribute("aria-labelledby").split()
        assert all(page.locator(f"#{part}").text_content() for part in name)
    assert page.locator("svg.chart .whisker.dark").count() == len(rows["end_date"].dt.to_period("M").unique())
    assert f"{100 * whole['gross']:.0f} %" in page.locator(".figures").inner_text()
    region = rows["region"].iloc[0]
    page.get_by_label("Region").select_option(region)
    page.wait_for_url(re.compile("region="))
    months = rows[rows["region"] == region]["end_date"].dt.to_period("M").nunique()
    assert page.locator("svg.chart .whisker.dark").count() == months


def test_losses_are_told_by_money_with_drivers_and_stated_reasons(page, home):
    found = result(home, "churn-drivers")
    for kind, shown in (("renewal", "Renewals"), ("win", "Deals")):
        page.goto("/churn-drivers")
        page.get_by_role("link", name=shown, exact=True).last.click()
        group = found[kind]["by"]["all"][0]
        words = page.locator("main").inner_text()
        assert f"{group['subjects']:,} of {group['of']:,} decided" in words
        for driver in group["drivers"]:
            assert driver["words"] in words
        assert group["stated"][0]["reason"] in words


def test_models_show_checks_quality_and_who_was_right(page, home):
    summary = {"verdict": "alert", "version": "1", "checks": [], "reports": {}}
    store = open_store(Settings(home=home))
    for night_at, value in enumerate((0.02, 0.30)):
        check = {
            "name": "drift: features", "segment": "", "value": value, "threshold": 0.1, "verdict": "alert",
            "why": "calls_90d moved",
        }  # fmt: skip
        store.record_run(f"look-{night_at}", "monitor", "renewal", {**summary, "checks": [check]})
    page.goto("/models")
    section = page.locator("section", has=page.locator("#krenewal"))
    assert "Verdict alert" in section.inner_text()
    assert "Calls_90d moved." in section.inner_text()
    assert section.locator("svg.chart circle").count() == 2
    with opened(Settings(home=home)) as crm:
        assert f"{crm.quality.rows:,} rows were read" in page.locator("main").inner_text()
    compared = result(home, "right")["compared"]
    right = page.locator("section", has=page.locator("#people"))
    assert right.locator("tbody tr").count() == len(compared) > 0


def test_the_list_can_be_worked_with_the_keyboard(page):
    page.goto("/renewals")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
