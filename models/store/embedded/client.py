"""A command's hold on the embedded store of its home."""

import math
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from models.errors import StoreUnavailableError
from models.store.embedded.paths import StoreDirectory
from models.store.embedded.status import State, Status

Progress = Callable[[str], None]

SILENCE_S = 10.0
"""how long a supervisor may be silent before it counts as hung; while it starts it reports every second"""
DOWN_S = 10.0
"""how long a command waits for a dead server to restart"""
HANDOVER_S = 60.0
"""how long a command waits for a supervisor that is ending"""
ATTEMPTS = 3
"""how many supervisors that end at once a command starts"""
RECENT_S = 2.0
"""how long after its restart a server's death still explains a failed call"""
PAUSE_S = 0.02
LOG_LIMIT_BYTES = 1 << 20


class EmbeddedServer:
    """The running server of a home, as long as this is open.

    Opening finds or starts the supervisor, and returns when the server answers. A thread then listens to it: if the
    supervisor is killed, the thread finds or starts another, so that the server is back after about a second at the
    same address. The kernel ends the hold with the process, however that ends.
    """

    def __init__(
        self,
        home: Path,
        memory_limit_mb: int | None = None,
        progress: Progress | None = None,
        *,
        min_free_mb: int = 0,
    ) -> None:
        """Opens the store of `home`; raises StoreUnavailableError if it does not start.

        The limits are those of the command that starts the server: at most so much memory, and no writes while less
        than `min_free_mb` of the disk are free (0: they are never refused).
        """
        if sys.platform != "linux":
            raise StoreUnavailableError("The embedded store needs Linux. Set PYMK_REDIS_URL to a store elsewhere.")
        self._memory_limit_mb = memory_limit_mb
        self._min_free_mb = min_free_mb
        self._closing = threading.Event()
        self._diagnosis: str | None = None
        self._healthy_since = 0.0
        self._directory = StoreDirectory(home)
        try:
            self._connection = self._hold(progress)
        except BaseException:
            self._directory.close()
            raise
        self._listener = threading.Thread(target=self._listen, name="embedded-store", daemon=True)
        self._listener.start()

    @property
    def socket_path(self) -> str:
        """Address of the server, valid in this process while this is open; the same after a restart."""
        return self._directory.server_socket

    @property
    def path(self) -> Path:
        """The directory with the files of the store."""
        return self._directory.path

    @property
    def refusal(self) -> str:
        """Why the server refuses a write, when it does: its supervisor has it do so for this alone."""
        return f"less of the disk of {self.path} is free than PYMK_STORE_MIN_FREE_MB asks for"

    def diagnosis(self, wait_s: float = 0.0) -> str | None:
        """What is, or was recently, wrong with the server; waits up to `wait_s` for a report; None if there is none."""
        deadline = time.monotonic() + wait_s
        while self._diagnosis is None or time.monotonic() - self._healthy_since > RECENT_S:
            if time.monotonic() >= deadline:
                return None
            time.sleep(PAUSE_S / 2)
        return self._diagnosis

    def close(self) -> None:
        """Ends the hold; the server ends with the last hold."""
        self._closing.set()
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._listener.join()
        self._connection.close()
        self._directory.close()

    def _listen(self) -> None:
        while not self._closing.is_set():
            with suppress(OSError):
                for line in _lines(self._connection):
                    status = Status.decode(line)
                    if status.state is State.READY:
                        self._healthy_since = time.monotonic()
                    else:
                        self._record_failure(str(status))
            if self._closing.is_set():
                return
            self._record_failure("The supervisor of the embedded store ended; another one is started.")
            try:
                connection = self._hold(None)
            except StoreUnavailableError as error:
                self._record_failure(str(error))
                self._closing.wait(1.0)
                continue
            self._connection.close()
            self._connection = connection
            self._healthy_since = time.monotonic()

    def _record_failure(self, diagnosis: str) -> None:
        self._healthy_since = math.inf
        self._diagnosis = diagnosis

    def _hold(self, progress: Progress | None) -> socket.socket:
        """A connection to a supervisor whose server is ready."""
        attempts, waiting_since = 0, time.monotonic()
        while not self._closing.is_set():
            connection = self._connect()
            if connection is not None:
                if self._await_ready(connection, progress):
                    return connection
                connection.close()
            elif (lock := self._directory.lock()) is not None:
                if attempts == ATTEMPTS:
                    os.close(lock)
                    raise StoreUnavailableError(
                        f"The supervisor of the embedded store ends at once. The end of {self._directory.log}:\n"
                        + self._directory.last_log_lines()
                    )
                attempts += 1
                self._start_supervisor(lock)
                waiting_since = time.monotonic()
            elif time.monotonic() - waiting_since > HANDOVER_S:
                raise StoreUnavailableError(
                    f"Another process holds {self._directory.path / 'lock'} and does not answer. "
                    f"See {self._directory.log}."
                )
            self._closing.wait(PAUSE_S)
        raise StoreUnavailableError("The embedded store was closed.")

    def _connect(self) -> socket.socket | None:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(SILENCE_S)
        try:
            connection.connect(self._directory.supervisor_socket)
        except (FileNotFoundError, ConnectionError, BlockingIOError):
            connection.close()
            return None
        except OSError as error:
            connection.close()
            raise self._directory.unusable(error) from error
        return connection

    def _await_ready(self, connection: socket.socket, progress: Progress | None) -> bool:
        """Whether the server became ready; False if the supervisor ended first."""
        down_since: float | None = None
        reported = ""
        try:
            for line in _lines(connection):
                if self._closing.is_set():
                    return False
                status = Status.decode(line)
                if status.state is State.READY:
                    connection.settimeout(None)
                    return True
                if status.state is State.FAILED:
                    connection.close()
                    raise StoreUnavailableError(f"{status}\nThe log is {self._directory.log}.")
                down_since = (down_since or time.monotonic()) if status.state is State.DOWN else None
                if down_since is not None and time.monotonic() - down_since > DOWN_S:
                    connection.close()
                    raise StoreUnavailableError(f"{status}\nThe log is {self._directory.log}.")
                if progress is not None and str(status) != reported:
                    reported = str(status)
                    progress(reported)
        except TimeoutError:
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            connection.close()
            raise StoreUnavailableError(
                f"The supervisor of the embedded store in {self._directory.path} (process "
                f"{struct.unpack('3i', credentials)[0]}) does not answer. End that process and try again."
            ) from None
        except OSError:
            pass
        return False

    def _start_supervisor(self, lock: int) -> None:
        """Starts a supervisor that inherits the lock alone: no pipe, no session, no settings."""
        log = self._directory.log
        home = self._directory.path.parent
        command = [sys.executable, "-P", "-m", "models.store.embedded.supervisor", str(home), str(lock)]
        command += [str(self._memory_limit_mb or 0), str(self._min_free_mb)]
        try:
            if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
                log.rename(log.with_suffix(".log.1"))
            with log.open("ab") as written:
                subprocess.run(  # noqa: S603 - our own interpreter and module
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=written,
                    stderr=written,
                    env={name: value for name, value in os.environ.items() if not name.startswith("PYMK_")},
                    pass_fds=(lock,),
                    start_new_session=True,
                    check=False,
                )
        except OSError as error:
            raise self._directory.unusable(error) from error
        finally:
            os.close(lock)


def _lines(connection: socket.socket) -> Iterator[bytes]:
    """The lines from a connection until the other side closes it; raises OSError as the socket does."""
    rest = b""
    while part := connection.recv(4096):
        *lines, rest = (rest + part).split(b"\n")
        yield from lines
