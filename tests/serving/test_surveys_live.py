"""An event over HTTP → a request → a customer's answer → an alert → tasks, done one after the other."""

import pytest
from serving_case import client_of, home, night  # noqa: F401 (fixtures)

from features.settings import Settings
from monitoring.store import open_store
from monitoring.survey_rules import FILE
from serving.live.asking import token_of

pytestmark = pytest.mark.slow


@pytest.fixture
def asking(home):  # noqa: F811
    (home / FILE).write_text("send: ['json://127.0.0.1:9/']\n")
    return Settings(home=home, threads=1)


def test_from_the_event_to_the_answer_to_the_task_that_is_done(asking):
    store = open_store(asking)
    account = store.scores.page("renewal", limit=1).rows[0]["account_id"]
    case = {
        "case_id": "LIVE-K",
        "account_id": account,
        "opened_at": "2025-12-01T10:00:00",
        "closed_at": "2025-12-02T10:00:00",
    }
    with client_of(asking.home) as client:
        for _ in range(2):
            assert client.post("/v1/events", json={"table": "cases", "rows": [case]}).status_code == 200
        requests = store.surveys.requests()
        assert [one["account_id"] for one in requests] == [account]
        token = token_of(requests[0]["request_id"], asking)

        page = client.get(f"/surveys/{token}")
        assert page.status_code == 200
        assert "How satisfied were you?" in page.text
        assert client.post("/v1/surveys/answer", json={"token": token, "score": 9}).status_code == 422
        first = client.post("/v1/surveys/answer", json={"token": token, "score": 1})
        assert first.json() == {"thanks": True, "score": 1.0}
        again = client.post(f"/surveys/{token}", data={"score": "5"})
        assert "Your answer, 1, has arrived" in again.text
        assert client.post("/v1/surveys/answer", json={"token": "x.y", "score": 1}).status_code == 401
        (answer,) = store.events.read("surveys", account_id=account)
        assert (answer["payload"]["score"], answer["payload"]["touchpoint"]) == (1.0, "case")

        (alert,) = [one for one in store.alerts.read(state="standing") if one["rule"] == "low survey score"]
        (task,) = client.get("/v1/tasks").json()["tasks"]
        assert (task["alert_id"], task["account_id"]) == (alert["alert_id"], account)
        for _ in range(3):
            moved = client.post(f"/v1/tasks/{task['task_id']}/done", json={"result": "settled"}).json()
            task["task_id"] = moved["next"] or task["task_id"]
        assert moved["next"] is None
        assert client.get("/v1/tasks").json()["tasks"] == []
        assert client.post(f"/v1/tasks/{task['task_id']}/done", json={}).status_code == 404
    assert not [one for one in store.alerts.read(state="standing") if one["rule"] == "low survey score"]
