"""The process that owns the embedded store's server.

Usage: `python -m models.store.embedded.supervisor HOME LOCK MEMORY_MB FREE_MB`: the most memory of the server (0: no
limit) and the least free space of the disk with which it takes writes (0: any).

Commands start it (models.store.embedded.client), and each holds a connection to its socket, which the kernel closes
even if the command is killed. The supervisor starts the server, restarts it if it ends, has it refuse writes while the
disk is nearly full, and sends its status to the commands. LINGER_S after the last connection was closed it ends the
server and itself. It is the only one of its home, because it holds the lock that it inherits.

It has one thread: the kernel kills the server when the thread that started it ends, so that must be the last one.
"""

import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from models.errors import StoreUnavailableError
from models.store.embedded.binary import server_binary
from models.store.embedded.paths import StoreDirectory
from models.store.embedded.server_process import ServerProcess
from models.store.embedded.status import State, Status

LINGER_S = 1.0
"""how long the server outlives the last command, so that successive commands find it running"""
FIRST_COMMAND_S = 3.0
"""how long the supervisor waits for the command that started it"""
HEARTBEAT_S = 1.0
"""how often the status of a server that is not ready is sent"""
STEADY_S = 5.0
"""a server that ran for so long was healthy: it is restarted at once"""
SPACE_S = 0.25
"""how often the free space of the disk is looked at"""
LONGEST_PAUSE_S = 5.0
"""longest pause before the restart of a server that keeps ending"""


