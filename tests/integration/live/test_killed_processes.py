"""Full nights, and every process killed with SIGKILL where it happens to be: lists keep to the model all the same.

Two sequences as they stand, each of a few minutes' nights. By hand, with another seed for others:

    PYMK_KILLED_SEQUENCES=200 PYMK_KILLED_SEED=7 pytest tests/integration/live/test_killed_processes.py
"""

import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import redis

from models.errors import StoreUnavailableError
from models.store.embedded import EmbeddedServer

SEQUENCES = int(os.environ.get("PYMK_KILLED_SEQUENCES", "0"))
SEED = int(os.environ.get("PYMK_KILLED_SEED", "0"))
STEPS = 30
PATIENCE_S = 120.0
KINDS = ("invite", "withdraw", "accept", "decline", "connect", "disconnect", "dismiss", "undismiss", "block", "unblock")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Processes:
    """The service, the worker and the store of a home; the first two come back when they are asked for."""

    def __init__(self, home: Any, port: int) -> None:
        self._home, self._port = home, port
        self._running: dict[str, subprocess.Popen[str]] = {}
        self.start()

    def start(self) -> None:
        """Starts whatever does not run."""
        for name, arguments in {"serve": ("serve", "--port", str(self._port)), "worker": ("worker",)}.items():
            if name not in self._running or self._running[name].poll() is not None:
                with (self._home.path / f"{name}.log").open("a") as said:
                    self._running[name] = self._home.begin(*arguments, stderr=said, stdout=said)

    def kill(self, name: str) -> None:
        """SIGKILL; the store's supervisor starts it again by itself."""
        if name == "store":
            with (
                suppress(redis.RedisError, StoreUnavailableError, ProcessLookupError),  # it is down, or just went
                closing(EmbeddedServer(self._home.path)) as server,
                redis.Redis(unix_socket_path=server.socket_path, socket_timeout=5) as client,
            ):
                os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
        else:
            self._running[name].kill()

    def end(self) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and body of the first answer that is none of a service, or of a store, that is away."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
            try:
                connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                read = json.loads(answer.read())
                if answer.status != 503:
                    return answer.status, read
            except (OSError, http.client.HTTPException, ValueError):
                self.start()
            finally:
                connection.close()
            assert time.monotonic() < deadline, f"{method} {path} is not answered"
            time.sleep(0.05)


class Sequence:
    """What one sequence does, drawn from a seed."""

    def __init__(self, processes: Processes, network: Any, home: Any, night: tuple[str, ...], seed: int) -> None:
        self._processes, self._home, self._night = processes, home, night
        self._random, self._numbers = random.Random(seed), count()
        self._people, self._model = [*network.people, "mia"], network.model()

    def step(self) -> None:
        """Something happens, as often as not while a process is killed."""
        victim = self._random.choice(["serve", "worker", "store", "", "", ""])
        blow = threading.Timer(self._random.uniform(0, 0.3), lambda: victim and self._processes.kill(victim))
        blow.start()
        what = self._random.choices(
            [self.events, self.profile, self.erasure, self.night, self.rollback], [12, 3, 2, 1, 1]
        )
        what[0]()
        blow.join()
        self._processes.start()
        self.lists()

    def events(self) -> None:
        for _ in range(self._random.randrange(1, 10)):
            there = sorted(
                set(self._people) - self._model.gone
            )  # whom the erased deal with is in_process/test_erased_ids
            kind, (one, other) = self._random.choice(KINDS), self._random.sample(there, 2)
            event = {"kind": kind, "user_id": one, "other_id": other, "event_id": str(next(self._numbers))}
            event |= {"request_id": "r-1", "context": "mobile", "position": 2}
            assert self._processes.ask("POST", "/pymk/events", [event])[0] == 202
            self._model.do(kind, one, other)

    def profile(self) -> None:
        person, flags = self._random.choice(self._people), ["discoverable", "active", "connections_visible"]
        columns = {self._random.choice(flags): self._random.random() < 0.4}
        assert self._processes.ask("PUT", f"/pymk/users/{quote(person, safe='')}", columns)[0] == 202
        self._model.put(person, columns)

    def erasure(self) -> None:
        person = self._random.choice(self._people)
        if len(self._model.gone) > len(self._people) // 2:
            return
        assert self._processes.ask("DELETE", f"/pymk/users/{quote(person, safe='')}")[0] == 202
        self._model.erase(person)

    def night(self) -> None:
        """A night that is killed, and one that is not."""
        for patience_s in (self._random.uniform(1, 30), PATIENCE_S):
            process = self._home.begin(*self._night, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            with suppress(subprocess.TimeoutExpired):
                process.wait(patience_s)
            process.kill()
            process.wait()

    def rollback(self) -> None:
        """May be refused: nothing was published before, or somebody was erased since."""
        assert self._processes.ask("POST", "/admin/rollback")[0] < 500

    def lists(self) -> None:
        for viewer in self._people:
            status, body = self._processes.ask("GET", "/pymk/recommendations?" + urlencode({"user_id": viewer}))
            assert status == 200, body
            self._model.check(body, viewer, 20, ())


@pytest.fixture(scope="module")
def first(
    tmp_path_factory: pytest.TempPathFactory, network: Any, at_home: Callable[[Path], Any], small_night: Path
) -> tuple[Path, Path, str]:
    """Dataset, home and version of a full night."""
    data, home = tmp_path_factory.mktemp("data"), at_home(tmp_path_factory.mktemp("home"))
    network.write(data)
    made = home.run("nightly", str(data), "--config", str(small_night), "--force")
    assert made.returncode == 0, made.stderr
    return data, home.path, made.stdout.split()[-1]


@pytest.fixture
def home(first: tuple[Path, Path, str], tmp_path: Path, at_home: Callable[[Path], Any]) -> Iterator[Any]:
    """A home of its own in which that version is active."""
    _, made, version = first
    shutil.copytree(made / "versions", tmp_path / "versions")
    own = at_home(tmp_path)
    with own.opened():  # the store outlives the commands
        activated = own.run("activate", version)
        assert activated.returncode == 0, activated.stderr
        yield own


@pytest.mark.slow
@pytest.mark.parametrize("number", range(SEQUENCES))
def test_no_list_ever_holds_a_forbidden_person_whatever_is_killed(
    home: Any, first: tuple[Path, Path, str], network: Any, small_night: Path, number: int
) -> None:
    night = ("nightly", str(first[0]), "--config", str(small_night), "--force", "--retrain", "never")
    processes = Processes(home, free_port())
    try:
        sequence = Sequence(processes, network, home, night, SEED + number)
        for _ in range(STEPS):
            sequence.step()
    finally:
        processes.end()
