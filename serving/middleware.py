"""What every request passes first: shedding, limits of size and time, security headers, metrics.

How late the event loop runs: the wait of whoever stands in line below the requests being answered.

One packet an answer: what a response writes in one turn of the event loop leaves in one system call.
"""

import asyncio
import time
from collections.abc import Callable, MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from features.progress import until_given_up
from serving.api.problems import ProblemError, problem_response

TICK_SECONDS = 0.05


class Lateness:
    """A tick that is due every 50 ms, and how late it comes.

    Requests that a handler answers in one go never stand side by side: under load they wait in their sockets,
    each for all before it, and so does the tick. One late tick is somebody's long step; two running are a
    queue.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = self._last = self._before = 0.0

    def seconds(self) -> float:
        """How late the last two ticks both were. Starts the tick when first asked."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._last, self._before = loop, 0.0, 0.0
            self._wait(loop)
        return min(self._last, self._before)

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + TICK_SECONDS
        loop.call_at(self._due, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._before, self._last = self._last, loop.time() - self._due
        self._wait(loop)


MEGABYTE = 1024 * 1024
MAX_BODY_BYTES = 64 * MEGABYTE
MAX_JSON_BYTES = 16 * MEGABYTE
"""Of a JSON body with rows in it: reading it holds everybody up, for a fifth of a second at this size."""

MAX_ASKED_BYTES = MEGABYTE
"""Of a JSON body that only asks something."""

MAX_FORM_BYTES = 16 * 1024
ROWS_ROUTES = frozenset({"/v1/score/features", "/v1/score/records", "/v1/events", "/v1/icp/fit"})
"""Routes that take rows; columns (Arrow, Parquet) are read as they lie, up to what the settings allow."""

SIGNED_ROUTES = frozenset({"/v1/surveys/answer"})
"""Routes open to whoever brings a signed link: no key is asked for, and the body is as small as a form."""

MAX_IN_FLIGHT = 64
MAX_LATE_SECONDS = 0.2
ANSWER_SECONDS = 4.5
"""Just less than BentoML's own limit, whose answer is no problem detail."""

FILE_SECONDS = 60.0
"""Of a list as a file: whoever saves it waits for it, and a busy service takes long over a workbook."""

FILE_ENDINGS = (".csv", ".xlsx", ".parquet")
OPEN_PATHS = frozenset({"/livez", "/readyz", "/metrics"})

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
SECURITY_HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)


class Metrics:
    """Counts and times by route template, never by raw path: addresses hold ids, and series must stay few."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("route", "method", "status")
        self.requests = Counter("perennial_requests", "Requests answered", labels, registry=self.registry)
        self.seconds = Histogram(
            "perennial_request_seconds",
            "Time to answer",
            ("route",),
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
            registry=self.registry,
        )
        self.in_flight = Gauge("perennial_in_flight", "Requests being answered", registry=self.registry)
        self.shed = Counter("perennial_shed", "Requests turned away under load", registry=self.registry)
        self.scored = Counter(
            "perennial_scored_rows", "Rows scored", ("kind", "model_version"), registry=self.registry
        )
        self.swaps = Counter("perennial_model_swaps", "Models swapped in", ("kind",), registry=self.registry)

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)


Failed = Callable[[Request, Exception], Response]


class Front:
    """ASGI middleware around the whole application.

    More than `max_in_flight` requests at once, or any while the loop runs more than `max_late` seconds late,
    are turned away with 503 and Retry-After: a queue that grows without end answers nobody. Bodies larger
    than their route and form allow are refused with 413, announced or not, and compressed ones with 415; a
    stranger's are not read. What has not begun to answer after `seconds` (a file: `file_seconds`) is ended
    with 504, and its work at the next `features.progress.checkpoint`.

    Args:
        app: what answers.
        metrics: where requests are counted.
        failed: the answer where `app` raises.
        max_in_flight: requests at once.
        max_late: how long requests may wait in line, in seconds.
        max_body_bytes: of a request, unless the settings of the running service say otherwise.
        seconds: how long an answer may take to begin.
        file_seconds: the same of a list that is saved as a file.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        failed: Failed,
        max_in_flight: int = MAX_IN_FLIGHT,
        max_body_bytes: int = MAX_BODY_BYTES,
        seconds: float = ANSWER_SECONDS,
        max_late: float = MAX_LATE_SECONDS,
        file_seconds: float = FILE_SECONDS,
    ) -> None:
        self.app, self.metrics, self.failed = app, metrics, failed
        self.max_late, self.lateness = max_late, Lateness()
        self.max_in_flight, self.max_body_bytes, self.seconds = max_in_flight, max_body_bytes, seconds
        self.file_seconds, self.in_flight = file_seconds, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or turn it away."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        passing = _Passing(scope, send)
        if scope["method"] == "HEAD":
            scope["method"] = "GET"  # the same answer; its body stays here
        most = self._most_bytes(scope)
        refused = self._refusal(scope, most) or self._unknown(scope)
        self.in_flight += 1
        self.metrics.in_flight.set(self.in_flight)
        try:
            if refused is None:
                await self._answer(scope, _limited(receive, most), passing)
            else:
                await refused(scope, receive, passing.send)
        finally:
            self.in_flight -= 1
            self.metrics.in_flight.set(self.in_flight)
            route = getattr(scope.get("route"), "path", "unknown")
            self.metrics.requests.labels(route, scope["method"], passing.status).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - began)

    def _most_bytes(self, scope: Scope) -> int:
        """How large the body may be, by what is asked and in which form it comes."""
        running = _running(scope)
        most = running.settings.max_body_mb * MEGABYTE if running is not None else self.max_body_bytes
        kind = _header(scope, b"content-type").partition(b";")[0].strip().lower()
        if not scope["path"].startswith("/v1/") or scope["path"] in SIGNED_ROUTES:
            return min(most, MAX_FORM_BYTES)
        if scope["path"] not in ROWS_ROUTES:
            return min(most, MAX_ASKED_BYTES)
        return most if kind in COLUMN_TYPES else min(most, MAX_JSON_BYTES)

    def _unknown(self, scope: Scope) -> Response | None:
        """The answer to a stranger's request with a body, before any of that is read; None: a known caller.

        Who the request is from is kept with it, so that the route need not ask again.
        """
        running, path = _running(scope), scope["path"]
        is_asked = path.startswith("/v1/") and path not in SIGNED_ROUTES
        if running is None or not is_asked or scope["method"] in ("GET", "OPTIONS"):
            return None
        try:
            scope["perennial.principal"] = running.door.admit(Request(scope))
        except ProblemError as error:
            return problem_response(error.status, error.detail, error.headers)
        return None

    def _refusal(self, scope: Scope, most: int) -> Response | None:
        """The answer to a request that is not let in; None: it is."""
        is_full = self.in_flight >= self.max_in_flight or self.lateness.seconds() > self.max_late
        if is_full and scope["path"] not in OPEN_PATHS:
            self.metrics.shed.inc()
            return problem_response(503, "Too many requests at once. Try again.", {"Retry-After": "1"})
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > most:
                return problem_response(413, _too_large(most))
            if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
                return problem_response(415, "Send the body as it is, without Content-Encoding.")
        return None

    async def _answer(self, scope: Scope, receive: Receive, passing: "_Passing") -> None:
        seconds = self.file_seconds if scope["path"].endswith(FILE_ENDINGS) else self.seconds
        try:
            with until_given_up():
                async with asyncio.timeout(seconds) as clock:
                    passing.stop = lambda: clock.reschedule(None)
                    await self.app(scope, receive, passing.send)
        except TimeoutError:
            passing.stop = _nothing
            if passing.has_begun:
                raise
            late = f"This took longer than {seconds:g} s. Ask for less at once, or try again."
            await problem_response(504, late, {"Retry-After": "5"})(scope, receive, passing.send)
        except Exception as error:
            passing.stop = _nothing
            if passing.has_begun:
                raise
            await self.failed(Request(scope), error)(scope, receive, passing.send)


