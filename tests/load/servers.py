"""The two servers of a paired measurement, and the clients that ask them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
KEY = "measuring"
TIMEOUT_S = 120.0


@dataclass
class Service:
    """One running service, and how to ask it."""

    home: Path
    port: int
    process: subprocess.Popen[bytes]
    ready_s: float

    def get(self, path: str, method: str = "GET", timeout_s: float = 30.0, **headers: str) -> tuple[int, bytes]:
        """Status and body of one request to the service."""
        request = urllib.request.Request(  # our own server
            f"http://127.0.0.1:{self.port}{path}", method=method, headers={"Authorization": f"Bearer {KEY}", **headers}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def served(self, how: str) -> float:
        """The service's own count of lists that came about so."""
        text = self.get("/metrics")[1].decode()
        lines = [line for line in text.splitlines() if line.startswith(f'pymk_served_total{{served="{how}"}}')]
        return float(lines[0].rpartition(" ")[2]) if lines else 0.0


@dataclass
class Bench(Service):
    """A service and the empty route beside it."""

    empty_port: int
    seconds: float

    def wrk(self, port: int, connections: int, paths: Path, *headers: str) -> dict[str, float]:
        """One run of wrk on one thread, with its latencies in milliseconds."""
        command = ["wrk", "-t1", f"-c{connections}", f"-d{self.seconds:g}s", "-s", str(HERE / "requests.lua")]
        command += [f"http://127.0.0.1:{port}", "--", str(paths), *headers]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found: dict[str, float] = json.loads(printed.splitlines()[-1])
        if found["errors"]:
            raise SystemExit(f"{found['errors']} requests failed: {printed}")
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, path: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def await_answer(process: subprocess.Popen[bytes], port: int, path: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not answers(port, path):
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"what should listen on port {port} does not answer; its log is beside the version")
        time.sleep(0.02)


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYMK_")}
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    own = {
        "PYMK_DRAIN_S": "0",
        "PYMK_HOME": str(home),
        "PYMK_KEYS": f"{KEY}:read+write+admin",
        "PYMK_LOADTEST_KEY": KEY,
    }
    return {**kept, **one_thread, **own}


@contextmanager
def running(
    command: list[str], home: Path, log: Path, checkout: Path | None = None, **settings: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A process with these settings that ends with the block; it runs the code of a checkout, this one by default."""
    with log.open("wb") as stderr:
        own = environment(home) | settings
        if checkout is not None:
            own["PYTHONPATH"] = str(checkout)
        process = subprocess.Popen(command, stderr=stderr, stdout=subprocess.DEVNULL, env=own, cwd=checkout)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def service(home: Path, workers: int = 1, checkout: Path | None = None, **settings: str) -> Iterator[Service]:
    """A service with these settings, ready, of a checkout, this one by default.

    The store is held open before, so that its start is not counted as the service's.
    """
    from models.settings import Settings
    from models.store.connect import open_sync

    port = free_port()
    serve = [sys.executable, "-m", "models.cli", "serve", "--port", str(port), "--workers", str(workers)]
    with closing(open_sync(Settings(home=home))):
        started = time.monotonic()
        with running(serve, home, home / "load" / "service.log", checkout, **settings) as process:
            await_answer(process, port, "/health/ready")
            yield Service(home, port, process, time.monotonic() - started)


@contextmanager
def bench(home: Path, seconds: float, workers: int) -> Iterator[Bench]:
    """Both servers, up."""
    empty_port = free_port()
    empty = [sys.executable, str(HERE / "empty_route.py"), str(empty_port)]
    with running(empty, home, home / "load" / "empty.log") as other:
        await_answer(other, empty_port, "/")
        with service(home, workers) as one:
            yield Bench(one.home, one.port, one.process, one.ready_s, empty_port, seconds)


def loadtest(
    service: Service, *options: str, beside: Callable[[], None] | None = None, ends_with_it: bool = False
) -> tuple[int, dict[str, Any]]:
    """Exit status and document of a `pymk loadtest`, with something done beside it; it may end when that is done."""
    out = service.home / "load" / "run.json"
    command = [sys.executable, "-m", "models.cli", "loadtest", f"http://127.0.0.1:{service.port}"]
    command += [*options, "--json", str(out)]
    process = subprocess.Popen(command, env=environment(service.home), stdout=subprocess.DEVNULL)
    try:
        if beside is not None:
            beside()
            if ends_with_it:
                process.send_signal(signal.SIGINT)
        status = process.wait()
    finally:
        process.kill()
    return status, json.loads(out.read_bytes())
