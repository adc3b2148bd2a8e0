"""The embedded store under real processes: shared, kept, killed in every way, and never left behind."""

import os
import signal
import subprocess
import sys
import time
from asyncio import gather, sleep
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from models.errors import StoreUnavailableError
from models.settings import Settings
from models.store.connect import open_async, open_sync
from models.store.embedded.client import EmbeddedServer
from tests.support.clock import wait_for

COMMAND = """
import sys
from models.errors import StoreError
from models.settings import Settings
from models.store.connect import open_sync

store = open_sync(Settings(home=sys.argv[1], redis_timeout_ms=100))
print("ready", flush=True)
for line in sys.stdin:
    verb, key, *value = line.split()
    try:
        answer = store.set(key, value[0].encode()) if verb == "set" else (store.get(key) or b"nothing").decode()
        print(answer or "done", flush=True)
    except StoreError as error:
        print("error", str(error).replace(chr(10), " "), flush=True)
store.close()
"""


class Command:
    """A process that holds the store of a home, and does what it is told."""

    def __init__(self, home: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ready(self) -> Self:
        assert self._line() == "ready"
        return self

    def ask(self, question: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.communicate(timeout=10)
        assert self.process.returncode == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=10)


def processes(home: Path) -> dict[str, list[int]]:
    """The supervisors and servers of a home that are alive, by their process ids."""
    found: dict[str, list[int]] = {"supervisor": [], "server": []}
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            directory = (entry / "cwd").readlink()
        except OSError:
            continue
        if b"models.store.embedded.supervisor" in words and os.fsencode(home) in words:
            found["supervisor"].append(int(entry.name))
        elif directory == home / "store" and b"server" in words[0]:
            found["server"].append(int(entry.name))
    return found


NOTHING: dict[str, list[int]] = {"supervisor": [], "server": []}


def kill(home: Path, *kinds: str) -> None:
    alive = processes(home)
    for kind in kinds:
        (pid,) = alive[kind]
        with suppress(ProcessLookupError):  # a server may have followed its supervisor already
            os.kill(pid, signal.SIGKILL)


def replaced(before: dict[str, list[int]], after: dict[str, list[int]], *kinds: str) -> bool:
    """Whether there is again one process of each kind, and another one than before."""
    return all(len(after[kind]) == 1 and after[kind] != before[kind] for kind in kinds or NOTHING)


Start = Callable[[], Command]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    home = tmp_path / "home"
    yield home
    for pid in processes(home)["supervisor"]:
        os.kill(pid, signal.SIGTERM)  # quicker than waiting until it leaves by itself, which has its own tests
    try:
        wait_for(lambda: processes(home) == NOTHING)
    finally:
        for pid in (pid for pids in processes(home).values() for pid in pids):
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Starts a command that holds the store of `home`; those that still run are killed at the end."""
    started: list[Command] = []

    def start() -> Command:
        started.append(Command(home))
        return started[-1]

    yield start
    for command in started:
        command.kill()


def test_commands_share_one_server_and_find_its_data_again(home: Path, start: Start) -> None:
    first, second = start().ready(), start().ready()
    assert first.ask("set a 1") == "done"
    assert second.ask("get a") == "1"
    alive = processes(home)
    assert [len(pids) for pids in alive.values()] == [1, 1]
    first.end()
    time.sleep(1.3)  # longer than the server outlives its last command
    assert processes(home) == alive
    assert second.ask("set b 2") == "done"
    second.end()
    wait_for(lambda: processes(home) == NOTHING)
    third = start().ready()
    assert [third.ask("get a"), third.ask("get b")] == ["1", "2"]


def test_commands_that_start_at_once_start_one_server(home: Path, start: Start) -> None:
    for command in [start() for _ in range(6)]:
        command.ready()
        assert [len(pids) for pids in processes(home).values()] == [1, 1]
    assert (home / "store" / "supervisor.log").read_text().count("started the server") == 1


def test_a_command_may_come_while_the_server_leaves(home: Path) -> None:
    for pause in (0.0, 0.98, 1.0, 1.01, 1.02):
        store = open_sync(Settings(home=home))
        store.set(str(pause), b"1")
        store.close()
        time.sleep(pause)
    store = open_sync(Settings(home=home))
    assert store.count(["0.0", "0.98", "1.0", "1.01", "1.02"]) == 5
    store.close()


def test_nothing_is_left_when_the_only_command_is_killed(home: Path, start: Start) -> None:
    start().ready().kill()
    wait_for(lambda: processes(home) == NOTHING)


def test_the_server_stays_when_the_command_that_started_it_is_killed(home: Path, start: Start) -> None:
    first, second = start().ready(), start().ready()
    alive = processes(home)
    first.kill()
    time.sleep(1.3)
    assert processes(home) == alive
    assert second.ask("set a 1") == "done"


def test_a_killed_server_is_started_again_with_every_write(home: Path, start: Start) -> None:
    command = start().ready()
    for turn in range(3):
        assert command.ask(f"set a {turn}") == "done"
        before = processes(home)
        kill(home, "server")
        answer = command.ask("get a")
        assert answer == str(turn) or "killed by SIGKILL" in answer or "reads its data" in answer, answer
        wait_for(lambda before=before: replaced(before, processes(home), "server"))
        wait_for(lambda turn=turn: command.ask("get a") == str(turn))
        assert processes(home)["supervisor"] == before["supervisor"]


def test_a_killed_supervisor_takes_the_server_along_and_is_replaced(home: Path, start: Start) -> None:
    command = start().ready()
    for turn in range(3):
        assert command.ask(f"set a {turn}") == "done"
        before = processes(home)
        kill(home, "supervisor")
        wait_for(lambda before=before: replaced(before, processes(home)))
        wait_for(lambda turn=turn: command.ask("get a") == str(turn))


def test_server_and_supervisor_killed_at_once_come_back_for_all_commands(home: Path, start: Start) -> None:
    commands = [start().ready() for _ in range(3)]
    assert commands[0].ask("set a 1") == "done"
    before = processes(home)
    kill(home, "supervisor", "server")
    wait_for(lambda: replaced(before, processes(home)))
    for command in commands:
        wait_for(lambda command=command: command.ask("get a") == "1")


@pytest.mark.parametrize("kinds", [("supervisor",), ("supervisor", "server"), ("server",)])
def test_nothing_is_left_and_nothing_lost_when_all_are_killed(home: Path, start: Start, kinds: tuple[str, ...]) -> None:
    command = start().ready()
    for turn in range(20):
        assert command.ask(f"set {turn} {turn}") == "done"
    os.kill(command.process.pid, signal.SIGSTOP)  # so that it starts nothing again before it is killed
    kill(home, *kinds)
    command.kill()
    wait_for(lambda: processes(home) == NOTHING)
    command = start().ready()
    assert [command.ask(f"get {turn}") for turn in range(20)] == [str(turn) for turn in range(20)]


def test_a_home_may_lie_deep(tmp_path: Path) -> None:
    home = tmp_path.joinpath(*["a directory with a long name"] * 8)
    assert len(str(home)) > 200
    with_two = [open_sync(Settings(home=home)) for _ in range(2)]
    with_two[0].set("a", b"1")
    assert with_two[1].get("a") == b"1"
    for store in with_two:
        store.close()
    wait_for(lambda: processes(home) == NOTHING)


def test_what_a_killed_server_left_half_written_is_removed(home: Path) -> None:
    left = home / "store" / "temp-rewriteaof-bg-1.aof"
    left.parent.mkdir(parents=True)
    left.touch()
    open_sync(Settings(home=home)).close()
    assert not left.exists()


def test_the_output_of_a_command_ends_with_it(home: Path, start: Start) -> None:
    first = start().ready()
    start().ready()
    first.end()  # reads its output to the end: would wait for a supervisor that held it
    assert len(processes(home)["supervisor"]) == 1


def test_the_server_is_private(home: Path) -> None:
    store = open_sync(Settings(home=home))
    try:
        (server,) = processes(home)["server"]
        sockets = {str(link.readlink()) for link in Path(f"/proc/{server}/fd").iterdir()}
        listening = (Path(f"/proc/{server}/net/tcp").read_text() + Path(f"/proc/{server}/net/tcp6").read_text()).split()
        assert not {f"socket:[{word}]" for word in listening} & sockets
        assert (home / "store").stat().st_mode & 0o077 == 0
        assert (home / "store" / "server.sock").stat().st_mode & 0o077 == 0
        assert store.info().append_only
    finally:
        store.close()


def test_a_memory_limit_evicts_only_what_expires(home: Path) -> None:
    store = open_sync(Settings(home=home, store_memory_mb=16))
    try:
        info = store.info()
        assert (info.memory_limit_bytes, info.eviction_policy) == (16 << 20, "volatile-lru")
        store.set_many((f"kept{row}", bytes(10_000)) for row in range(100))
        store.set_many(((f"list{row}", bytes(10_000)) for row in range(3000)), ttl_s=3600)
        assert store.count(f"kept{row}" for row in range(100)) == 100
        assert 0 < store.count(f"list{row}" for row in range(3000)) < 2000
    finally:
        store.close()


def test_a_hung_server_costs_a_command_its_budget_and_no_more(home: Path) -> None:
    store = open_sync(Settings(home=home, redis_timeout_ms=5))
    (server,) = processes(home)["server"]
    try:
        store.set("a", b"1")
        os.kill(server, signal.SIGSTOP)
        for operation in (store.ping, lambda: store.get("a"), lambda: store.set_many([("a", b"2"), ("b", b"2")], 9)):
            began = time.monotonic()
            with pytest.raises(StoreUnavailableError, match=r"embedded store in .* does not answer"):
                operation()
            assert time.monotonic() - began < 0.9
        os.kill(server, signal.SIGCONT)
        assert store.get("missing") is None
    finally:
        os.kill(server, signal.SIGCONT)
        store.close()


@pytest.mark.anyio
async def test_a_hung_server_costs_a_request_its_budget_and_no_more(home: Path) -> None:
    store = await open_async(Settings(home=home, redis_timeout_ms=500, redis_connections=8))
    (server,) = processes(home)["server"]
    try:
        keys = [str(number) for number in range(40)]
        await store.set_many([(key, key.encode()) for key in keys])
        os.kill(server, signal.SIGSTOP)
        for _ in range(2):  # with connections that were open, then with those it has to open; eight for all forty
            began = time.monotonic()
            outcomes = await gather(*map(store.get, keys), return_exceptions=True)
            assert time.monotonic() - began < 0.9
            assert {type(outcome) for outcome in outcomes} == {StoreUnavailableError}
        os.kill(server, signal.SIGCONT)
        for _ in range(3):  # every connection has forgotten what it was asked before
            assert await gather(*map(store.get, keys)) == [key.encode() for key in keys]
    finally:
        os.kill(server, signal.SIGCONT)
        await store.aclose()


@pytest.mark.anyio
async def test_a_service_goes_on_after_the_server_is_killed(home: Path) -> None:
    store = await open_async(Settings(home=home, redis_timeout_ms=500))
    try:
        await store.set("a", b"1")
        for kinds in (("server",), ("supervisor",)):
            kill(home, *kinds)
            for _ in range(250):
                try:
                    assert await store.get("a") == b"1"
                    break
                except StoreUnavailableError:
                    await sleep(0.02)
            else:
                pytest.fail(f"the store did not come back after {kinds} was killed")
    finally:
        await store.aclose()


def fake_server(directory: Path, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a Python program in the place of the server."""
    program = directory / "bin" / "valkey-server"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\n{source}")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


def test_a_server_that_does_not_start_says_why(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_server(tmp_path, "print('7:M 1 Jan # No space left on device'); raise SystemExit(3)", monkeypatch)
    with pytest.raises(StoreUnavailableError, match=r"does not start:\n.*No space left on device\nexit status 3"):
        EmbeddedServer(home)


def test_opening_tells_how_far_a_slow_load_is(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
import socket, time
listener = socket.socket(socket.AF_UNIX)
listener.bind("server.sock")
listener.listen()
for percent in (7, 40, 100):
    connection, _ = listener.accept()
    connection.recv(100)
    body = f"# Persistence\\r\\nloading:{int(percent < 100)}\\r\\nloading_loaded_perc:{percent}.00\\r\\n"
    connection.sendall(f"${len(body)}\\r\\n{body}\\r\\n".encode())
time.sleep(60)
"""
    fake_server(tmp_path, source, monkeypatch)
    told: list[str] = []
    EmbeddedServer(home, progress=told.append).close()
    assert told[-2:] == ["The embedded store reads its data: 7%", "The embedded store reads its data: 40%"]


def test_a_supervisor_that_cannot_run_is_reported(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(StoreUnavailableError, match="ends at once"):
        EmbeddedServer(home)


def test_a_home_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(StoreUnavailableError, match=r"cannot use .*/home/store: Not a directory. Set PYMK_HOME"):
        open_sync(Settings(home=tmp_path / "home"))
