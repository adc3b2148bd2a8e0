"""A child process that does not outlive the one that started it, however that ends."""

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def tether(number: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """What Popen runs between fork and exec (`preexec_fn`), so that the kernel sends the child a signal at the end.

    The signal comes when the *thread* that started the child ends, so start it from the main thread. Where the kernel
    offers no such thing (it is Linux's), nothing happens.
    """
    parent, prctl = os.getpid(), _prctl()  # found before the fork, after which a library had better not be opened
    return lambda: _tie(prctl, parent, number)


def tie(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Ties the calling process to the one that started it, which is `parent`; ends it where that is gone already.

    For a process that a library started: the parent's thread that did so must live as long as the parent.
    """
    _tie(_prctl(), parent, number)


def _prctl() -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), "prctl", None)


def _tie(prctl: Callable[..., int] | None, parent: int, number: signal.Signals) -> None:
    if prctl is not None and (prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0 or os.getppid() != parent):
        os._exit(127)
