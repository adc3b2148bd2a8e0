"""A clock that wakes an event loop on time: to some tens of microseconds."""

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_FLAGS = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)


class Alarm(Protocol):
    """Calls back once at the moment it is set to."""

    def set(self, at_s: float) -> None:
        """Sets it to a moment of time.monotonic(); one that has passed is now."""
        ...

    def close(self) -> None:
        """It does not call back any more."""
        ...


class _Timer(ctypes.Structure):
    _fields_ = [(name, ctypes.c_long) for name in ("again_s", "again_ns", "at_s", "at_ns")]


class KernelAlarm:
    """An alarm of the kernel (timerfd, Linux): the event loop sees it like data on a socket.

    Timers of asyncio and uvloop keep to whole milliseconds, which is as long as an answer takes.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        """Raises OSError where the kernel has no such alarm."""
        self._loop, self._ring = loop, ring
        library = ctypes.CDLL(None, use_errno=True)
        try:
            create, self._set_time = library.timerfd_create, library.timerfd_settime
        except AttributeError as error:
            raise OSError("no timerfd here") from error
        self._descriptor = create(_CLOCK_MONOTONIC, _FLAGS)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        loop.add_reader(self._descriptor, self._wake)

    def set(self, at_s: float) -> None:
        """Sets it to a moment of time.monotonic()."""
        whole = int(at_s)
        timer = _Timer(0, 0, whole, max(int((at_s - whole) * 1e9), 1))
        self._set_time(self._descriptor, _ABSOLUTE, ctypes.byref(timer), None)

    def close(self) -> None:
        """Gives the kernel's clock back."""
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _wake(self) -> None:
        with suppress(BlockingIOError):  # set anew since it rang
            os.read(self._descriptor, 8)
        self._ring()


class LoopAlarm:
    """An alarm of the event loop, to a millisecond or two, where the kernel offers none."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop, self._ring = loop, ring
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at_s: float) -> None:
        """Sets it to a moment of time.monotonic()."""
        self.close()
        self._handle = self._loop.call_later(max(at_s - time.monotonic(), 0), self._ring)

    def close(self) -> None:
        """Cancels it."""
        if self._handle is not None:
            self._handle.cancel()


def alarm(loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> Alarm:
    """The best alarm there is on this machine."""
    if sys.platform == "linux":
        with suppress(OSError):
            return KernelAlarm(loop, ring)
    return LoopAlarm(loop, ring)
