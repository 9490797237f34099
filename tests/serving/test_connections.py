"""Connections that take places and give nothing: silent ones, slow ones, too many."""

import asyncio
import contextlib
import resource
import socket
import threading
import time

import pytest
import uvicorn
from serving_case import free_port

from serving import connections
from serving.connections import SPARE_HANDLES, Bounded, raise_handles


async def app(scope, receive, send):
    if scope["path"] == "/slow":
        await asyncio.sleep(1.5)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def port(monkeypatch):
    """A server with room for ten connections, whose patience is half a second."""
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    monkeypatch.setattr(Bounded, "most", 10)
    config = uvicorn.Config(app, port=(at := free_port()), http=Bounded, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    running = threading.Thread(target=server.run, daemon=True)
    running.start()
    while not server.started:
        time.sleep(0.01)
    yield at
    server.should_exit = True
    running.join(10)


def connected(port, first=b""):
    made = socket.create_connection(("127.0.0.1", port), timeout=5)
    made.sendall(first)
    return made


def asked(port, path="/livez", using=None):
    with contextlib.closing(using or connected(port)) as one:
        one.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: one.recv(4096), b""))


def is_closed(one):
    one.settimeout(3)
    try:
        return one.recv(1) == b""
    except TimeoutError:
        return False


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\nx: "])
def test_who_says_nothing_or_half_a_head_is_let_go(port, first):
    began = time.monotonic()
    one = connected(port, first)
    assert is_closed(one)
    assert 0.3 < time.monotonic() - began < 2.5


def test_who_dribbles_is_let_go_all_the_same_and_on_a_kept_connection_too(port):
    one = connected(port, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    assert one.recv(4096).startswith(b"HTTP/1.1 200")
    began = time.monotonic()
    with contextlib.suppress(OSError):
        for byte in b"GET /" + b"a" * 40:
            one.sendall(bytes([byte]))
            time.sleep(0.05)
    assert is_closed(one)
    assert time.monotonic() - began < 4


def test_many_idle_connections_leave_room_for_the_next_caller(port):
    idle = [connected(port) for _ in range(40)]
    assert asked(port).endswith(b"ok")
    assert sum(is_closed(one) for one in idle[:20]) == 20  # the oldest gave way
    for one in idle:
        one.close()


def test_an_answer_under_way_is_not_cut_off_for_room(port):
    answers = []
    busy = threading.Thread(target=lambda: answers.append(asked(port, "/slow")))
    busy.start()
    time.sleep(0.3)
    idle = [connected(port) for _ in range(30)]
    busy.join(10)
    assert answers[0].endswith(b"ok")
    for one in idle:
        one.close()


def test_file_handles_are_raised_to_what_may_be_had():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(1_024, before[1]), before[1]))
        most = raise_handles()
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert soft >= min(1_024, before[1])
        assert most <= soft - SPARE_HANDLES
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
