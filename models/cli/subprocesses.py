"""Runs other pymk commands as child processes that end with this one."""

import os
import signal
import subprocess
import sys
import time
from types import FrameType, TracebackType
from typing import IO, Self

import typer

from models.errors import PymkError
from models.system.parent_death import end_child_with_parent

_GRACE_S = 10.0
_POLL_S = 0.1
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class Children:
    """Runs pymk commands as child processes; leaving the context ends all of them, however it is left.

    Each child has its own session, so that Ctrl-C reaches this process alone and the children end in order. Must be
    used from the main thread.
    """

    def __init__(self) -> None:
        self._running: list[tuple[str, subprocess.Popen[str]]] = []
        self._handlers: list[tuple[signal.Signals, object]] = []

    def __enter__(self) -> Self:
        self._handlers = [(number, signal.signal(number, _end)) for number in _ENDING]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, _ in self._handlers:
            signal.signal(number, signal.SIG_IGN)  # already ending: ignore further signals
        for _, child in reversed(self._running):
            _stop(child)
        for number, handler in self._handlers:
            signal.signal(number, handler)  # type: ignore[arg-type]

    def start(
        self, *arguments: str, stdout: int | IO[str] | None = None, stderr: IO[str] | None = None
    ) -> subprocess.Popen[str]:
        """Starts a pymk command; `arguments` begin with its name. Without `stderr` its log goes to this one's."""
        child = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-P", "-m", "models.cli", *arguments],
            stdout=stdout,
            stderr=stderr,
            text=True,
            env={"PYMK_DRAIN_S": "0", **os.environ},  # no load balancer is told that the service stops
            start_new_session=True,
            preexec_fn=end_child_with_parent(),  # noqa: PLW1509 - the main thread runs alone here
        )
        self._running.append((arguments[0], child))
        return child

    def run(self, *arguments: str, stderr: IO[str] | None = None) -> str:
        """Runs a pymk command and returns its stdout.

        A failed command has printed its reason on stderr, so this exits with its status (typer.Exit) without a message.
        Raises PymkError if a signal ended it.
        """
        child = self.start(*arguments, stdout=subprocess.PIPE, stderr=stderr)
        printed, _ = child.communicate()
        self._running.remove((arguments[0], child))
        if child.returncode < 0:
            raise PymkError(f"pymk {arguments[0]} was killed by {signal.Signals(-child.returncode).name}; run it again")
        if child.returncode:
            raise typer.Exit(child.returncode)
        return printed

    def check(self) -> None:
        """Raises PymkError if a started child has ended."""
        for name, child in self._running:
            if (status := child.poll()) is not None:
                raise PymkError(f"pymk {name} has ended (status {status}), so this stops too; see its log")

    def wait(self) -> None:
        """Blocks until a child ends, which raises PymkError, or a signal arrives."""
        while True:
            self.check()
            time.sleep(_POLL_S)


def _stop(child: subprocess.Popen[str]) -> None:
    """Terminates a child and its process group; kills them after ten seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(child.pid, number)
        except ProcessLookupError:
            break
        try:
            child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            continue
    child.wait()


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
