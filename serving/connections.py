"""Connections within bounds: as many as there are file handles for, none that keeps its place without asking.

Who connects and says nothing, or dribbles a request's head, is let go after `HEAD_SECONDS`. Where all places
are taken, the connection that has been idle longest makes room for the next caller.
"""

import asyncio
import resource
import time
from typing import Any

from serving.middleware import Together

HEAD_SECONDS = 10.0
"""How long a request's head may take from its first byte, and the first byte from connecting."""

MOST_CONNECTIONS = 4_096
SPARE_HANDLES = 256
"""File handles for all else: databases, models, the CRM's files, other processes' pipes."""

WANTED_HANDLES = 65_536


def raise_handles() -> int:
    """Allow this process as many open files as it may ask for; how many connections fit then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_HANDLES if hard == resource.RLIM_INFINITY else min(WANTED_HANDLES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    return max(min(MOST_CONNECTIONS, soft - SPARE_HANDLES), 16)


class Bounded(Together):
    """The service's HTTP protocol. `most` connections at once, set before it runs."""

    most = MOST_CONNECTIONS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._patience: asyncio.TimerHandle | None = None
        self.idle_since = time.monotonic()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection, in the place of an idle one where all are taken."""
        super().connection_made(transport)
        self.idle_since = time.monotonic()
        self._wait_for_head()
        if len(self.connections) > self.most:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Take in bytes; the first of a request's head start the clock."""
        if self._patience is None and self.is_idle:
            self._wait_for_head()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The head is there: the application limits the rest."""
        self._stop_waiting()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """The answer is out: from now on the connection is idle."""
        self.idle_since = time.monotonic()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def let_go(self) -> None:
        """Close the connection unless a request is being answered on it."""
        self._patience = None
        if self.is_idle and not self.transport.is_closing():
            self.transport.close()

    def _make_room(self) -> None:
        idle = [
            other
            for other in self.connections
            if isinstance(other, Bounded) and other is not self and other.is_idle
        ]
        if idle:
            min(idle, key=lambda other: other.idle_since).let_go()
        else:
            self.transport.close()

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._patience = self.loop.call_later(HEAD_SECONDS, self.let_go)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
