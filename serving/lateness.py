"""How late the event loop runs: the wait of whoever stands in line below the requests being answered."""

import asyncio

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
