"""What a step used of the machine: memory, processors, disk."""

import os
import resource
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Bound = Literal["processors", "one processor", "disk", "waiting"]

_PROC = Path("/proc/self")
BUSY = 0.7
"""share of the time that a processor must work to be what takes it"""
DISK_BYTES_PER_S = 20e6
"""read and written by a step that waits for the disk"""


@dataclass(frozen=True)
class Usage:
    """Counters of this process and those that it started, as of a moment."""

    wall_s: float
    cpu_s: float
    disk_bytes: int
    child_mb: float
    """most memory of a process that ended"""

    @classmethod
    def begin(cls) -> "Usage":
        """The counters now; from here on the peak of memory is counted anew."""
        with suppress(OSError):  # not to be had in every container: the peak is then that of the whole run
            (_PROC / "clear_refs").write_text("5")
        return cls.now()

    @classmethod
    def now(cls) -> "Usage":
        """The counters now."""
        own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
        return cls(time.monotonic(), cpu, _disk_bytes(), children.ru_maxrss / 1024)

    def since(self, before: "Usage") -> tuple[float, float, Bound]:
        """Seconds, peak of memory in megabytes, and what took the time, since earlier counters."""
        seconds = self.wall_s - before.wall_s
        peak = max(_peak_mb(), self.child_mb if self.child_mb > before.child_mb else 0.0)
        working = (self.cpu_s - before.cpu_s) / max(seconds, 1e-6)
        bound: Bound = "waiting"
        if working >= BUSY * max(_processors(), 2):
            bound = "processors"
        elif working >= BUSY:
            bound = "one processor"
        elif (self.disk_bytes - before.disk_bytes) / max(seconds, 1e-6) > DISK_BYTES_PER_S:
            bound = "disk"
        return seconds, peak, bound


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _peak_mb() -> float:
    """The most memory that this process held since the peak was reset."""
    with suppress(OSError):
        for line in (_PROC / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _disk_bytes() -> int:
    """Bytes that reached the disk or came from it."""
    with suppress(OSError):
        lines = (_PROC / "io").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(("read_bytes", "write_bytes")))
    return 0
