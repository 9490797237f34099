"""The same fact is the same number on every page, route and view, in every file, by every command."""

import pytest
from folders import copy_of
from pages_case import informed, night  # noqa: F401 (fixtures)
from serving_case import client_of

from benchmarks.same_facts import check, compare_pages, whole_list
from benchmarks.statements import Facts, Source
from features.settings import Settings
from monitoring.alerts import risk_alerts, survey_alerts
from monitoring.closing_the_loop import begin_tasks
from monitoring.store import open_store
from serving.pages import worklist

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def home(informed, tmp_path_factory):  # noqa: F811
    """A home with alerts, tasks and a look at each model."""
    home = copy_of(informed, tmp_path_factory.mktemp("facts") / "home")
    settings = Settings(home=home, threads=1)
    store = open_store(settings)
    for kind in ("renewal", "win"):
        rows = store.scores.page(kind, limit=3).rows
        fallen = [{**row, "previous_probability": row["probability"] + 0.3} for row in rows]
        risk_alerts(store, settings, kind, fallen)
        survey_alerts(store, settings, [{**rows[0], "kind": "csat", "score": 1, "response_id": f"R-{kind}"}])
        looked = {"verdict": "unknown", "version": "1", "checks": [], "reports": {}}
        store.record_run(f"look-{kind}", "monitor", kind, looked)
    begin_tasks(store, settings)
    return home


def test_every_place_states_the_same(home):
    facts = check(home)
    assert facts.wrong == []
    assert len(facts.compared) >= 30
    assert sum(facts.compared.values()) > 2_000


def test_a_page_that_states_another_figure_is_named(home, monkeypatch):
    real = worklist.hide_held_out
    monkeypatch.setattr(worklist, "hide_held_out", lambda row: {**real(row), "amount": row["amount"] + 1000})
    facts = Facts()
    with client_of(home) as client:
        source = Source(client, home)
        compare_pages(source, facts, "renewal", whole_list(source, "/v1/renewals"))
    assert {wrong.rpartition(" in ")[2] for wrong in facts.wrong} == {"/renewals"}
    assert all(wrong.startswith("amount of ") for wrong in facts.wrong)
