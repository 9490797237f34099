"""One packet an answer: what a response writes in one turn of the event loop leaves in one system call."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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
