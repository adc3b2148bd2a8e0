"""A home, `pymk` commands run in it, and the service that one of them starts."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.publishing.pointer import read_pointer
from models.publishing.publish import publish
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.version.local_versions import Versions
from models.version.manifest import Manifest
from tests.support.clock import wait_for
from tests.support.stores import free_port

TIMEOUT_S = 60.0

SMALL_NIGHT = """
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
"""configuration of a night of seconds"""

WEIGHTS = ("model/ranker.safetensors", "learnt/graphsage.safetensors", "learnt/cheap.npy")
"""files of a version that are learned"""


@dataclass(frozen=True)
class Home:
    """A home and its embedded store."""

    path: Path
    settings: dict[str, str] = field(default_factory=dict)
    """environment of the commands beside this process's own"""
    timeout_s: float = TIMEOUT_S
    """of a command, and of a service until it is ready"""

    @property
    def versions(self) -> Versions:
        return Versions(self.path)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYMK_")}
        one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        return {**kept, **one_thread, "PYMK_HOME": str(self.path), "PYMK_DRAIN_S": "0", **self.settings}

    def begin(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Starts a pymk command; `options` are Popen's."""
        command = [sys.executable, "-P", "-m", "models.cli", *arguments]
        return subprocess.Popen(command, env=self.environment, text=True, **options)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a pymk command to its end; returns its status and output."""
        with self.begin(*arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            try:
                stdout, stderr = process.communicate(timeout=self.timeout_s)
            finally:
                process.kill()
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    @contextmanager
    def opened(self) -> Iterator[SyncStore]:
        store = open_sync(Settings(home=self.path))
        try:
            yield store
        finally:
            store.close()

    def publish(self) -> str:
        """Publishes the only version of the home; returns its id."""
        versions = Versions(self.path)
        (version,) = versions.ids()
        with self.opened() as store:
            publish(versions.path(version), store, versions, keys=Keys("pymk"))
        return version

    def active(self) -> str | None:
        with self.opened() as store:
            pointer = read_pointer(store, keys=Keys("pymk"))
        return None if pointer is None else pointer.version

    @contextmanager
    def serving(self, *arguments: str) -> Iterator["Service"]:
        """A service that is ready, started with these arguments. At the end SIGTERM stops it, with exit status 0."""
        log = self.path / "service.log"
        service = Service(free_port())
        with log.open("w") as stderr:
            process = self.begin("serve", "--port", str(service.port), *arguments, stderr=stderr)

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            return service.get("/health/ready")[0] == 200

        try:
            wait_for(is_ready, timeout_s=self.timeout_s)
            yield service
            process.send_signal(signal.SIGTERM)
            assert process.wait(self.timeout_s) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Service:
    """A service on this machine."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Returns status and JSON; (0, None) if nothing listens."""
        return self._answer(urllib.request.Request(self.url + path, headers=headers))  # noqa: S310  # this machine

    def post(self, path: str, body: object) -> tuple[int, Any]:
        """Posts JSON; returns status and JSON; (0, None) if nothing listens."""
        return self._sent("POST", path, body)

    def put(self, path: str, body: object) -> tuple[int, Any]:
        """Puts JSON; returns as post."""
        return self._sent("PUT", path, body)

    def delete(self, path: str) -> tuple[int, Any]:
        """Returns status and JSON; (0, None) if nothing listens."""
        return self._answer(urllib.request.Request(self.url + path, method="DELETE"))  # noqa: S310

    def _sent(self, method: str, path: str, body: object) -> tuple[int, Any]:
        content, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        return self._answer(urllib.request.Request(self.url + path, content, headers, method=method))  # noqa: S310

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics by name and labels, as they are written."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:  # noqa: S310
            lines = answer.read().decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    @staticmethod
    def _answer(request: urllib.request.Request) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, None


@dataclass(frozen=True)
class First:
    """The first night of a home, by the command."""

    home: Home
    config: Path
    version: str
    printed: str
    said: str

    @property
    def directory(self) -> Path:
        return self.home.versions.path(self.version)

    @property
    def manifest(self) -> Manifest:
        return Manifest.read(self.directory)
