"""What every request passes first: shedding, body limit, security headers, metrics."""

import time
from collections.abc import MutableMapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.problems import problem_response

MAX_BODY_BYTES = 64 * 1024 * 1024
MAX_IN_FLIGHT = 64
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


class Front:
    """ASGI middleware around the whole application.

    More than `max_in_flight` requests at once are turned away with 503 and Retry-After: a queue that grows
    without end answers nobody. Bodies over `max_body_bytes` are refused with 413, announced or not.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        max_in_flight: int = MAX_IN_FLIGHT,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self.app, self.metrics = app, metrics
        self.max_in_flight, self.max_body_bytes = max_in_flight, max_body_bytes
        self.in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or turn it away."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def secured(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_headers(scope, message)]
            await send(message)

        if self.in_flight >= self.max_in_flight and scope["path"] not in OPEN_PATHS:
            self.metrics.shed.inc()
            busy = problem_response(503, "Too many requests at once. Try again.", {"Retry-After": "1"})
            await busy(scope, receive, secured)
            return
        if _announced_bytes(scope) > self.max_body_bytes:
            large = problem_response(413, f"Send at most {self.max_body_bytes} bytes in one request.")
            await large(scope, receive, secured)
            return
        self.in_flight += 1
        self.metrics.in_flight.set(self.in_flight)
        try:
            await self.app(scope, _limited(receive, self.max_body_bytes), secured)
        finally:
            self.in_flight -= 1
            self.metrics.in_flight.set(self.in_flight)
            route = getattr(scope.get("route"), "path", "unknown")
            self.metrics.requests.labels(route, scope["method"], status).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - began)


def _limited(receive: Receive, most: int) -> Receive:
    """`receive` that ends a body longer than announced, or not announced, after `most` bytes."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > most:
            raise HTTPException(413, f"Send at most {most} bytes in one request.")
        return message

    return counted


def _announced_bytes(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0


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
