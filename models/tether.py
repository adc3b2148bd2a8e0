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
    parent = os.getpid()
    prctl = getattr(ctypes.CDLL(None), "prctl", None)

    def tie() -> None:
        if prctl is not None and (prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0 or os.getppid() != parent):
            os._exit(127)

    return tie