class Supervisor:
    """The event loop: connections of commands, start and end of the server, signals."""

    def __init__(self, directory: StoreDirectory, lock: int, memory_limit_mb: int | None, min_free_mb: int = 0) -> None:
        self._directory = directory
        self._lock = lock
        self._memory_limit_mb = memory_limit_mb
        self._min_free_mb = min_free_mb
        self._refuses_writes = False
        self._space_at: float | None = None
        self._selector = selectors.DefaultSelector()
        self._commands: set[socket.socket] = set()
        self._server: ServerProcess | None = None
        self._status = Status(State.STARTING)
        self._was_ready = False
        self._quick_ends = 0
        self._started = self._reported = time.monotonic()
        self._probe_at: float | None = None
        self._start_at: float | None = None
        self._end_at: float | None = self._started + FIRST_COMMAND_S
        self._is_ending = False
        self._wake_up = socket.socketpair()

    def run(self) -> None:
        """Runs until no command is connected any more, or a signal arrives."""
        self._handle_signals()
        listener = self._listen()
        self._start_server()
        try:
            while not self._is_ending:
                for key, _ in self._selector.select(self._timeout()):
                    handle: Callable[[], None] = key.data
                    handle()
                self._run_due_tasks(time.monotonic())
        finally:
            # no command may connect while the server ends: without a socket it waits for the lock
            with suppress(OSError):
                Path(self._directory.supervisor_socket).unlink()
            listener.close()
            if self._server is not None:
                self._server.stop()
                self._log(self._server.read_output())
                self._server.close()
            for command in self._commands:
                command.close()
            log_line("ended")

    def _handle_signals(self) -> None:
        reader, writer = self._wake_up
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno())
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda _number, _frame: None)
        self._selector.register(reader, selectors.EVENT_READ, self._end)

    def _end(self) -> None:
        self._is_ending = True

    def _listen(self) -> socket.socket:
        address = self._directory.supervisor_socket
        Path(address).unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(address)
        listener.listen(128)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ, lambda: self._accept(listener))
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with suppress(BlockingIOError, ConnectionError):
            command, _ = listener.accept()
            command.setblocking(False)
            self._commands.add(command)
            self._selector.register(command, selectors.EVENT_READ, lambda: self._disconnect_if_closed(command))
            self._end_at = None
            self._send_status(command)

    def _disconnect_if_closed(self, command: socket.socket) -> None:
        try:
            if command.recv(1024):
                return
        except BlockingIOError:
            return
        except ConnectionError:
            pass
        self._selector.unregister(command)
        self._commands.remove(command)
        command.close()
        if not self._commands:
            self._end_at = time.monotonic() + (0.0 if self._status.state is State.FAILED else LINGER_S)

    def _send_status(self, *commands: socket.socket) -> None:
        for command in commands:
            # a command that has ended or does not read misses a line; the others do not wait for it
            with suppress(OSError):
                command.send(self._status.encode())

    def _change(self, status: Status) -> None:
        self._status = status
        self._reported = time.monotonic()
        self._send_status(*self._commands)

    def _timeout(self) -> float | None:
        moments = [self._end_at, self._probe_at, self._start_at, self._space_at]
        if self._status.state is not State.READY:
            moments.append(self._reported + HEARTBEAT_S)
        known = [moment for moment in moments if moment is not None]
        return max(0.0, min(known) - time.monotonic()) if known else None

    def _run_due_tasks(self, now: float) -> None:
        if self._end_at is not None and now >= self._end_at:
            self._is_ending = True
            return
        if self._start_at is not None and now >= self._start_at:
            self._start_server()
        if self._probe_at is not None and now >= self._probe_at and self._server is not None:
            self._probe(self._server)
        if self._space_at is not None and now >= self._space_at and self._server is not None:
            self._space_at = now + SPACE_S
            self._follow_space(self._server)
        if self._status.state is not State.READY and now >= self._reported + HEARTBEAT_S:
            self._change(self._status)

    def _start_server(self) -> None:
        self._start_at = None
        self._started = time.monotonic()
        try:
            self._refuses_writes = self._is_short_of_space()
            server = ServerProcess(
                server_binary(),
                self._directory,
                self._lock,
                self._memory_limit_mb,
                refuses_writes=self._refuses_writes,
            )
        except (OSError, StoreUnavailableError) as error:
            self._fail_or_restart(str(error))
            return
        log_line(f"started the server, process {server.pid}")
        self._server = server
        self._probe_at = self._started + 0.01
        self._selector.register(server.ended, selectors.EVENT_READ, lambda: self._on_server_end(server))
        self._selector.register(server.output, selectors.EVENT_READ, lambda: self._on_output(server))

    def _on_output(self, server: ServerProcess) -> None:
        if server is not self._server:
            return  # its end was handled in the same iteration
        read = server.read_output()
        self._log(read)
        if not read:
            self._selector.unregister(server.output)

    def _probe(self, server: ServerProcess) -> None:
        status = server.probe()
        now = time.monotonic()
        if status.state is State.READY:
            self._was_ready = True
            self._probe_at = None
            if self._min_free_mb:
                self._space_at = now + SPACE_S
            log_line(f"ready after {now - self._started:.2f} s")
            self._change(Status(State.READY))
            return
        self._probe_at = now + min(0.25, max(0.01, (now - self._started) / 10))
        if status.state is State.LOADING and status != self._status:
            self._change(status)

    def _is_short_of_space(self) -> bool:
        """Whether less of the disk is free than writes need; a quarter more is needed to take them again."""
        needed = (self._min_free_mb << 20) * (1.25 if self._refuses_writes else 1.0)
        try:
            disk = os.statvfs(self._directory.path)
        except OSError:
            return self._refuses_writes
        return disk.f_bavail * disk.f_frsize < needed

    def _follow_space(self, server: ServerProcess) -> None:
        refuses = self._is_short_of_space()
        if refuses == self._refuses_writes or not server.refuse_writes(refuses):
            return
        self._refuses_writes = refuses
        log_line(f"{'refuses' if refuses else 'takes'} writes: {self._min_free_mb} MB of the disk must be free")

    def _on_server_end(self, server: ServerProcess) -> None:
        self._log(server.read_output())
        reason = server.failure_reason()
        self._selector.unregister(server.ended)
        with suppress(KeyError):
            self._selector.unregister(server.output)
        server.close()
        self._server = None
        self._probe_at = self._space_at = None
        log_line(f"the server ended: {reason}")
        self._fail_or_restart(reason)

    def _fail_or_restart(self, reason: str) -> None:
        if not self._was_ready:
            # a retry does not help against unreadable data or a full disk: report it, and end
            self._change(Status(State.FAILED, reason=reason))
            return
        now = time.monotonic()
        self._quick_ends = 0 if now - self._started > STEADY_S else self._quick_ends + 1
        self._start_at = now + (min(LONGEST_PAUSE_S, 0.1 * 2**self._quick_ends) if self._quick_ends else 0.0)
        self._change(Status(State.DOWN, reason=reason))

    def _log(self, text: bytes) -> None:
        # a full disk must not end the supervisor: the last lines are in memory as well
        with suppress(OSError):
            os.write(sys.stderr.fileno(), text)


def log_line(message: str) -> None:
    """Writes a line of the supervisor into the log."""
    with suppress(OSError):
        line = f"{os.getpid()}:supervisor {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {message}\n"
        os.write(sys.stderr.fileno(), line.encode())


def main(arguments: list[str]) -> None:
    """Detaches from the command that started it, and serves its home."""
    if os.fork() != 0:
        os._exit(0)  # the command waits for this process, and so has no zombie
    os.chdir("/")
    os.umask(0o077)
    home, lock, memory_limit_mb, min_free_mb = arguments
    Supervisor(StoreDirectory(Path(home)), int(lock), int(memory_limit_mb) or None, int(min_free_mb)).run()


if __name__ == "__main__":
    main(sys.argv[1:])