COLUMN_TYPES = frozenset({b"application/vnd.apache.arrow.stream", b"application/vnd.apache.parquet"})


def _running(scope: Scope) -> Any:
    """What the service shares while it runs; None before."""
    app = scope.get("app")
    return getattr(app.state, "running", None) if app is not None else None


def _header(scope: Scope, wanted: bytes) -> bytes:
    return next((bytes(value) for name, value in scope["headers"] if name == wanted), b"")


def _nothing() -> None:
    """No clock runs."""


class _Passing:
    """An answer on its way out: gets the security headers, stops the clock once begun, is cut to HEAD."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope, self._send, self._is_head = scope, send, scope["method"] == "HEAD"
        self.status, self.has_begun = 500, False
        self.stop: Callable[[], None] = _nothing

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status, self.has_begun = message["status"], True
            message["headers"] = [*message.get("headers", ()), *_headers(self._scope, message)]
            self.stop()
        elif self._is_head:
            message["body"] = b""
        await self._send(message)


def _limited(receive: Receive, most: int) -> Receive:
    """`receive` that ends a body longer than announced, or not announced, after `most` bytes."""
    received_bytes = 0

    async def counted() -> Message:
        nonlocal received_bytes
        message = await receive()
        received_bytes += len(message.get("body", b""))
        if received_bytes > most:
            raise HTTPException(413, _too_large(most))
        return message

    return counted


def _too_large(most: int) -> str:
    size = f"{most // MEGABYTE} MB" if most >= MEGABYTE else f"{most:,} bytes"
    return f"Send at most {size} in one request here."


def _headers(scope: Scope, message: MutableMapping[str, Any]) -> list[tuple[bytes, bytes]]:
    """Security headers, and no caching of anything but static files."""
    named = {name.lower() for name, _ in message.get("headers", ())}
    headers = [
        *SECURITY_HEADERS,
        (b"cache-control", b"no-cache" if scope["path"].startswith("/static/") else b"no-store"),
    ]
    if scope.get("scheme") == "https":
        headers.append((b"strict-transport-security", b"max-age=31536000"))
    return [header for header in headers if header[0] not in named]


MOST_HELD_BYTES = 65_536
"""More is passed on at once, so that the transport can hold back who writes faster than is read."""


class Together(HttpToolsProtocol):
    """Uvicorn's HTTP protocol, which by itself sends headers and body apart and so wakes the caller twice."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection."""
        super().connection_made(Gathering(transport, self.loop))  # type: ignore[arg-type]


class Gathering:
    """A transport that writes at the end of the loop's turn, and before anything else is done to it.

    Args:
        transport: what writes.
        loop: whose turns count.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        self._flush()
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        """Whether the connection has ended or is about to."""
        return self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Hold bytes back until the turn ends."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)
        self._size += len(data)
        if self._size > MOST_HELD_BYTES:
            self._flush()

    def _flush(self) -> None:
        held, self._held, self._size = self._held, [], 0
        if held and not self._transport.is_closing():
            self._transport.writelines(held)
