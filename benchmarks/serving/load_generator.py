"""Requests over keep-alive connections, as fast as one process can send them: latencies and what came back.

Peers are asked by the same few lines: a general client costs more than the answers it would measure.
"""

import asyncio
import multiprocessing
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import numpy as np

Request = bytes
OVERDUE_SECONDS = 30.0


@dataclass
class Answers:
    """What a run of requests brought.

    Attributes:
        seconds: how long the run took.
        latencies: seconds of each answered request, in order of arrival.
        statuses: how many answers of each status; 0: the connection broke.
        late: seconds each request of a paced run was sent after its time.
        body: of the last answer.
        good: seconds of each answer with status 200.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    late: list[float] = field(default_factory=list)
    body: bytes = b""
    good: list[float] = field(default_factory=list)

    def at(self, share: float) -> float:
        """A quantile of the latencies in milliseconds."""
        return float(1e3 * np.quantile(self.latencies, share)) if self.latencies else float("nan")

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds


def post(path: str, body: bytes, kind: str = "application/json", accept: str = "*/*") -> Request:
    """A POST request as it goes over the wire."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nAccept: {accept}\r\n"
    return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def get(path: str) -> Request:
    """A GET request as it goes over the wire."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


class _Connection(asyncio.Protocol):
    """One request at a time; `answered` gets each answer's status and body, 0 where it broke off."""

    def __init__(self) -> None:
        self.waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self.read = bytearray()
        self.whole = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def ask(self, request: Request) -> "asyncio.Future[tuple[int, bytes]]":
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)  # type: ignore[attr-defined]
        return self.waiting

    def data_received(self, data: bytes) -> None:
        self.read += data
        if self.whole < 0:
            end = self.read.find(b"\r\n\r\n")
            if end < 0:
                return
            self.whole = end + 4 + _length(bytes(self.read[:end]).lower())
        if len(self.read) >= self.whole:
            self._settle(int(self.read[9:12]), bytes(self.read[self.read.find(b"\r\n\r\n") + 4 :]))

    def connection_lost(self, error: Exception | None) -> None:
        self._settle(0, b"")

    def _settle(self, status: int, body: bytes) -> None:
        self.read.clear()
        self.whole = -1
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result((status, body))


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    raise ValueError("an answer without content-length; this client reads no other")


class _Line:
    """A connection that is opened again when it broke."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.held: _Connection | None = None

    async def ask(self, request: Request) -> tuple[int, bytes]:
        try:
            if self.held is None or self.held.transport.is_closing():
                loop = asyncio.get_running_loop()
                _, self.held = await loop.create_connection(_Connection, "127.0.0.1", self.port)
            return await asyncio.wait_for(self.held.ask(request), OVERDUE_SECONDS)
        except (OSError, TimeoutError):
            self.close()
            return 0, b""

    def close(self) -> None:
        if self.held is not None:
            self.held.transport.close()
            self.held = None


def closed(port: int, requests: Callable[[], Request], clients: int, seconds: float) -> Answers:
    """`clients` that each send the next request when the last is answered, one at least."""
    answers = Answers()

    async def one(end: float) -> None:
        line = _Line(port)
        while True:
            sent = time.perf_counter()
            status, body = await line.ask(requests())
            answers.latencies.append(time.perf_counter() - sent)
            answers.statuses[status] += 1
            answers.body = body
            if time.perf_counter() >= end:
                break
        line.close()

    async def run() -> None:
        began = time.perf_counter()
        await asyncio.gather(*(one(began + seconds) for _ in range(clients)))
        answers.seconds = time.perf_counter() - began

    _loop(run)
    return answers


def paced(port: int, requests: Iterator[Request], rate: float, seconds: float, connections: int) -> Answers:
    """Requests sent at their times, `rate` a second, whether or not the ones before were answered.

    A latency counts from the time a request was due, so that a service that keeps its callers waiting does
    not look better for it. Where all connections wait, requests queue here.
    """
    answers = Answers()

    async def run() -> None:
        began = time.perf_counter()
        due: asyncio.Queue[tuple[float, Request] | None] = asyncio.Queue()

        async def one() -> None:
            line = _Line(port)
            while (item := await due.get()) is not None:
                answers.late.append(time.perf_counter() - item[0])
                status, body = await line.ask(item[1])
                answers.latencies.append(time.perf_counter() - item[0])
                answers.statuses[status] += 1
                answers.body = body
                if status == 200:
                    answers.good.append(answers.latencies[-1])
            line.close()

        workers = [asyncio.create_task(one()) for _ in range(connections)]
        for number in range(int(rate * seconds)):
            at = began + number / rate
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            due.put_nowait((at, next(requests)))
        for _ in workers:
            due.put_nowait(None)
        await asyncio.gather(*workers)
        answers.seconds = time.perf_counter() - began

    _loop(run)
    return answers


def crowd(port: int, request: Request, rate: float, seconds: float, connections: int) -> Answers:
    """One request, `rate` times a second, by two processes: one may not reach twice the capacity.

    So many connections are needed as may wait at once: fewer would themselves hold back what is too much.
    """
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        halves = [pool.submit(_flood, port, request, rate / 2, seconds, connections // 2) for _ in range(2)]
        first, second = (half.result() for half in halves)
    return Answers(
        max(first.seconds, second.seconds),
        first.latencies + second.latencies,
        first.statuses + second.statuses,
        first.late + second.late,
        second.body,
        first.good + second.good,
    )


class _Flooding(_Connection):
    """Sends the next request that is due as soon as one was answered, without a task in between."""

    def __init__(
        self, answers: Answers, due: "deque[float]", idle: "list[_Flooding]", request: Request
    ) -> None:
        super().__init__()
        self.answers, self.due, self.idle, self.request = answers, due, idle, request
        self.at = self.sent_at = 0.0

    def send(self) -> None:
        self.at, self.sent_at = self.due.popleft(), time.perf_counter()
        self.answers.late.append(self.sent_at - self.at)
        self.transport.write(self.request)  # type: ignore[attr-defined]

    def _settle(self, status: int, body: bytes) -> None:
        self.read.clear()
        self.whole = -1
        self.answers.latencies.append(time.perf_counter() - self.at)
        self.answers.statuses[status] += 1
        if status == 200:
            self.answers.good.append(time.perf_counter() - self.sent_at)
        if status and self.due:
            self.send()
        elif status:
            self.idle.append(self)


def _flood(port: int, request: Request, rate: float, seconds: float, connections: int) -> Answers:
    """Requests at their times; those unanswered `OVERDUE_SECONDS` after the last count as status 0.

    What all connections were too busy to send in time was not brought, and is not counted.
    """
    answers = Answers()

    async def run() -> None:
        due: deque[float] = deque()
        idle: list[_Flooding] = []
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, line = await loop.create_connection(
                lambda: _Flooding(answers, due, idle, request), "127.0.0.1", port
            )
            idle.append(line)
        began, called = time.perf_counter(), 0
        while (now := time.perf_counter() - began) < seconds:
            ready = int(now * rate)
            due.extend(began + number / rate for number in range(called, ready))
            called = ready
            while idle and due:
                idle.pop().send()
            await asyncio.sleep(0.002)
        called -= len(due)
        due.clear()
        while len(answers.latencies) < called and time.perf_counter() < began + seconds + OVERDUE_SECONDS:
            await asyncio.sleep(0.002)
        answers.seconds = time.perf_counter() - began
        answers.statuses[0] += called - len(answers.latencies)

    _loop(run)
    return answers


def _loop(run: Callable) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(run())
    else:
        uvloop.run(run())
