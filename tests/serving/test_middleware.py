"""What every request meets before it is answered: limits, and errors in one form."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from front_case import is_problem
from serving_case import LOCAL
from starlette.testclient import TestClient

from features.settings import Settings
from serving.api.problems import problem_response
from serving.middleware import Front, Metrics
from serving.security.rate_limit import Pace, network


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves."""
    result = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr("serving.security.rate_limit.time", SimpleNamespace(monotonic=lambda: result.now))
    return result


def test_a_minutes_worth_may_be_spent_at_once_and_comes_back_evenly(clock):
    pace = Pace(60)
    assert [pace.wait("a") for _ in range(60)] == [0] * 60
    assert pace.wait("a") == 1
    assert pace.wait("b") == 0
    clock.now += 1.0
    assert [pace.wait("a"), pace.wait("a")] == [0, 1]
    clock.now += 30.0
    assert [pace.wait("a") for _ in range(30)] == [0] * 30
    assert pace.wait("a") == 1
    assert [Pace(0).wait("a") for _ in range(100)] == [0] * 100


def test_callers_without_end_take_no_memory_without_end(clock):
    pace = Pace(60)
    for number in range(25_000):
        pace.wait(f"caller {number}")
    assert len(pace._used_up_to) <= 10_000


@pytest.mark.parametrize(
    ("address", "counts_as"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_one_network_is_one_caller(address, counts_as):
    assert network(address) == counts_as


def test_a_key_that_asks_too_often_is_told_when_to_come_back_and_others_are_served(service):
    client, store = service(requests_per_minute=5)
    busy, calm = store.access.create_key("sales")[0], store.access.create_key("sales")[0]
    with client:
        ask = {"path": "/v1/renewals", "key": busy}
        result = [client.get(ask["path"], headers={"authorization": f"Bearer {busy}"}) for _ in range(6)]
        assert [one.status_code for one in result] == [200] * 5 + [429]
        assert is_problem(result[-1], 429)
        assert 1 <= int(result[-1].headers["retry-after"]) <= 12
        assert client.get(ask["path"], headers={"authorization": f"Bearer {calm}"}).status_code == 200
        assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer guess"}, {"cookie": "perennial_session=x.y"}]
)
def test_an_address_without_a_valid_key_is_slowed_and_those_with_one_are_not(service, headers):
    client, store = service(requests_per_minute_without_key=3)
    key, _ = store.access.create_key("sales")
    with client:
        result = [client.get("/v1/renewals", headers=headers).status_code for _ in range(5)]
        assert result == [401] * 3 + [429] * 2
        for path in ("/nowhere", "/sign-in", "/docs", "/openapi.json"):
            assert is_problem(client.get(path, headers=headers), 429), path
        assert client.get("/v1/renewals", headers={"authorization": f"Bearer {key}"}).status_code == 200


def test_this_machine_alone_is_not_counted(service):
    client, _ = service(requests_per_minute=2, requests_per_minute_without_key=2)
    with client:
        assert {client.get("/v1/renewals").status_code for _ in range(20)} == {200}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404), ("PATCH", "/v1/nowhere", 404), ("POST", "/livez", 405),
        ("PUT", "/readyz", 405), ("GET", "/healthz", 404), ("GET", "/schema.json", 404),
        ("GET", "/docs.json", 404), ("TRACE", "/", 405), ("OPTIONS", "/v1/renewals", 405),
        ("BREW", "/v1/renewals", 405), ("DELETE", "/static/perennial.css", 405),
        ("GET", "/static/none.css", 404), ("GET", "/static/%2e%2e/app.py", 404), ("GET", "/renewals/", 404),
        ("GET", "/models/renewal/..%2f..%2f..%2fetc%2fpasswd/card", 404), ("GET", "/v1/icp/list.exe", 422),
        ("GET", "/renewals/export.exe", 404),
    ],
)  # fmt: skip
@pytest.mark.parametrize("straight", [True, False], ids=["perennial serve", "bentoml serve"])
def test_bentoml_itself_tells_every_error_as_a_problem(service, method, path, status, straight):
    """The application as either command wraps it, BentoML's own routes and methods included."""
    from serving.service import APP, Perennial, application

    _, store = service()
    APP.state.settings = Settings(home=store_home(store), threads=1)
    wrapped = application() if straight else Perennial.to_asgi(is_main=False)
    with TestClient(wrapped, base_url=LOCAL, client=("127.0.0.1", 1)) as client:
        result = client.request(method, path, follow_redirects=False)
        assert is_problem(result, status)
        assert result.headers["x-content-type-options"] == "nosniff"
        if status == 405:
            assert result.headers["allow"]


