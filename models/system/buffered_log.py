"""Log lines of one process, joined to fewer system calls."""

import asyncio
import atexit
import threading
from typing import TextIO

from models.system.unblocked_output import UnblockedOutput


class BufferedLog:
    """A logger for structlog that takes whole lines.

    In a running event loop, the lines of one iteration are written together in the next one. Outside a loop, each line
    is written at once. Lines still buffered when the process ends are written then.

    A cached list costs 135 µs of processor time instead of 144 µs with a write for each line, and an application that
    only returns 3 KB and logs a line answers 5% more requests a second: wrk, 16 connections on the loopback, lower
    quartile of 60 and median of 40 pairs of rounds of a second, with and without in turn.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        buffer = getattr(stream, "buffer", None)
        self._output = buffer if isinstance(buffer, UnblockedOutput) else None
        self._lines: list[str] = []
        self._lock = threading.Lock()
        atexit.register(self.flush)

    def msg(self, line: str) -> None:
        """Writes one line."""
        with self._lock:
            self._lines.append(line)
            is_first = len(self._lines) == 1
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if is_first:
            loop.call_soon(self.flush)

    log = debug = info = warn = warning = error = critical = fatal = failure = exception = msg

    def flush(self) -> None:
        """Writes the buffered lines."""
        with self._lock:
            lines, self._lines = self._lines, []
        if not lines or self._stream.closed:
            return
        if self._output is not None:
            self._output.write("\n".join([*lines, ""]).encode())
        else:
            self._stream.write("\n".join([*lines, ""]))
            self._stream.flush()
