"""A deadline that does not count the time in which the event loop is busy, and who may wait longer than others."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType

_SLICES = 4
"""slices of a deadline; the loop reads its sockets between two of them"""

_longest_wait_s: ContextVar[float | None] = ContextVar("longest_wait_s", default=None)


@contextmanager
def waiting_up_to(seconds: float | None) -> Iterator[None]:
    """Within it every operation of an awaited store may take so long; None: no longer than ever.

    It holds for this task, and for tasks that it starts.
    """
    token = _longest_wait_s.set(seconds)
    try:
        yield
    finally:
        _longest_wait_s.reset(token)


def longest_wait_s() -> float | None:
    """How long an operation of this task may take; None: no longer than ever."""
    return _longest_wait_s.get()


class Deadline:
    """Like asyncio.timeout, an asynchronous context that raises TimeoutError, for waits of at most `seconds`.

    An answer that is in the socket while the loop is busy has arrived in time, but a plain deadline would expire:
    timers run before sockets are read. Here the time is counted in slices, and a slice that ends late, because the loop
    was busy, counts as one slice. Entered again it continues with the slices that are left, for several waits together.
    """

    __slots__ = ("_deadline", "_left", "_loop", "_slice_s", "_timer")

    def __init__(self, seconds: float) -> None:
        self._slice_s = seconds / _SLICES
        self._left = _SLICES

    async def __aenter__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadline = asyncio.timeout(None if self._left > 0 else 0)
        await self._deadline.__aenter__()
        self._timer = self._loop.call_later(self._slice_s, self._count)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timer.cancel()
        await self._deadline.__aexit__(kind, error, trace)

    def _count(self) -> None:
        self._left -= 1
        if self._left > 0:
            self._timer = self._loop.call_later(self._slice_s, self._count)
        else:
            self._deadline.reschedule(self._loop.time())
