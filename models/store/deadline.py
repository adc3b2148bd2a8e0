"""A deadline that counts the time in which the loop could listen."""

import asyncio
from types import TracebackType

_SLICES = 4
"""pieces that a deadline is counted in; the loop looks at its sockets between two of them"""


class Deadline:
    """Like asyncio.timeout, an asynchronous context that raises TimeoutError, for waits of at most `seconds`.

    An answer that lies in the socket while the loop is busy with other requests has come in time, and a plain deadline
    would call it late: timers run before sockets are read. Here the time is counted in slices, and a slice that ends
    late, since the loop was busy, is no more than one slice. Entered again it goes on with the whole slices that are
    left: one for several waits.
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
