"""What every request meets before it is answered: limits, errors in one form, and attackers' tries."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from serving_case import LOCAL
from starlette.testclient import TestClient

from features.settings import Settings
from monitoring.store import open_store
from serving.app import create_app
from serving.auth import Doorkeeper
from serving.front import Front, Metrics
from serving.pace import Pace, network
from serving.pages.signing import _local
from serving.problems import problem_response
from serving.signed import mac_of, sign, unsign
from serving.whence import is_loopback, refuse_foreign


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves."""
    told = SimpleNamespace(now=1_000.0)
    monkeypatch.setattr("serving.pace.time", SimpleNamespace(monotonic=lambda: told.now))
    return told


@pytest.fixture
def service(tmp_path):
    """The application without models or data, asked from this machine; `keys` makes them."""

    def start(address="127.0.0.1", base=LOCAL, **settings):
        made = Settings(home=tmp_path / "home", threads=1, **settings)
        client = TestClient(
            create_app(made), base_url=base, client=(address, 50_000), raise_server_exceptions=False
        )
        return client, open_store(made)

    return start


def is_problem(told, status):
    assert told.status_code == status, (told.status_code, told.text[:300])
    assert told.headers["content-type"] == "application/problem+json"
    assert told.json()["status"] == status
    assert {"type", "title", "detail"} <= set(told.json())
    return True


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
    busy, calm = store.create_key("sales")[0], store.create_key("sales")[0]
    with client:
        ask = {"path": "/v1/renewals", "key": busy}
        told = [client.get(ask["path"], headers={"authorization": f"Bearer {busy}"}) for _ in range(6)]
        assert [one.status_code for one in told] == [200] * 5 + [429]
        assert is_problem(told[-1], 429)
        assert 1 <= int(told[-1].headers["retry-after"]) <= 12
        assert client.get(ask["path"], headers={"authorization": f"Bearer {calm}"}).status_code == 200
        assert client.get("/livez").status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer guess"}, {"cookie": "perennial_session=x.y"}]
)
def test_an_address_without_a_valid_key_is_slowed_and_those_with_one_are_not(service, headers):
    client, store = service(requests_per_minute_without_key=3)
    key, _ = store.create_key("sales")
    with client:
        told = [client.get("/v1/renewals", headers=headers).status_code for _ in range(5)]
        assert told == [401] * 3 + [429] * 2
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
        told = client.request(method, path, follow_redirects=False)
        assert is_problem(told, status)
        assert told.headers["x-content-type-options"] == "nosniff"
        if status == 405:
            assert told.headers["allow"]


def store_home(store):
    from pathlib import Path

    return Path(store.engine.url.database).parent


def test_health_is_told_in_json_to_get_and_head(service):
    client, _ = service()
    with client:
        for path in ("/livez", "/readyz"):
            told = client.get(path)
            assert told.headers["content-type"] == "application/json"
            head = client.head(path)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == told.headers["content-length"]


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
    failed = SimpleNamespace(told=[])

    def answer(request, error):
        failed.told.append(error)
        return problem_response(500, "no")

    front = Front(app, Metrics(), answer, **options)
    return TestClient(front, raise_server_exceptions=False), front, failed


async def sleepy(scope, receive, send):
    if scope["path"] == "/late":
        await asyncio.sleep(60)
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


def test_an_error_nobody_expected_is_a_problem_with_the_same_headers():
    async def broken(scope, receive, send):
        raise ZeroDivisionError("secret detail")

    client, front, failed = behind(broken)
    told = client.get("/")
    assert is_problem(told, 500)
    assert "secret" not in told.text
    assert told.headers["content-security-policy"]
    assert isinstance(failed.told[0], ZeroDivisionError)
    assert front.in_flight == 0


def test_more_at_once_than_can_be_answered_are_sent_away_and_health_is_not(service):
    client, _, _ = behind(sleepy, max_in_flight=0)
    assert is_problem(client.get("/v1/renewals"), 503)
    assert client.get("/livez").text == "whole"


def test_while_the_loop_runs_late_requests_are_sent_away_and_health_is_not():
    client, front, _ = behind(sleepy)
    front.lateness = SimpleNamespace(seconds=lambda: 0.5)
    told = client.get("/v1/renewals")
    assert is_problem(told, 503)
    assert told.headers["retry-after"] == "1"
    assert client.get("/livez").text == "whole"