def store_home(store):
    from pathlib import Path

    return Path(store.engine.url.database).parent


def test_health_is_told_in_json_to_get_and_head(service):
    client, _ = service()
    with client:
        for path in ("/livez", "/readyz"):
            result = client.get(path)
            assert result.headers["content-type"] == "application/json"
            head = client.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == result.headers["content-length"]


def test_a_body_may_be_so_large_announced_or_not_and_is_not_compressed(service):
    client, _ = service(max_body_mb=1)
    with client:
        fine = json.dumps({"contract_ids": ["C" * 100] * 5_000}).encode()
        large = fine + b" " * 1_048_576

        def parts():
            yield from (large[at : at + 65_536] for at in range(0, len(large), 65_536))

        headers = {"content-type": "application/json"}
        assert client.post("/v1/renewals/score", content=fine, headers=headers).status_code == 409  # no model
        for body in (large, parts()):
            assert is_problem(client.post("/v1/renewals/score", content=body, headers=headers), 413)
        zipped = {**headers, "content-encoding": "gzip"}
        assert is_problem(client.post("/v1/renewals/score", content=b"x", headers=zipped), 415)
        form = {"content-type": "application/x-www-form-urlencoded"}
        assert is_problem(client.post("/sign-in", content=large, headers=form), 413)


def behind(app, **options):
    """A bare application behind the front."""
    failed = SimpleNamespace(result=[])

    def answer(request, error):
        failed.result.append(error)
        return problem_response(500, "no")

    front = Front(app, Metrics(), answer, **options)
    return TestClient(front, raise_server_exceptions=False), front, failed


async def sleepy(scope, receive, send):
    if scope["path"].startswith("/late"):
        await asyncio.sleep(0.3 if scope["path"].endswith(".xlsx") else 60)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await asyncio.sleep(0.3)
    await send({"type": "http.response.body", "body": b"whole"})


def test_what_does_not_begin_in_time_is_504_and_what_has_begun_ends_well():
    client, front, _ = behind(sleepy, seconds=0.1)
    late = client.get("/late")
    assert is_problem(late, 504)
    assert late.headers["retry-after"]
    assert late.headers["content-security-policy"]
    assert client.get("/begun").text == "whole"
    assert front.in_flight == 0


def test_a_list_as_a_file_has_time_of_its_own():
    client, _, _ = behind(sleepy, seconds=0.1, file_seconds=30.0)
    assert is_problem(client.get("/late"), 504)
    assert client.get("/late.xlsx").text == "whole"
    client, _, _ = behind(sleepy, seconds=30.0, file_seconds=0.05)
    assert is_problem(client.get("/late.xlsx"), 504)


def test_an_error_nobody_expected_is_a_problem_with_the_same_headers():
    async def broken(scope, receive, send):
        raise ZeroDivisionError("secret detail")

    client, front, failed = behind(broken)
    result = client.get("/")
    assert is_problem(result, 500)
    assert "secret" not in result.text
    assert result.headers["content-security-policy"]
    assert isinstance(failed.result[0], ZeroDivisionError)
    assert front.in_flight == 0


def test_more_at_once_than_can_be_answered_are_sent_away_and_health_is_not(service):
    client, _, _ = behind(sleepy, max_in_flight=0)
    assert is_problem(client.get("/v1/renewals"), 503)
    assert client.get("/livez").text == "whole"


def test_while_the_loop_runs_late_requests_are_sent_away_and_health_is_not():
    client, front, _ = behind(sleepy)
    front.lateness = SimpleNamespace(seconds=lambda: 0.5)
    result = client.get("/v1/renewals")
    assert is_problem(result, 503)
    assert result.headers["retry-after"] == "1"
    assert client.get("/livez").text == "whole"


def test_large_answers_are_compressed_for_those_who_can_read_them(service):
    client, _ = service()
    with client:
        result = client.get("/openapi.json", headers={"accept-encoding": "gzip"})
        assert result.headers["content-encoding"] == "gzip"
        assert result.json()["openapi"]
        plain = client.get("/openapi.json", headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
