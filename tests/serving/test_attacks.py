"""What an attacker would try: foreign pages, proxies and names, cookies, guessed keys, odd text."""

import json

import pytest
from front_case import is_problem

from features.settings import Settings
from monitoring.store import open_store
from serving.pages.sign_in_page import _local
from serving.security.auth import Doorkeeper
from serving.security.request_origin import is_loopback, refuse_foreign
from serving.security.tokens import mac_of, sign, unsign


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
            answer = client.post(
                "/v1/events", content=b'{"table":"cases","rows":[{}]}', headers={"content-type": kind}
            )
            assert is_problem(answer, 422), kind
        key, _ = store.access.create_key("sales")
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
    key, _ = store.access.create_key("sales", label="Berlin")
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
        noted = [row["action"] for row in store.audit.read()]
        assert {"signed in", "signed out"} <= set(noted)


def test_a_cookie_set_before_signing_in_is_worth_nothing(service):
    client, store = service()
    key, _ = store.access.create_key("sales")
    with client:
        fixed = {"cookie": "perennial_session=chosen-by-another"}
        answer = client.post("/sign-in", data={"key": key}, headers=fixed, follow_redirects=False)
        assert "chosen-by-another" not in answer.headers["set-cookie"]
        assert client.get("/v1/renewals", headers=fixed).status_code == 401


def test_over_https_no_other_host_of_the_domain_can_set_the_cookie(service):
    client, store = service(base="https://127.0.0.1")
    key, _ = store.access.create_key("sales")
    with client:
        answer = client.post("/sign-in", data={"key": key}, follow_redirects=False)
        cookie = answer.headers["set-cookie"]
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
    store.access.create_key("sales")
    with client:
        for _ in range(14):
            client.post("/sign-in", data={"key": "guess"})
        assert is_problem(client.post("/sign-in", data={"key": "guess"}), 429)
    noted = [row for row in store.audit.read() if row["action"] == "locked out"]
    assert len(noted) == 1


@pytest.mark.parametrize(
    "text", ["C\u0000", "\ud800", "'; DROP TABLE scores; --", "C" * 201, "../../etc/passwd", "%00", "{{7*7}}"]
)
def test_odd_text_breaks_nothing(service, text):
    client, _ = service()
    with client:
        for params in ({"owner": text}, {"region": text}, {"cursor": text}):
            try:
                answer = client.get("/v1/renewals", params=params)
            except UnicodeEncodeError:  # the client cannot even send it
                continue
            assert answer.status_code in (200, 422), (params, answer.text[:200])
        body = json.dumps({"table": "cases", "rows": [{"case_id": text, "account_id": text, text: text}]})
        answer = client.post("/v1/events", content=body, headers={"content-type": "application/json"})
        assert is_problem(answer, 422)


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
        answer = client.get("/v1/renewals", params={"cursor": cursor})
        assert is_problem(answer, 422)
        assert "cursor" in answer.json()["expected"]