def test_large_answers_are_compressed_for_those_who_can_read_them(service):
    client, _ = service()
    with client:
        told = client.get("/openapi.json", headers={"accept-encoding": "gzip"})
        assert told.headers["content-encoding"] == "gzip"
        assert told.json()["openapi"]
        plain = client.get("/openapi.json", headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers


# What an attacker would try.


def asking(method="GET", client="127.0.0.1", version="1.1", **headers):
    from starlette.requests import Request

    named = {"host": "127.0.0.1:3000", **{name.replace("_", "-"): value for name, value in headers.items()}}
    raw = [(name.encode(), value.encode()) for name, value in named.items()]
    scope = {"type": "http", "method": method, "path": "/", "query_string": b"", "headers": raw}
    return Request(
        {
            **scope,
            "scheme": "http",
            "http_version": version,
            "client": (client, 1),
            "server": ("127.0.0.1", 3000),
        }
    )


@pytest.mark.parametrize(
    "header", ["via", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "cf-connecting-ip"]
)
def test_a_proxy_on_this_machine_makes_nobody_local(header):
    assert is_loopback(asking())
    assert not is_loopback(asking(**{header: "127.0.0.1"}))


def test_a_proxy_that_says_nothing_is_told_by_its_old_http():
    assert not is_loopback(asking(version="1.0"))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.nip.io",
        "localhost.evil.example",
        "evil.example:3000",
        "10.0.0.1",
        "[::2]",
    ],
)
def test_a_name_that_was_bound_to_this_machine_opens_nothing(service, host):
    client, _ = service()
    with client:
        assert is_problem(client.get("/v1/renewals", headers={"host": host}), 403)


@pytest.mark.parametrize(
    ("method", "headers", "passes"),
    [
        ("POST", {}, True),
        ("POST", {"origin": "http://127.0.0.1:3000"}, True),
        ("POST", {"origin": "http://127.0.0.1:8000"}, False),
        ("POST", {"origin": "http://evil.example"}, False),
        ("POST", {"origin": "null"}, False),
        ("POST", {"sec_fetch_site": "same-origin", "origin": "http://127.0.0.1:3000"}, True),
        ("POST", {"sec_fetch_site": "same-site"}, False),
        ("POST", {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, False),
        ("GET", {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, True),
        ("GET", {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}, False),
        ("GET", {"sec_fetch_site": "none"}, True),
    ],
)
def test_pages_of_other_sites_cannot_speak_for_this_machine(service, method, headers, passes):
    request = asking(method, **headers)
    if passes:
        refuse_foreign(request, by_origin=True)
        return
    with pytest.raises(Exception, match="another site"):
        refuse_foreign(request, by_origin=True)


def test_a_form_of_another_site_cannot_sign_a_visitor_in_or_send_events(service):
    client, store = service()
    foreign = {"origin": "http://evil.example", "sec-fetch-site": "cross-site"}
    with client:
        sent = client.post("/v1/events", content=b'{"table": "cases", "rows": [{}]}', headers=foreign)
        assert is_problem(sent, 403)
        for kind in ("text/plain", "application/x-www-form-urlencoded", ""):  # what a form may send anywhere
            told = client.post(
                "/v1/events", content=b'{"table":"cases","rows":[{}]}', headers={"content-type": kind}
            )
            assert is_problem(told, 422), kind
        key, _ = store.create_key("sales")
        assert is_problem(client.post("/sign-in", data={"key": key}, headers=foreign), 403)


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example",
        "javascript:alert(1)", "",
        "/\t/evil.example", "/\n/evil.example", "/\r\nset-cookie: a=b", "evil.example", "/a\\..\\b", "/\x00",
    ],
)  # fmt: skip
def test_signing_in_leads_nowhere_else(address):
    assert _local(address) == "/"


@pytest.mark.parametrize(
    "address", ["/", "/renewals?owner=O 1&order=at_risk", "/accounts/A//1", "/profiles#a"]
)
def test_signing_in_leads_back_to_where_one_was(address):
    assert _local(address) == address


def test_a_session_ends_for_every_copy_of_its_cookie(service):
    client, store = service()
    key, _ = store.create_key("sales", label="Berlin")
    with client:
        door = client.app.state.running.door
        client.post("/sign-in", data={"key": key})
        stolen = client.cookies["perennial_session"]
        other = door.sign_in(key)
        page = client.get("/renewals").text
        token = page.split('name="csrf" value="')[1].split('"')[0]
        client.cookies.clear()
        as_stolen = {"cookie": f"perennial_session={stolen}"}
        assert client.get("/v1/renewals", headers=as_stolen).status_code == 200
        client.post("/sign-out", data={"csrf": token}, headers=as_stolen, follow_redirects=False)
        assert client.get("/v1/renewals", headers=as_stolen).status_code == 401
        assert door.session(other) is not None
        noted = [row["action"] for row in store.audit_log()]
        assert {"signed in", "signed out"} <= set(noted)


