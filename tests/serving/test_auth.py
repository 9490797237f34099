"""Who is let in: keys, roles, scopes, sessions, loopback."""

import time
from types import SimpleNamespace

import pytest
from serving_case import client_of, home, night  # noqa: F401 (fixtures)
from starlette.requests import Request

from features.errors import RenewalError
from features.settings import Settings
from monitoring.store import open_store
from serving.api.problems import ProblemError
from serving.security.auth import Doorkeeper
from serving.security.request_origin import is_loopback, require_key_beyond_loopback
from serving.security.tokens import session_secret, sign, unsign


@pytest.fixture
def door(settings):
    return Doorkeeper(open_store(settings), settings)


def asking(client="127.0.0.1", host="127.0.0.1:3000", **headers):
    raw = [
        (b"host", host.encode()),
        *((name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()),
    ]
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "query_string": b"",
        "scheme": "http",
        "headers": raw,
    }
    return Request({**scope, "client": (client, 1), "server": ("127.0.0.1", 3000)})


@pytest.mark.parametrize(
    ("client", "host", "headers", "is_local"),
    [
        ("127.0.0.1", "127.0.0.1:3000", {}, True),
        ("127.0.0.1", "localhost", {}, True),
        ("::1", "[::1]:3000", {}, True),
        ("::ffff:127.0.0.1", "localhost", {}, True),
        ("10.0.0.7", "localhost", {}, False),
        ("127.0.0.1", "evil.example", {}, False),
        ("127.0.0.1", "localhost", {"x_forwarded_for": "10.0.0.7"}, False),
        ("127.0.0.1", "localhost", {"forwarded": "for=10.0.0.7"}, False),
    ],
)
def test_loopback_is_this_machine_only(client, host, headers, is_local):
    assert is_loopback(asking(client, host, **headers)) is is_local


def test_without_any_key_only_this_machine_is_answered(door):
    assert door.admit(asking()).role == "admin"
    with pytest.raises(ProblemError) as refused:
        door.admit(asking("10.0.0.7"))
    assert refused.value.status == 403


def test_with_a_key_nobody_gets_in_without_one_even_when_all_are_revoked(door):
    _, key = door.store.access.create_key("sales")
    door.store.access.revoke_key(key.prefix)
    with pytest.raises(ProblemError) as refused:
        door.admit(asking())
    assert refused.value.status == 401


@pytest.mark.parametrize("header", ["Bearer ", "Bearer wrong", "Basic abc", "", "prn_1"])
def test_a_wrong_key_is_refused_on_loopback_too(door, header):
    with pytest.raises(ProblemError) as refused:
        door.admit(asking(authorization=header))
    assert refused.value.status == 401


def test_a_revoked_key_and_its_session_end_within_seconds(door, monkeypatch):
    plaintext, key = door.store.access.create_key("sales", label="Berlin")
    cookie = door.sign_in(plaintext)
    assert door.admit(asking(cookie=f"perennial_session={cookie}")).label == "Berlin"
    door.store.access.revoke_key(key.prefix)
    now = time.monotonic()
    monkeypatch.setattr(
        "serving.security.auth.time", SimpleNamespace(monotonic=lambda: now + 3, time=time.time)
    )
    for headers in ({"authorization": f"Bearer {plaintext}"}, {"cookie": f"perennial_session={cookie}"}):
        with pytest.raises(ProblemError):
            door.admit(asking(**headers))


def test_a_session_cannot_be_forged_and_runs_out(door, monkeypatch):
    plaintext, _ = door.store.access.create_key("sales")
    cookie = door.sign_in(plaintext)
    answer = unsign(cookie, door.secret)
    assert door.session(sign(answer, b"another secret")) is None
    assert door.session(cookie[:-1] + ("0" if cookie[-1] != "0" else "1")) is None
    assert door.session(sign({**answer, "until": int(time.time()) - 1}, door.secret)) is None
    assert door.session("") is None
    assert door.session(cookie) is not None


def test_the_secret_is_made_once_and_is_private(tmp_path):
    assert session_secret(tmp_path) == session_secret(tmp_path)
    assert (tmp_path / "session.key").stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["session.key"]


def test_listening_beyond_loopback_takes_a_key():
    require_key_beyond_loopback("127.0.0.1", has_keys=False)
    require_key_beyond_loopback("localhost", has_keys=False)
    require_key_beyond_loopback("0.0.0.0", has_keys=True)
    for host in ("0.0.0.0", "::", "192.168.1.4", "example.org"):
        with pytest.raises(RenewalError, match="keys create"):
            require_key_beyond_loopback(host, has_keys=False)


@pytest.mark.slow
def test_an_owner_scope_holds_on_lists_scores_exports_and_pages(home):  # noqa: F811
    store = open_store(Settings(home=home))
    every = store.scores.page("renewal", limit=1_000).rows
    mine = every[0]["owner_id"]
    other = next(row for row in every if row["owner_id"] != mine)
    key, _ = store.access.create_key("sales", owner_id=mine)
    with client_of(home, key=key) as client:
        listed = client.get("/v1/renewals?limit=1000").json()
        assert {row["owner_id"] for row in listed["rows"]} == {mine}
        assert listed["total"] == sum(row["owner_id"] == mine for row in every)
        assert client.get(f"/v1/renewals?owner={other['owner_id']}").status_code == 403
        scored = client.post("/v1/renewals/score", json={"contract_ids": [other["contract_id"]]}).json()[
            "rows"
        ][0]
        assert scored["problem"]
        assert scored.get("probability") is None
        assert other["contract_id"] not in client.get("/renewals/export.csv").text
        assert other["contract_id"] not in client.get("/renewals").text
        found = client.get(f"/renewals?q={other['contract_id']}").text
        assert f"/accounts/{other['account_id']}" not in found
        assert client.post(f"/renewals/{other['contract_id']}/override").status_code in (403, 404, 415)


@pytest.mark.slow
def test_a_region_scope_hides_other_regions_accounts(home):  # noqa: F811
    store = open_store(Settings(home=home))
    every = store.scores.page("renewal", limit=1_000).rows
    mine = every[0]["region"]
    other = next(row for row in every if row["region"] != mine)
    key, _ = store.access.create_key("sales", region=mine)
    with client_of(home, key=key) as client:
        assert {row["region"] for row in client.get("/v1/renewals").json()["rows"]} == {mine}
        assert client.get(f"/accounts/{every[0]['account_id']}").status_code == 200
        assert client.get(f"/accounts/{other['account_id']}").status_code == 404


@pytest.mark.slow
def test_signing_in_sets_a_locked_cookie_and_wrong_keys_have_to_wait(home):  # noqa: F811
    key, _ = open_store(Settings(home=home)).access.create_key("sales", label="Berlin")
    with client_of(home, base="https://127.0.0.1") as client:
        assert (
            client.get("/renewals", headers={"accept": "text/html"}, follow_redirects=False).status_code
            == 303
        )
        answer = client.post("/sign-in", data={"key": key, "next": "//evil.example"}, follow_redirects=False)
        assert answer.headers["location"] == "/"
        cookie = answer.headers["set-cookie"]
        assert all(word in cookie for word in ("HttpOnly", "SameSite=lax", "Secure"))
        assert "Berlin" in client.get("/renewals").text
        assert client.post("/sign-out", data={"csrf": "guessed"}).status_code == 403
        for _ in range(10):
            assert client.post("/sign-in", data={"key": "wrong"}).status_code == 401
        assert client.post("/sign-in", data={"key": key}).status_code == 429
