"""Each store, opened for one test: in memory, embedded, a server over TCP, a cluster of two nodes."""

import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from models.settings import Settings
from models.store.connect import open_async, open_sync
from models.store.embedded.binary import server_binary
from models.store.memory import AsyncMemoryStore, MemoryStore
from tests.support.awaited_store import AwaitedStore


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(directory: Path, *options: str) -> Iterator[int]:
    """The port of a server that runs as long as the context."""
    port = free_port()
    process = subprocess.Popen(
        [server_binary(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", *options],
        cwd=directory,
        stdout=subprocess.DEVNULL,
    )
    try:
        with redis.Redis(port=port) as client:
            eventually(client.ping)
        yield port
    finally:
        process.kill()
        process.wait()


def eventually(holds: Callable[[], object]) -> None:
    """Returns once `holds` does; fails after ten seconds."""
    deadline = time.monotonic() + 10
    while True:
        try:
            if holds():
                return
        except redis.ConnectionError:
            pass
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with server(tmp_path_factory.mktemp("single")) as port:
        yield Settings(redis_url=f"redis://127.0.0.1:{port}/3", redis_timeout_ms=2000)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with ExitStack() as stack:
        nodes = []
        for slots in ((0, 8191), (8192, 16383)):
            bus = free_port()
            port = stack.enter_context(
                server(tmp_path_factory.mktemp("node"), "--cluster-enabled", "yes", "--cluster-port", str(bus))
            )
            node = stack.enter_context(redis.Redis(port=port))
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", *slots)
            node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", len(nodes) + 1)
            nodes.append((node, port, bus))
        nodes[0][0].execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[1][1], nodes[1][2])
        for node, _, _ in nodes:
            eventually(lambda node=node: b"cluster_state:ok" in node.execute_command("CLUSTER", "INFO"))
        yield Settings(redis_url=f"redis://127.0.0.1:{nodes[0][1]}", redis_cluster=True, redis_timeout_ms=2000)


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    settings = Settings(home=tmp_path_factory.mktemp("home"), redis_timeout_ms=2000)
    store = open_sync(settings)  # holds the server between tests
    yield settings
    store.close()


KINDS = (
    "memory",
    "memory-async",
    *(f"{name}{port}" for name in ("embedded", "single", "cluster") for port in ("", "-async")),
)


@pytest.fixture(params=KINDS)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[AwaitedStore]:
    """One of the stores; the keys of a test start with its `prefix`."""
    name, _, port = request.param.partition("-")
    if name == "memory":
        memory = MemoryStore()
        opened = AwaitedStore(memory, AsyncMemoryStore(memory) if port else None)
    else:
        settings = request.getfixturevalue(name)
        opened = AwaitedStore(open_sync(settings), await open_async(settings) if port else None)
    yield opened
    await opened.aclose()


@pytest.fixture
def prefix() -> str:
    return f"{uuid4().hex}:"
