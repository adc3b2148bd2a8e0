"""What goes wrong around programs: they are killed, their clocks are wrong, their store is full."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import redis
from servers import environment

from models.store.embedded.client import EmbeddedServer

ROOM_BYTES = 8 << 20
"""memory of a full store beyond what it takes at the beginning"""


class Program:
    """A pymk command that is killed and started again."""

    def __init__(self, home: Path, log: Path, *arguments: str, hours: float = 0.0) -> None:
        """`hours` is how far the program's clock is ahead of this host's."""
        self._home, self._log, self._arguments = home, log, arguments
        self._clock = clock_ahead(hours) if hours else {}
        self.process = self._begun()

    def _begun(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "models.cli", *self._arguments]
        with self._log.open("ab") as stderr:
            return subprocess.Popen(
                command,
                env=environment(self._home) | self._clock,
                stderr=stderr,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def start(self) -> None:
        self.process = self._begun()

    def end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.kill()


def clock_ahead(hours: float) -> dict[str, str]:
    """The environment of a program whose clock is ahead; its monotonic clock is right."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        raise SystemExit("--skew needs libfaketime (Debian: apt install faketime)")
    return {"LD_PRELOAD": str(library), "FAKETIME": f"{hours * 3600:+.0f}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}


@contextmanager
def embedded_server(home: Path) -> Iterator[redis.Redis]:
    with closing(EmbeddedServer(home)) as server, closing(redis.Redis(unix_socket_path=server.socket_path)) as client:
        yield client


def kill_store(home: Path) -> None:
    """SIGKILL for the server; its supervisor starts it again."""
    with embedded_server(home) as client:
        os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)


async def fill_store(home: Path) -> int:
    """Keeps the store full of keys that expire, as long as the task lives; returns how many keys were evicted."""
    evicted = 0
    with suppress(asyncio.CancelledError):
        while True:
            evicted += await asyncio.to_thread(_fill, home)
            await asyncio.sleep(0.5)
    return evicted


def _fill(home: Path) -> int:
    """Writes twice the memory that is left; a server that was killed has forgotten its limit. 0 while it is away."""
    with suppress(redis.RedisError), embedded_server(home) as client:
        used, limit = client.info("memory")["used_memory"], int(client.config_get("maxmemory")["maxmemory"])
        if not limit:
            client.config_set("maxmemory-policy", "volatile-lru")
            client.config_set("maxmemory", used + ROOM_BYTES)
        before = client.info("stats")["evicted_keys"]
        for number in range(64):
            client.set(f"filling:{time.monotonic_ns()}:{number}", bytes(ROOM_BYTES // 32), ex=600)
        return int(client.info("stats")["evicted_keys"]) - int(before)
    return 0
