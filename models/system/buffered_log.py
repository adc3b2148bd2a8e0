"""The log lines of a process on one stream, several in one call of the system where several are written at once."""

import asyncio
import atexit
import threading
from typing import TextIO


class Lines:
    """A logger for structlog that is given whole lines.

    Inside a running loop a line is written when the loop comes by again, together with those that came after it: a
    call of the system for each line costs a request more than the line itself. Elsewhere it is written at once. What
    still waits at the end of the process is written then.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: list[str] = []
        self._turn = threading.Lock()
        atexit.register(self.flush)

    def msg(self, line: str) -> None:
        """Writes one line."""
        with self._turn:
            self._waiting.append(line)
            is_first = len(self._waiting) == 1
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if is_first:
            loop.call_soon(self.flush)

    log = debug = info = warn = warning = error = critical = fatal = failure = exception = msg

    def flush(self) -> None:
        """Writes what waits."""
        with self._turn:
            waiting, self._waiting = self._waiting, []
        if waiting and not self._stream.closed:
            self._stream.write("\n".join([*waiting, ""]))
            self._stream.flush()
