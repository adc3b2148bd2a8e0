"""Full nights, and every process killed with SIGKILL where it happens to be: lists keep to the model all the same.

Each sequence has at least one night that is killed, in whatever it does at that moment, and one that is not and
publishes; two and a half of each on average. By hand, with another seed for others:

    PYMK_KILLED_SEQUENCES=200 PYMK_KILLED_SEED=7 pytest tests/integration/live/test_killed_processes.py
"""

import http.client
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
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
from models.store.embedded.client import EmbeddedServer
from tests.support.homes import Home
from tests.support.ring_network import PEOPLE, VisibilityModel, write_dataset
from tests.support.stores import free_port

SEQUENCES = int(os.environ.get("PYMK_KILLED_SEQUENCES", "0"))
SEED = int(os.environ.get("PYMK_KILLED_SEED", "0"))
STEPS = 30
TIMEOUT_S = 240.0
KINDS = ("invite", "withdraw", "accept", "decline", "connect", "disconnect", "dismiss", "undismiss", "block", "unblock")
VICTIMS = ("serve", "worker", "store", "", "", "")
"""which is killed in a step, or in a whole night; "": none"""
NIGHT_STEPS = ("snapshot", "training", "evaluation", "version", "publish")
NIGHT_S = 3.0
"""about as long as a night takes"""


class Command:
    """A pymk command at work in a home, and the files with what it says."""

    def __init__(self, process: int, stdout: Path, stderr: Path, status: Path) -> None:
        self._handle = os.pidfd_open(process)
        self._stdout, self._stderr, self._status = stdout, stderr, status

    def has_ended(self, wait_s: float = 0.0) -> bool:
        return bool(select.select([self._handle], [], [], wait_s)[0])

    def kill(self) -> None:
        """SIGKILL."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def end(self) -> int | None:
        """Kills it and lets go of it; its exit status, None if it had none."""
        self.kill()
        assert self.has_ended(TIMEOUT_S), "a process outlives SIGKILL"
        os.close(self._handle)
        return int(self._status.read_text()) if self._status.exists() else None

    def printed(self) -> str:
        return self._stdout.read_text()

    def said(self) -> str:
        """Its log."""
        return self._stderr.read_text() if self._stderr.exists() else ""


class ForkServer:
    """Starts commands without the seconds that imports take."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("fork_server.py")
        pipe = subprocess.PIPE
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._server = subprocess.Popen(
            [sys.executable, "-P", str(script)], stdin=pipe, stdout=pipe, text=True, env=environment
        )

    def begin(self, home: Home, name: str, *arguments: str) -> Command:
        """A command in a home; what it says goes to files of this name there."""
        files = {kind: home.path / f"{name}.{kind}" for kind in ("stdout", "stderr", "status")}
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        request = {"arguments": arguments, "environment": home.environment}
        self._server.stdin.write(json.dumps({**request, **{kind: str(file) for kind, file in files.items()}}) + "\n")
        self._server.stdin.flush()
        return Command(int(self._server.stdout.readline()), **files)

    def run(self, home: Home, name: str, *arguments: str) -> str:
        """What a command printed, which ends well."""
        command = self.begin(home, name, *arguments)
        assert command.has_ended(TIMEOUT_S), f"pymk {arguments} does not end"
        assert command.end() == 0, command.said()
        return command.printed()

    def close(self) -> None:
        self._server.communicate()


