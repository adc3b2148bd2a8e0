"""The server process of the embedded store."""

import os
import re
import signal
import socket
import subprocess
from collections import deque
from pathlib import Path

from models.store.embedded.paths import StoreDirectory
from models.store.embedded.status import State, Status
from models.system.parent_death import end_child_with_parent

LINES_KEPT = 8
PROBE_TIMEOUT_S = 0.5
MEGABYTE = 1 << 20


class ServerProcess:
    """One run of the server, from start to end.

    The kernel kills it when the thread that started it ends (PR_SET_PDEATHSIG), so that must be the main thread of the
    supervisor. It inherits the lock of the store, so that no other server starts on the same files before it has ended.
    """

    def __init__(
        self,
        binary: Path,
        directory: StoreDirectory,
        lock: int,
        memory_limit_mb: int | None,
        *,
        refuses_writes: bool = False,
    ) -> None:
        """Starts the server in `directory`; raises OSError if the program cannot be run."""
        self._address = directory.server_socket
        Path(self._address).unlink(missing_ok=True)
        for unfinished in directory.path.glob("temp-*"):
            unfinished.unlink(missing_ok=True)  # of a server that was killed while it rewrote its log
        self._last_lines: deque[str] = deque(maxlen=LINES_KEPT)
        self._unfinished = b""
        self._process = subprocess.Popen(  # noqa: S603 - the program is the server this store found
            [str(binary), *server_options(memory_limit_mb, refuses_writes=refuses_writes)],
            cwd=directory.path,
            env={"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(lock,),
            preexec_fn=end_child_with_parent(signal.SIGKILL),  # noqa: PLW1509 - the supervisor has a single thread
        )
        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        self.output = self._process.stdout.fileno()
        os.set_blocking(self.output, False)
        self.ended = os.pidfd_open(self._process.pid)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def read_output(self) -> bytes:
        """The output since the last call; its last lines are kept for `failure_reason`."""
        read = b""
        while True:
            try:
                part = os.read(self.output, 65536)
            except BlockingIOError:
                break
            if not part:
                break
            read += part
        lines = (self._unfinished + read).split(b"\n")
        self._unfinished = lines.pop()
        self._last_lines.extend(line.decode(errors="replace").strip() for line in lines if line.strip())
        return read

    def failure_reason(self) -> str:
        """The last warnings, or else the last lines, and how the process ended."""
        self.read_output()
        lines = [line for line in self._last_lines if "Memory overcommit" not in line]
        reason = [line for line in lines if " # " in line] or lines
        code = self._process.poll()
        if code is not None:
            reason.append(f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}")
        return "\n".join(line for line in reason if line)

    def probe(self) -> Status:
        """Asks the server for its state; STARTING if it does not answer."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(PROBE_TIMEOUT_S)
                connection.connect(self._address)
                connection.sendall(b"INFO persistence\r\n")
                answer = b""
                while b"\r\nloading:" not in answer or not answer.endswith(b"\r\n"):
                    part = connection.recv(65536)
                    if not part:
                        return Status(State.STARTING)
                    answer += part
        except OSError:
            return Status(State.STARTING)
        if b"\r\nloading:0" in answer:
            return Status(State.READY)
        percent = re.search(rb"loading_loaded_perc:([0-9.]+)", answer)
        return Status(State.LOADING, percent=float(percent[1]) if percent else 0.0)

    def refuse_writes(self, refuses: bool) -> bool:
        """Has the server refuse or take writes; returns whether it did as it was told."""
        commands = b"".join(f"CONFIG SET {name} {value}\r\n".encode() for name, value in write_options(refuses).items())
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(PROBE_TIMEOUT_S)
                connection.connect(self._address)
                connection.sendall(commands)
                answer = b""
                while answer.count(b"\r\n") < commands.count(b"\r\n") and (part := connection.recv(4096)):
                    answer += part
        except OSError:
            return False
        return answer == b"+OK\r\n" * commands.count(b"\r\n")

    def stop(self, wait_s: float = 10.0) -> None:
        """Terminates the server, and kills it if it has not ended after `wait_s` seconds."""
        self._process.terminate()
        try:
            self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Releases the resources of an ended process."""
        self._process.wait()
        os.close(self.ended)
        if self._process.stdout is not None:
            self._process.stdout.close()


def write_options(refuses: bool) -> dict[str, str]:
    """Options with which the server refuses, or takes, writes. It ends if it cannot append a write to its file.

    Nothing is a replica of it, so that demanding one refuses every write, and only writes. A rewrite of the file would
    take what is left of the disk.
    """
    return {
        "min-replicas-to-write": "1" if refuses else "0",
        "auto-aof-rewrite-percentage": "0" if refuses else "100",
    }


def server_options(memory_limit_mb: int | None, *, refuses_writes: bool = False) -> list[str]:
    """Command line of the server: a private socket, every write on disk before it is acknowledged, no snapshots."""
    options = {
        "port": "0",
        "unixsocket": "server.sock",
        "unixsocketperm": "700",
        "dir": ".",
        "daemonize": "no",
        "logfile": "",
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",
        "aof-load-truncated": "yes",
        "auto-aof-rewrite-min-size": "256mb",
        "lazyfree-lazy-expire": "yes",
        **write_options(refuses_writes),
        "maxmemory": str((memory_limit_mb or 0) * MEGABYTE),
        "maxmemory-policy": "volatile-lru" if memory_limit_mb else "noeviction",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]
