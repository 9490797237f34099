"""serving/api/forecast.py over HTTP: what programs get is what the page shows, within their scope."""

import io

import pandas as pd
import pytest
from folders import copy_of
from pages_case import informed, night  # noqa: F401 (fixtures)
from serving_case import client_of

from features.settings import Settings
from monitoring.store import open_store

pytestmark = pytest.mark.slow


def test_the_forecast_for_programs_is_the_pages(informed):  # noqa: F811
    with client_of(informed) as client:
        answer = client.get("/v1/forecast").json()
        sheet = pd.read_csv(io.BytesIO(client.get("/forecast/export.csv").content))
        page = client.get("/forecast").text
    months = pd.DataFrame(answer["months"])
    assert months["month"].tolist() == sheet["month"].tolist()
    for name in ("up", "decided", "expected", "low", "high", "own", "model_same"):
        assert months[name].to_numpy() == pytest.approx(sheet[name].to_numpy(), abs=0.01)
    last = answer["months"][-1]
    assert last["month"] == "all"
    assert last["low"] <= last["expected"] <= last["high"] <= last["up"]
    assert months["up"].iloc[:-1].sum() == pytest.approx(last["up"])
    assert last["gross"] == pytest.approx(last["expected"] / last["up"])
    assert answer["model_version"] == "1"
    assert len(answer["past"]) == 12
    assert answer["past"][-1]["month"] < answer["months"][0]["month"]
    assert f"{100 * last['gross']:.0f} %" in page
    assert answer["why"] is None


def test_owners_add_up_to_what_is_open(informed):  # noqa: F811
    with client_of(informed) as client:
        answer = client.get("/v1/forecast").json()
    owners = answer["owners"]
    assert sum(one["up"] for one in owners) == pytest.approx(_open(informed))
    apart = [abs(one["own"] - one["model_same"]) for one in owners]
    assert apart == sorted(apart, reverse=True)


def _open(home):
    """The annual value of what the list holds, added up by hand."""
    rows = open_store(Settings(home=home)).scores.page("renewal", limit=1_000).rows
    return sum(row["amount"] for row in rows if row["amount"] and row["end_date"])


def test_a_filter_and_a_scope_leave_the_same_of_it(informed, tmp_path):  # noqa: F811
    home = copy_of(informed, tmp_path / "home")
    store = open_store(Settings(home=home))
    region = store.scores.page("renewal", limit=1).rows[0]["region"]
    narrow, _ = store.access.create_key("sales", region=region)
    wide, _ = store.access.create_key("sales")
    with client_of(home, key=wide) as client:
        asked = client.get("/v1/forecast", params={"region": region}).json()
        whole = client.get("/v1/forecast").json()
    with client_of(home, key=narrow) as client:
        own = client.get("/v1/forecast").json()
        other = client.get("/v1/forecast", params={"region": region + "x"})
    assert own == asked
    assert own["months"][-1]["up"] < whole["months"][-1]["up"]
    assert other.status_code == 403


def test_an_override_moves_the_committed_view_and_leaves_the_models(informed, tmp_path):  # noqa: F811
    home = copy_of(informed, tmp_path / "home")
    store = open_store(Settings(home=home))
    rows = store.scores.page("renewal", limit=50).rows
    row = max((one for one in rows if one["end_date"] and one["amount"]), key=lambda one: one["probability"])
    with client_of(home) as client:
        before = client.get("/v1/forecast").json()
        args = {"account_id": row["account_id"], "probability": 0.1, "reason": "gone", "made_by": "A"}
        store.judgements.override("renewal", row["contract_id"], **args)
        after = client.get("/v1/forecast").json()
        page = client.get("/forecast").text
    whole, moved = before["months"][-1], after["months"][-1]
    assert whole["committed"] == pytest.approx(whole["expected"])
    assert moved["expected"] == whole["expected"]
    lost = row["amount"] * (row["probability"] - 0.1)
    assert moved["committed"] == pytest.approx(whole["committed"] - lost)
    assert (before["overridden"], after["overridden"]) == (0, 1)
    assert sum(one["expected"] for one in after["categories"]) == pytest.approx(moved["committed"])
    assert sum(one["model"] for one in after["categories"]) == pytest.approx(moved["expected"])
    assert sum(one["contracts"] for one in after["categories"]) == moved["contracts"]
    assert sum(one["amount"] for one in after["categories"]) == pytest.approx(moved["up"])
    up, kept = (sum(month[name] for month in after["past"]) for name in ("up", "kept"))
    assert after["trailing"]["gross"] == pytest.approx(kept / up)
    assert "1 override of the team" in page