def test_a_cookie_set_before_signing_in_is_worth_nothing(service):
    client, store = service()
    key, _ = store.create_key("sales")
    with client:
        fixed = {"cookie": "perennial_session=chosen-by-another"}
        told = client.post("/sign-in", data={"key": key}, headers=fixed, follow_redirects=False)
        assert "chosen-by-another" not in told.headers["set-cookie"]
        assert client.get("/v1/renewals", headers=fixed).status_code == 401


def test_over_https_no_other_host_of_the_domain_can_set_the_cookie(service):
    client, store = service(base="https://127.0.0.1")
    key, _ = store.create_key("sales")
    with client:
        told = client.post("/sign-in", data={"key": key}, follow_redirects=False)
        cookie = told.headers["set-cookie"]
        assert cookie.startswith("__Host-perennial_session=")
        assert all(word in cookie for word in ("HttpOnly", "Secure", "Path=/", "SameSite=lax"))
        assert "omain=" not in cookie
        assert client.get("/v1/renewals").status_code == 200
        assert client.get("/v1/renewals").headers["strict-transport-security"]


def test_a_token_of_a_form_is_no_session_and_no_two_pages_show_the_same(tmp_path):
    settings = Settings(home=tmp_path)
    door = Doorkeeper(open_store(settings), settings)
    first, second = door.csrf_token(asking()), door.csrf_token(asking())
    assert first != second
    assert door.is_own_form(asking(), first)
    assert door.is_own_form(asking(), second)
    for forged in ("", ".", "a.b", first[:-1], first.replace(".", ""), "é.é"):
        assert not door.is_own_form(asking(), forged)
    body = sign({"key": "k", "until": 9e9, "id": "1"}, door.secret).partition(".")[0]
    assert unsign(f"{body}.{mac_of(body.encode(), door.secret, 'form')}", door.secret) is None
    for junk in ("", ".", "loopback." + first, "é.é", "a.b.c"):
        assert door.session(junk) is None


def test_guessing_keys_is_noted_once(service):
    client, store = service()
    store.create_key("sales")
    with client:
        for _ in range(14):
            client.post("/sign-in", data={"key": "guess"})
        assert is_problem(client.post("/sign-in", data={"key": "guess"}), 429)
    noted = [row for row in store.audit_log() if row["action"] == "locked out"]
    assert len(noted) == 1


@pytest.mark.parametrize(
    "text", ["C\u0000", "\ud800", "'; DROP TABLE scores; --", "C" * 201, "../../etc/passwd", "%00", "{{7*7}}"]
)
def test_odd_text_breaks_nothing(service, text):
    client, _ = service()
    with client:
        for params in ({"owner": text}, {"region": text}, {"cursor": text}):
            try:
                told = client.get("/v1/renewals", params=params)
            except UnicodeEncodeError:  # the client cannot even send it
                continue
            assert told.status_code in (200, 422), (params, told.text[:200])
        body = json.dumps({"table": "cases", "rows": [{"case_id": text, "account_id": text, text: text}]})
        told = client.post("/v1/events", content=body, headers={"content-type": "application/json"})
        assert is_problem(told, 422)


@pytest.mark.parametrize(
    "cursor",
    [
        "zzz", "e30=", "bnVsbA==", "W10=", "WyJhdF9yaXNrIiwgMSwgMV0=", "WyJhdF9yaXNrIiwgW10sICJDIl0=",
        "WyJhdF9yaXNrIiwgIngiLCAiQyJd", "WyJhbW91bnQiLCAxLCAiQyJd",
        "WyJhdF9yaXNrIiwgIjIwMjUtMDEtMDEiLCAiQyJd",
        "WyJhdF9yaXNrIiwgMWU5OTksICJDIl0=", "WyJhdF9yaXNrIiwgTmFOLCAiQyJd", "W1tbW1tbW1tb" * 400, "é",
        "WyJhdF9yaXNrIiwgMTAw" + "MDAw" * 150 + "LCAiQyJd",
    ],
)  # fmt: skip
def test_a_cursor_that_is_not_ours_is_refused(service, cursor):
    client, _ = service()
    with client:
        told = client.get("/v1/renewals", params={"cursor": cursor})
        assert is_problem(told, 422)
        assert "cursor" in told.json()["expected"]
