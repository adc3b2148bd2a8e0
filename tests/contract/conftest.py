"""Each store, opened for one test: in memory, embedded, a server over TCP, a cluster of two nodes."""

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from uuid import uuid4

import pytest
import redis

from models.settings import Settings
from models.store.connect import open_async, open_sync
from tests.support.memory_store import AsyncMemoryStore, MemoryStore
from tests.support.stores import AwaitedStore, free_port, join_cluster, running_server


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with running_server(tmp_path_factory.mktemp("single")) as port:
        yield Settings(redis_url=f"redis://127.0.0.1:{port}/3", redis_timeout_ms=2000)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with ExitStack() as stack:
        nodes = []
        for _ in range(2):
            bus = free_port()
            port = stack.enter_context(
                running_server(tmp_path_factory.mktemp("node"), "--cluster-enabled", "yes", "--cluster-port", str(bus))
            )
            nodes.append((stack.enter_context(redis.Redis(port=port)), port, bus))
        join_cluster(nodes)
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