class Processes:
    """The service, the worker and the store of a home; the first two come back when they are asked for."""

    def __init__(self, forks: ForkServer, home: Home, port: int) -> None:
        self._forks, self._home, self._port = forks, home, port
        self._lock = threading.Lock()
        self._running: dict[str, Command] = {}
        self.stores_killed = 0
        self.start()

    def start(self) -> None:
        """Starts whatever of the two does not run."""
        with self._lock:
            for name, arguments in {"serve": ("serve", "--port", str(self._port)), "worker": ("worker",)}.items():
                if name in self._running and self._running[name].has_ended():
                    self._running.pop(name).end()
                if name not in self._running:
                    self._running[name] = self._forks.begin(self._home, name, *arguments)

    def kill(self, name: str) -> None:
        """SIGKILL; the store's supervisor starts it again by itself."""
        if name == "store":
            self.stores_killed += 1
            with (
                suppress(redis.RedisError, StoreUnavailableError, ProcessLookupError),  # it is down, or just went
                closing(EmbeddedServer(self._home.path)) as server,
                redis.Redis(unix_socket_path=server.socket_path, socket_timeout=5) as client,
            ):
                os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
        elif name:
            with self._lock:
                self._running[name].kill()

    def end(self) -> None:
        for command in self._running.values():
            command.end()

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and body of the first answer that is none of a service, or of a store, that is away."""
        deadline = time.monotonic() + TIMEOUT_S
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

    def __init__(self, forks: ForkServer, processes: Processes, home: Home, night: tuple[str, ...], seed: int) -> None:
        self._forks, self._processes, self._home, self._night = forks, processes, home, night
        self._random, self._numbers = random.Random(seed), count()
        self._people, self._model = [*PEOPLE, "mia"], VisibilityModel()
        self.killed_nights = self.whole_nights = 0

    def run(self) -> None:
        """Every step, one of which is a night at least."""
        night = self._random.randrange(STEPS)
        for number in range(STEPS):
            drawn = [self.events, self.profile, self.erasure, self.night, self.rollback]
            self.step(self.night if number == night else self._random.choices(drawn, [12, 3, 2, 1, 1])[0])

    def step(self, what: Callable[[], None]) -> None:
        """Something happens, as often as not while a process is killed."""
        blow = self.blow(0.3)
        what()
        blow.join()
        self._processes.start()
        self.lists()

    def blow(self, within_s: float) -> threading.Timer:
        """Kills one of the processes, or none, within some time."""
        timer = threading.Timer(self._random.uniform(0, within_s), self._processes.kill, [self._random.choice(VICTIMS)])
        timer.start()
        return timer

    def events(self) -> None:
        for _ in range(self._random.randrange(1, 10)):
            there = sorted(set(self._people) - self._model.erased)  # for the erased see in_process/test_erased_ids
            kind, (one, other) = self._random.choice(KINDS), self._random.sample(there, 2)
            event = {"kind": kind, "user_id": one, "other_id": other, "event_id": str(next(self._numbers))}
            event |= {"request_id": "r-1", "context": "mobile", "position": 2}
            assert self._processes.ask("POST", "/pymk/events", [event])[0] == 202
            self._model.do(kind, one, other)

    def profile(self) -> None:
        person, flags = self._random.choice(self._people), ["discoverable", "active", "connections_visible"]
        columns = {self._random.choice(flags): self._random.random() < 0.4}
        assert self._processes.ask("PUT", f"/pymk/users/{quote(person, safe='')}", columns)[0] == 202
        self._model.change_profile(person, columns)

    def erasure(self) -> None:
        person = self._random.choice(self._people)
        if len(self._model.erased) > len(self._people) // 2:
            return
        assert self._processes.ask("DELETE", f"/pymk/users/{quote(person, safe='')}")[0] == 202
        self._model.erase(person)

    def night(self) -> None:
        """A night that is killed, and one that is not and goes on with what that one left."""
        while not self.killed_night():
            pass
        self.killed_nights += 1
        while not self.whole_night():
            pass
        self.whole_nights += 1

    def killed_night(self) -> bool:
        """Kills a night a little after its start, or after that of a step of it; whether it had not ended before."""
        step, pause_s = self._random.choice(("", *NIGHT_STEPS)), 10 ** self._random.uniform(-3, 0.3)
        night = self.begun_night()
        while step and f'"step":"{step}"' not in night.said():
            if night.has_ended(0.005):
                break
        night.has_ended(pause_s)
        return night.end() is None

    def whole_night(self) -> bool:
        """A night while any other process may be killed; whether it published. It does, unless the store goes."""
        stores_killed = self._processes.stores_killed
        blow = self.blow(NIGHT_S)
        night = self.begun_night()
        assert night.has_ended(TIMEOUT_S), "a night does not end"
        status = night.end()
        blow.join()
        assert status == 0 or stores_killed < self._processes.stores_killed, night.said()
        return status == 0

    def begun_night(self) -> Command:
        return self._forks.begin(self._home, f"night-{next(self._numbers)}", *self._night)

    def rollback(self) -> None:
        """May be refused: nothing was published before, or somebody was erased since."""
        assert self._processes.ask("POST", "/admin/rollback")[0] < 500

    def lists(self) -> None:
        for viewer in self._people:
            status, body = self._processes.ask("GET", "/pymk/recommendations?" + urlencode({"user_id": viewer}))
            assert status == 200, body
            self._model.check(body, viewer, 20, ())


@pytest.fixture(scope="module")
def forks() -> Iterator[ForkServer]:
    """What starts the commands."""
    with closing(ForkServer()) as server:
        yield server


@pytest.fixture(scope="module")
def first(
    tmp_path_factory: pytest.TempPathFactory,
    forks: ForkServer,
    small_night: Path,
) -> tuple[Path, Path, str]:
    """Dataset, home and version of a full night."""
    data, home = tmp_path_factory.mktemp("data"), Home(tmp_path_factory.mktemp("home"))
    write_dataset(data)
    version = forks.run(home, "first", "nightly", str(data), "--config", str(small_night), "--force")
    return data, home.path, version.split()[-1]


@pytest.fixture
def home(first: tuple[Path, Path, str], forks: ForkServer, tmp_path: Path) -> Iterator[Home]:
    """A home of its own in which that version is active."""
    _, made, version = first
    shutil.copytree(made / "versions", tmp_path / "versions")
    own = Home(tmp_path)
    with own.opened():  # the store outlives the commands
        forks.run(own, "activate", "activate", version)
        yield own


@pytest.mark.slow
@pytest.mark.parametrize("number", range(SEQUENCES))
def test_no_list_ever_holds_a_forbidden_person_whatever_is_killed(
    home: Home, forks: ForkServer, first: tuple[Path, Path, str], small_night: Path, number: int
) -> None:
    night = ("nightly", str(first[0]), "--config", str(small_night), "--force")
    processes = Processes(forks, home, free_port())
    try:
        sequence = Sequence(forks, processes, home, night, SEED + number)
        sequence.run()
    finally:
        processes.end()
    assert sequence.killed_nights >= 1
    assert sequence.whole_nights >= 1
