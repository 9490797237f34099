"""The page Effects and what rests on stored effects: scopes, roles, and all states without an estimate."""

import io
import json
from pathlib import Path

import pandas as pd
import pytest
from effect_answers import both, made_up
from folders import copy_of
from pages_case import Endless
from serving_case import client_of

from features.crm.load import ingest
from features.settings import Settings
from features.snapshots import to_score
from monitoring.store import open_store
from serving.api.planning import contact_window
from serving.pages.effects_page import FEWEST_RAW, urgent
from serving.precompute import FOLDER, Prepared, _path
from serving.studies import contacted_since, contract_facts
from training.effects.advice import planned
from training.effects.experiment import experiment
from training.effects.timing_curve import curves

TODAY = pd.Timestamp("2026-01-01")
CUSTOMERS = (
    ("A1", "Nord <b>", "software", "north", "ann", 70, 9_000),
    ("A2", "Sued", "retail", "south", "bob", 80, 1_000),
    ("A3", "West", "software", "west", "bob", 120, 50_000),
    ("A4", "Ost", "retail", "south", "ann", 30, 4_000),
)
WHY = "Expected a table quotes; found none. Add quotes."


def write_crm(folder: Path) -> Path:
    folder.mkdir()
    accounts = [
        {"account_id": a, "name": name, "industry": industry, "region": region}
        for a, name, industry, region, *_ in CUSTOMERS
    ]
    running = [
        {
            "contract_id": f"C{a}", "account_id": a, "owner_id": owner, "start_date": "2025-02-01",
            "end_date": str((TODAY + pd.Timedelta(days=days)).date()), "annual_value": value, "renewed": None,
        }
        for a, _, _, _, owner, days, value in CUSTOMERS
    ]  # fmt: skip
    past = [
        {
            **row,
            "contract_id": f"P{row['contract_id']}",
            "start_date": "2024-02-01",
            "end_date": f"2025-0{at}-15",
            "renewed": True,
        }
        for at, row in enumerate(running, start=1)
    ]
    calls = [{"activity_id": "old", "account_id": "A1", "kind": "call", "occurred_at": "2025-06-01T10:00:00"}]
    for name, rows in (("accounts", accounts), ("contracts", running + past), ("activities", calls)):
        pd.DataFrame(rows).to_csv(folder / f"{name}.csv", index=False)
    return folder


def by_group(groups, **more):
    result = made_up((0.9, 0.8, 0.6), **more)
    for group in groups:
        result = both(result, made_up((0.9, 0.8, 0.6), group=group, n=(40, 4, 40)))
    return {**result, "sensitivity": LEAD, "notes": ["12 contracts", "the lead of 61-90 is wide"]}


LEAD = {"best": "61-90", "second": "31-60", "lead": 0.1, "e_value": 1.5, "times_recorded": 1.2}


def kept_effects(crm):
    timing = {
        "all": by_group(()),
        "industry": by_group(("software", "retail")),
        "region": by_group(("north", "south", "west")),
    }
    calls = {
        "all": {
            **by_group(()),
            "calls_until_won": [
                {"group": "all", "calls": n, "won": 0.1 * n, "low": 0.1 * n, "high": 0.1 * n, "lost": 0.2 * n}
                for n in range(3)
            ],
        }
    }
    return {
        "as_of": "2026-01-01",
        "timing": timing,
        "calls": calls,
        "discount": {"why": WHY},
        "plan": planned(crm, timing["industry"], "industry"),
        "experiment": experiment(crm, curves(timing["all"])),
    }


@pytest.fixture(scope="module")
def worked_out(tmp_path_factory):
    """A home with an ingested CRM and effects kept for it; no model."""
    folder = tmp_path_factory.mktemp("effects")
    settings = Settings(home=folder / "home", threads=1)
    crm = ingest(write_crm(folder / "crm"), settings, until=TODAY)
    assert len(to_score(crm, "renewal")) == len(CUSTOMERS)
    keep(settings, {"value": kept_effects(crm)})
    return settings.home


@pytest.fixture
def kept(worked_out, tmp_path):
    """Settings of a copy of that home, for one test to change."""
    return Settings(home=copy_of(worked_out, tmp_path / "home"), threads=1)


def keep(settings, result):
    (settings.home / FOLDER).mkdir(exist_ok=True)
    _path("effects", settings).write_text(json.dumps(result))


