"""A child process that ends when the process that started it ends, for any reason."""

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def end_child_with_parent(number: signal.Signals = signal.SIGTERM) -> Callable[[], None]:
    """A `preexec_fn` for Popen: the kernel sends the child a signal when this process ends.

    The signal is sent when the *thread* that started the child ends, so start it from the main thread. Does nothing if
    the kernel has no such feature (it is Linux's).
    """
    parent, prctl = os.getpid(), _prctl()  # found before the fork: opening a library after it may deadlock
    return lambda: _request_signal(prctl, parent, number)


def end_with_parent(parent: int, number: signal.Signals = signal.SIGTERM) -> None:
    """Has the kernel send the calling process a signal when its parent `parent` ends; exits if it has already ended.

    For a process that a library started: the parent's thread that did so must live as long as the parent.
    """
    _request_signal(_prctl(), parent, number)


def _prctl() -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), "prctl", None)


def _request_signal(prctl: Callable[..., int] | None, parent: int, number: signal.Signals) -> None:
    if prctl is not None and (prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0 or os.getppid() != parent):
        os._exit(127)
