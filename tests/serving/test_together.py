"""Answers leave in one piece, in order, and nothing is held back for good."""

import asyncio
import socket
import threading

import pytest
import uvicorn

from serving.middleware import MOST_HELD_BYTES, Gathering, Together


class Written:
    """A transport that keeps what is done to it."""

    def __init__(self):
        self.calls, self.closing = [], False

    def writelines(self, parts):
        self.calls.append(b"".join(parts))

    def is_closing(self):
        return self.closing

    def close(self):
        self.calls.append("closed")
        self.closing = True


def done(steps):
    """What a transport received from `steps`, which are given a gathering one inside a running loop."""
    beneath = Written()

    async def run():
        await steps(Gathering(beneath, asyncio.get_running_loop()), beneath)

    asyncio.run(run())
    return beneath.calls


def test_what_one_turn_writes_leaves_as_one():
    async def steps(gathering, beneath):
        gathering.write(b"head ")
        gathering.write(b"body")
        assert beneath.calls == []
        await asyncio.sleep(0)
        assert beneath.calls == [b"head body"]
        gathering.write(b"more")
        await asyncio.sleep(0)

    assert done(steps) == [b"head body", b"more"]


def test_what_is_held_leaves_before_anything_else_is_done():
    async def steps(gathering, beneath):
        gathering.write(b"last words")
        gathering.close()
        await asyncio.sleep(0)

    assert done(steps) == [b"last words", "closed"]


def test_much_leaves_at_once():
    async def steps(gathering, beneath):
        gathering.write(b"x" * MOST_HELD_BYTES)
        assert beneath.calls == []
        gathering.write(b"y")
        assert len(beneath.calls) == 1
        await asyncio.sleep(0)

    assert done(steps) == [b"x" * MOST_HELD_BYTES + b"y"]


def test_a_broken_connection_is_written_to_no_more():
    async def steps(gathering, beneath):
        gathering.write(b"too late")
        beneath.closing = True
        await asyncio.sleep(0)

    assert done(steps) == []


async def parts(scope, receive, send):
    """An application that streams: two parts with a pause between."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"200002")]})
    await send({"type": "http.response.body", "body": b"1" + b"x" * 100_000, "more_body": True})
    await asyncio.sleep(0.01)
    await send({"type": "http.response.body", "body": b"2" + b"y" * 100_000})


@pytest.fixture
def port():
    """The streaming application behind this protocol, on a socket."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(parts, http=Together, lifespan="off", log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(30)


def test_a_streamed_answer_arrives_whole_and_two_requests_share_a_connection(port):
    with socket.create_connection(("127.0.0.1", port), 30) as asked:
        read = asked.makefile("rb")
        for _ in range(2):
            asked.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            assert read.readline() == b"HTTP/1.1 200 OK\r\n"
            while read.readline() != b"\r\n":
                pass
            assert read.read(200_002) == b"1" + b"x" * 100_000 + b"2" + b"y" * 100_000