def seen(settings, path, **options):
    with client_of(settings.home, **options) as client:
        answer = client.get(path, headers={"accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return answer.text


def test_the_plan_names_its_worth_the_policy_and_whom_to_contact_next(kept):
    page = seen(kept, "/effects")
    gains = 0.9 - (0.9 * 40 + 0.8 * 4 + 0.6 * 40) / 84
    assert f"{gains * (9_000 + 1_000 + 50_000):,.0f}" in page
    assert "61-90 days before" in page
    assert page.index("Nord &lt;b&gt;") < page.index("Sued") < page.index("West")
    assert "by 10 Jan 2026" in page.replace("</time>", "").replace('<time datetime="2026-01-10">', "")
    assert "Ost" not in page  # 30 days before the end no window is left that can be compared
    assert "Draw accounts at random" in page
    assert "perennial effects experiment" in page
    assert "<script>" not in page
    assert "style=" not in page


def test_curves_show_adjusted_beside_raw_n_overlap_and_what_could_be_wrong(kept):
    page = seen(kept, "/effects?what=timing&by=industry")
    assert page.count('<svg class="chart bands"') == 2
    assert 'class="raw-line"' in page
    assert "61-90: adjusted 90.0 % (88.0 % to 92.0 %), raw 90.0 %" in page
    assert "n 40" in page
    assert "Best: <b>61-90</b>" in page
    assert "1.2 times as strong as everything recorded" in page
    assert "12 contracts" in page
    assert "the lead of" not in page.lower()
    assert "31-60: adjusted 80.0 % (78.0 % to 82.0 %)<" in page, (
        f"raw rates of fewer than {FEWEST_RAW} are kept"
    )


def test_calls_show_the_curve_until_won_and_a_missing_question_says_why(kept):
    page = seen(kept, "/effects?what=calls")
    assert "after 2 calls 20.0 % were won and 40.0 % lost" in page
    assert "By region" not in page
    page = seen(kept, "/effects?what=discount")
    assert WHY in page
    assert '<svg class="chart bands"' not in page


@pytest.mark.parametrize(
    ("result", "says"),
    [({"problem": "Expected contracts; found none. Load some."}, "Expected contracts"), (None, "worked out")],
)
def test_without_effects_the_page_says_why(kept, result, says, monkeypatch):
    if result is None:
        monkeypatch.setattr("serving.precompute._start", lambda *_: Endless())
        _path("effects", kept).unlink()
    else:
        keep(kept, result)
    page = seen(kept, "/effects")
    assert says in page
    assert '<svg class="chart' not in page


def test_a_plan_that_can_not_be_made_says_why(kept):
    effects = json.loads(_path("effects", kept).read_text())["value"]
    keep(kept, {"value": {**effects, "plan": {"why": WHY}, "experiment": {"why": WHY}}})
    assert WHY in seen(kept, "/effects")
    with client_of(kept.home) as client:
        assert client.get("/effects/plan.csv").status_code == 409
    nothing = {
        **effects["plan"],
        "rows": [{**row, "window": None, "act_by": None} for row in effects["plan"]["rows"]],
    }
    keep(kept, {"value": {**effects, "plan": nothing, "experiment": {"why": WHY}}})
    page = seen(kept, "/effects")
    assert "can’t tell" in page
    assert "beyond chance" in page
    assert WHY in page


def test_a_scope_narrows_money_contracts_and_regions_but_not_the_curves_of_all(kept):
    store = open_store(kept)
    north, _ = store.access.create_key("sales", region="north")
    bob, _ = store.access.create_key("sales", owner_id="bob")
    page = seen(kept, "/effects", key=north)
    assert "Nord" in page
    assert "Sued" not in page
    assert "West" not in page
    assert "50,000" not in page
    by_region = seen(kept, "/effects?what=timing&by=region", key=north)
    assert "Renewed: north" in by_region
    assert "Renewed: south" not in by_region
    assert "Renewed: retail" in seen(kept, "/effects?what=timing&by=industry", key=north)
    page = seen(kept, "/effects", key=bob)
    assert "Sued" in page
    assert "Nord" not in page
    by_region = seen(kept, "/effects?what=timing&by=region", key=bob)
    assert "By region" not in by_region
    assert "Renewed: south" not in by_region


def test_marketing_sees_the_policy_but_no_contracts_and_ml_ops_no_page(kept):
    store = open_store(kept)
    marketing, _ = store.access.create_key("marketing")
    mlops, _ = store.access.create_key("mlops")
    page = seen(kept, "/effects", key=marketing)
    assert "The policy" in page
    assert "Nord" not in page
    assert "/effects/plan.csv" not in page
    with client_of(kept.home, key=marketing) as client:
        assert client.get("/effects/plan.csv").status_code == 403
    with client_of(kept.home, key=mlops) as client:
        assert client.get("/effects").status_code == 403


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_the_plan_can_be_saved_within_the_scope_and_is_audited(kept, ending):
    key, _ = open_store(kept).access.create_key("sales", owner_id="bob", label="Bob")
    with client_of(kept.home, key=key) as client:
        saved = client.get(f"/effects/plan.{ending}")
        assert client.get("/effects/plan.exe").status_code == 404
    read = pd.read_csv if ending == "csv" else pd.read_excel
    rows = read(io.BytesIO(saved.content))
    assert rows["contract_id"].tolist() == ["CA2", "CA3"]
    days = pd.to_datetime(rows["act_by"]).dt.strftime("%Y-%m-%d")  # real days in a workbook
    assert days.tolist() == ["2026-01-20", "2026-03-01"]
    assert any(each["action"] == "export" for each in open_store(kept).audit.read())


def facts(kept, contract_id, live=()):
    effects = json.loads(_path("effects", kept).read_text())["value"]
    return contract_facts(effects, {"contract_id": contract_id, "lead_days": 70.0}, live)


def arrived(kind="call", at="2026-01-02T09:00:00", **more):
    received = pd.Timestamp("2026-01-03").to_pydatetime()
    return {
        "crm_table": "activities",
        "payload": {"kind": kind, "occurred_at": at, **more},
        "received_at": received,
    }


@pytest.mark.parametrize(
    ("event", "made"),
    [
        (arrived(), "2026-01-02"),
        (arrived("Meeting", contract_id="CA1"), "2026-01-02"),
        (arrived(contract_id="other"), None),
        (arrived("email"), None),
        (arrived(at="2026-02-02T09:00:00"), None),
        (arrived(at="soon"), None),
    ],
)
def test_a_call_that_arrived_since_ends_the_advice(kept, event, made):
    assert contacted_since([event], "CA1") == made
    result = facts(kept, "CA1", [event])
    assert (result["window"] is None) == (made is not None)
    assert result["contacted_on"] == made


class Standing:
    """What `contact_window` asks of the service."""

    def __init__(self, settings, result):
        self.store = open_store(settings)
        self.worked_out = self
        self.result = result

    def ask(self, name):
        return self.result


def window(kept, contract_id, result=None):
    value = json.loads(_path("effects", kept).read_text())["value"]
    row = {"contract_id": contract_id, "account_id": contract_id[1:], "lead_days": 70.0}
    return contact_window(Standing(kept, result or Prepared(value)), row)


def test_a_contract_s_window_comes_with_its_curve(kept):
    found = window(kept, "CA1")
    assert (found["window"], found["act_from"], found["act_by"]) == ("61-90", "2026-01-01", "2026-01-10")
    assert found["group"] == "software"
    assert [row["bucket"] for row in found["curve"]] == ["none", "31-60", "61-90"]
    assert [row["bucket"] for row in found["curve"] if row["is_best"]] == ["61-90"]
    assert found["gain"] > 0
    assert found["low"] < found["gain"] < found["high"]
    late = window(kept, "CA4")
    assert late["window"] is None
    assert late["why"].startswith("can't tell")
    assert [row["bucket"] for row in late["curve"] if row["is_open"]] == ["none"]


def test_without_a_window_the_reason_is_told(kept):
    assert window(kept, "CA1", Prepared(None, "ask again", True))["comes"]
    assert window(kept, "CA1", Prepared({"timing": {"why": WHY}}))["why"] == f"can't tell: {WHY}"
    assert "does not come due" in window(kept, "C9")["why"]


def test_the_urgent_with_most_money_come_first():
    rows = [
        {"act_by": "2026-01-05", "worth": 1.0},
        {"act_by": "2026-01-20", "worth": 9.0},
        {"act_by": "2026-03-01", "worth": 99.0},
        {"act_by": None, "worth": 5.0},
    ]
    assert [row["worth"] for row in urgent(rows, "2026-01-01")] == [9.0, 1.0, 99.0]
