"""The time between the signal to stop and the end of the port, in which readiness says 503."""

import asyncio
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

import structlog


class Draining:
    """Whether this process is about to close its port. Load balancers take it out meanwhile; requests are answered."""

    def __init__(self, seconds: float) -> None:
        self.is_draining = False
        self._seconds = seconds

    def follow_signals(self) -> None:
        """Has SIGTERM begin to drain, and what handled it so far run at the end. Called in the main thread's loop.

        SIGINT ends a process at once: somebody waits for it at a keyboard.
        """
        before = signal.getsignal(signal.SIGTERM)
        if not self._seconds or not callable(before):
            return
        loop = asyncio.get_running_loop()
        handle: Callable[[int, FrameType | None], Any] = before

        def drain(number: int, frame: FrameType | None) -> None:
            if self.is_draining:
                return
            self.is_draining = True
            loop.call_soon_threadsafe(self._begin, loop, handle, number)

        signal.signal(signal.SIGTERM, drain)

    def _begin(
        self, loop: asyncio.AbstractEventLoop, handle: Callable[[int, FrameType | None], Any], number: int
    ) -> None:
        structlog.get_logger().info("draining", seconds=self._seconds)
        loop.call_later(self._seconds, handle, number, None)
