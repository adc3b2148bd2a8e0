"""Memory of a process: what goes back to the system, and how often garbage is looked for."""

import ctypes
import gc
import sys

LARGE_BYTES = 1 << 20
_M_MMAP_THRESHOLD = -3
"""of glibc's malloc.h"""


def return_large_blocks() -> bool:
    """Has blocks of LARGE_BYTES and more mapped by themselves, so that the system has them back when they are freed.

    Without it glibc takes the size of the largest block that was freed, up to 32 MB, for one to keep at hand: after a
    few large bodies of requests the process holds their memory for good. Returns whether the C library knows how.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    return mallopt is not None and mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES) == 1


def collect_seldom() -> None:
    """Has the garbage collector look through all objects about every 10 million new ones.

    With its own thresholds it does so several times a minute in a process that holds little for good, and for 50 ms
    each time beside 2,000 connections, in which no request is answered. Young objects are still looked through often.
    """
    gc.set_threshold(10_000, 20, 50)
