"""Commands as a shell runs them, and a network and a night small enough for a test."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from models.publishing.pointer import read_pointer
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions
from offline.synth import directory, network

PATIENCE_S = 60.0

NIGHT = """
[sage]
hidden = 16
outputs = 16
fan_outs = [5, 3]
batch_pairs = 128
max_steps = 8
evaluations = 2

[ranker]
epochs = 2
lists = 120
least_pairs = 50

[candidates]
kept = 60
nearest = 30

[split]
judged_users = 80
"""


@dataclass(frozen=True)
class Home:
    """A home, its embedded store, and pymk run in it."""

    path: Path
    settings: dict[str, str] = field(default_factory=dict)
    """environment of the commands beside this process's own"""

    @property
    def versions(self) -> Versions:
        return Versions(self.path)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYMK_")}
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return {**kept, **one_thread, "PYMK_HOME": str(self.path), **self.settings}

    def begin(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """A pymk command; `options` are Popen's."""
        command = [sys.executable, "-P", "-m", "models.cli", *arguments]
        return subprocess.Popen(command, env=self.environment, text=True, **options)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A pymk command to its end, with what it printed."""
        with self.begin(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                printed, said = process.communicate(timeout=PATIENCE_S)
            finally:
                process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, printed, said)

    @contextmanager
    def opened(self) -> Iterator[SyncStore]:
        store = open_sync(Settings(home=self.path))
        try:
            yield store
        finally:
            store.close()

    def active(self) -> str | None:
        with self.opened() as store:
            pointer = read_pointer(store, keys=Keys("pymk"))
        return pointer and pointer.version

    @contextmanager
    def serving(self) -> Iterator["Service"]:
        """A service that is ready; stopped by SIGTERM at the end, and its status is 0."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        log = self.path / "service.log"
        with log.open("w") as stderr:
            process = self.begin("serve", "--port", str(port), stderr=stderr)
        try:
            service = Service(port)
            until(lambda: service.get("/health/ready")[0] == 200)
            yield service
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Service:
    """A service on this machine."""

    port: int

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON; (0, None) where nothing listens."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except ConnectionError:
            return 0, None
        finally:
            connection.close()


def until(holds: Callable[[], Any]) -> Any:
    """What `holds` returns, once it is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := holds()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
    return found


@pytest.fixture(scope="session")
def wait_until() -> Callable[[Callable[[], Any]], Any]:
    """Waits for a condition."""
    return until


@pytest.fixture(scope="session")
def at_home() -> Callable[..., Home]:
    """Makes a Home of a directory."""
    return Home


@pytest.fixture(scope="session")
def small_night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration that learns little, fast."""
    path = tmp_path_factory.mktemp("night") / "night.toml"
    path.write_text(NIGHT)
    return path


@pytest.fixture(scope="session")
def small_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset directory of 250 people; not to be changed."""
    data = tmp_path_factory.mktemp("network") / "DATA"
    directory.write(network.generate(250, 12, seed=3), data)
    return data
