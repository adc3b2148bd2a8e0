"""Standard error that no reader can block.

A write to a pipe, socket or terminal that nobody reads blocks the thread that writes, and an event loop with it. Here
what cannot be written at once waits in memory for a thread, up to MOST_WAITING_BYTES; further lines are dropped and
counted. A service whose log is not read goes on answering.
"""

import atexit
import io
import os
import select
import socket
import stat
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

MOST_WAITING_BYTES = 1 << 20
"""lines that wait for a slow reader"""
EXIT_S = 1.0
"""how long the end of the process waits for a reader that takes nothing"""

Note = Callable[[int], bytes]
"""a line that says how many lines were dropped before it"""


class Sink(Protocol):
    """Where bytes go."""

    def __call__(self, data: bytes) -> int:
        """Writes a part at once and returns its length, 0 if nothing can be written. Raises OSError."""
        ...


class UnblockedOutput(io.RawIOBase):
    """A stream over a descriptor whose `write` takes everything at once and raises nothing. Threads may share it."""

    def __init__(self, descriptor: int, note: Note = lambda dropped: b"%d lines were dropped\n" % dropped) -> None:
        """`descriptor` stays open and keeps its flags, which other processes share."""
        self.dropped = 0
        """lines dropped so far"""
        self._descriptor = descriptor
        self._note = note
        self._unnoted = 0
        self._write, self._release = _sink(descriptor)
        self._is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        self._waiting = bytearray()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._progress = 0
        atexit.register(self.drain)

    def write(self, data: object) -> int:
        """Writes whole lines, or keeps or drops them; returns their length."""
        lines = bytes(data)  # type: ignore[call-overload]
        with self._lock:
            rest = lines
            if not self._waiting:
                is_whole = len(lines) <= select.PIPE_BUF or not self._is_pipe
                written = self._written(lines) if is_whole else self._written_in_parts(lines)
                if written == len(lines):
                    return written
                rest = lines[written:]
            if len(self._waiting) + len(rest) > MOST_WAITING_BYTES:
                self._drop(rest)
                return len(lines)
            self._waiting += rest
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="stderr", daemon=True)
                self._thread.start()
        return len(lines)

    def drain(self, idle_s: float = EXIT_S) -> None:
        """Waits for what waits, as long as the reader takes some of it every `idle_s`; the rest is dropped."""
        progress, since = self._progress, time.monotonic()
        while self._waiting and time.monotonic() - since < idle_s:
            time.sleep(0.01)
            if self._progress != progress:
                progress, since = self._progress, time.monotonic()
        with self._lock:
            if self._waiting:
                self._drop(bytes(self._waiting))
                self._waiting.clear()

    def close(self) -> None:
        """Drains, and releases what was opened; the descriptor stays open."""
        if not self.closed:
            self.drain()
            atexit.unregister(self.drain)
            self._release()
        super().close()

    def writable(self) -> bool:
        """True."""
        return True

    def isatty(self) -> bool:
        """Whether the descriptor is a terminal."""
        return os.isatty(self._descriptor)

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor

    def _drop(self, lines: bytes) -> None:
        count = max(1, lines.count(b"\n"))
        self.dropped += count
        self._unnoted += count

    def _written_in_parts(self, lines: bytes) -> int:
        """As `_written`, in parts that other processes with the same pipe do not cut in two."""
        end = 0
        while end < len(lines):
            part = _whole_lines(lines[end:])
            written = self._written(part)
            end += written
            if written < len(part):
                break
        return end

    def _written(self, data: bytes) -> int:
        """How much of it was written at once; what can never be written is dropped and counts as written."""
        try:
            return self._write(data) if self._write is not None else 0
        except BlockingIOError:
            return 0
        except OSError:  # the disk is full, or the reader has gone
            self._drop(data)
            return len(data)

    def _run(self) -> None:
        """Writes what waits, until nothing does."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        while True:
            if self._write is not None:
                poll.poll(1000)
            with self._lock:
                if not self._waiting and self._unnoted:
                    noted, self._unnoted = self._unnoted, 0
                    self._waiting += self._note(noted)
                if not self._waiting:
                    self._thread = None
                    return
                part = _whole_lines(self._waiting)
                written = self._written(part)
                self._progress += written
                del self._waiting[:written]
            if self._write is None:
                self._write_blocking(part)

    def _write_blocking(self, part: bytes) -> None:
        try:
            written = os.write(self._descriptor, part)
        except OSError:
            written = len(part)
            with self._lock:
                self._drop(part)
        with self._lock:
            self._progress += written
            del self._waiting[:written]


def _whole_lines(lines: bytes | bytearray) -> bytes:
    """The first whole lines that a pipe takes in one piece; of a longer line its beginning."""
    part = bytes(lines[: select.PIPE_BUF])
    return part if len(part) == len(lines) else part[: part.rfind(b"\n") + 1] or part


def _sink(descriptor: int) -> tuple[Sink | None, Callable[[], None]]:
    """How to write to a descriptor without blocking, None if there is no way, and what releases it."""
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISSOCK(mode):
        duplicate = socket.socket(fileno=os.dup(descriptor))
        return (lambda data: duplicate.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)), duplicate.close
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        # opened again, since the flag applies to every process that shares the open pipe
        try:
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
            opened = os.open(f"/proc/self/fd/{descriptor}", flags)
        except OSError:
            return None, lambda: None
        return (lambda data: os.write(opened, data)), lambda: os.close(opened)
    return (lambda data: os.write(descriptor, data)), lambda: None


def unblock_stderr(note: Note) -> None:
    """Replaces sys.stderr, for all that this process writes to it; a process calls it once, when it starts."""
    with suppress(OSError, ValueError):  # without a descriptor nothing blocks
        output = UnblockedOutput(sys.stderr.fileno(), note)
        sys.stderr.flush()
        sys.stderr = io.TextIOWrapper(
            output,
            encoding=sys.stderr.encoding,
            errors=sys.stderr.errors,
            line_buffering=True,
            write_through=True,
        )


def dropped_lines() -> int:
    """Lines of standard error that this process dropped."""
    output = getattr(sys.stderr, "buffer", None)
    return output.dropped if isinstance(output, UnblockedOutput) else 0
