"""What is acknowledged is on the disk of replicas, however many wait; where that cannot be said, nothing is."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing
from pathlib import Path

import pytest
import redis

from models.errors import StoreRefusedError, StoreUnavailableError
from models.settings import Settings
from models.store.connect import open_async, open_sync
from models.store.protocol import AsyncStore
from tests.support.clock import wait_for
from tests.support.faults.cluster_store import cluster_store
from tests.support.faults.replicated_store import replicated_store
from tests.support.stores import running_server

pytestmark = pytest.mark.anyio
ON_DISK = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def ports(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """A primary and a replica that is in step with it."""
    with ExitStack() as stack:
        for name in ("primary", "replica"):
            (tmp_path / name).mkdir()
        primary = stack.enter_context(running_server(tmp_path / "primary", *ON_DISK, "--repl-diskless-sync-delay", "0"))
        upstream = ("--replicaof", f"127.0.0.1 {primary}")
        replica = stack.enter_context(running_server(tmp_path / "replica", *ON_DISK, *upstream))
        with redis.Redis(port=replica) as client:
            wait_for(lambda: client.info("replication")["master_link_status"] == "up")
        yield primary, replica


@asynccontextmanager
async def opened(url: str, **settings: object) -> AsyncIterator[AsyncStore]:
    own = {"redis_url": url, "redis_replicas": 1, "redis_timeout_ms": 5000, **settings}
    store = await open_async(Settings.model_validate(own))
    try:
        yield store
    finally:
        await store.aclose()


async def write(store: AsyncStore, key: str) -> None:
    await store.durably(lambda: store.set(key, b"1"))


async def test_more_writers_than_connections_are_all_acknowledged(ports: tuple[int, int]) -> None:
    async with opened(f"redis://127.0.0.1:{ports[0]}", redis_connections=4) as store:
        await asyncio.gather(*(write(store, f"key{number}") for number in range(64)))
    with redis.Redis(port=ports[1]) as replica:
        assert replica.exists(*(f"key{number}" for number in range(64))) == 64


async def test_a_write_that_too_few_replicas_have_is_not_acknowledged(ports: tuple[int, int]) -> None:
    async with opened(f"redis://127.0.0.1:{ports[0]}", redis_replicas=2, redis_replicas_wait_ms=300) as store:
        with pytest.raises(StoreUnavailableError, match=r"Of 2 replicas 1 confirmed in 0\.3 s"):
            await write(store, "key")


async def test_a_primary_that_does_not_say_who_it_is_is_not_believed(ports: tuple[int, int]) -> None:
    """Another one in its place would go unnoticed."""
    with redis.Redis(port=ports[0]) as admin:
        admin.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-info")  # type: ignore[no-untyped-call]
    async with opened(f"redis://app:pw@127.0.0.1:{ports[0]}") as store:
        with pytest.raises(StoreRefusedError, match="needs a user who may ask the store for INFO"):
            await write(store, "key")


async def test_a_write_is_not_acknowledged_if_another_primary_took_over_meanwhile(ports: tuple[int, int]) -> None:
    async with opened(f"redis://127.0.0.1:{ports[0]}") as store:
        await write(store, "before")

        async def overtaken() -> None:
            await store.set("key", b"1")
            with redis.Redis(port=ports[0]) as primary:
                primary.replicaof("127.0.0.1", str(ports[1]))

        with pytest.raises(StoreUnavailableError):
            await store.durably(overtaken)


async def test_commands_find_the_primary_with_one_sentinel_dead_and_one_hung(tmp_path: Path) -> None:
    with replicated_store(tmp_path) as store:
        store.sentinels[0].kill()
        store.sentinels[1].signal(signal.SIGSTOP)
        try:
            url = store.settings["PYMK_REDIS_URL"]
            with closing(open_sync(Settings(redis_url=url))) as blocking:
                blocking.set("key", b"1")
            async with opened(url, redis_replicas=2) as awaited:
                assert await awaited.get("key") == b"1"
                await write(awaited, "key")
        finally:
            store.sentinels[1].signal(signal.SIGCONT)


async def test_slots_that_move_take_their_acknowledged_writes_along(tmp_path: Path) -> None:
    with cluster_store(tmp_path, "--appendfsync", "always") as store:
        url = store.settings["PYMK_REDIS_URL"]
        acknowledged: list[str] = []
        async with opened(url, redis_cluster=True) as cluster:

            async def writes(number: int, until: Callable[[], bool]) -> None:
                while not until():
                    key = f"key{number}-{len(acknowledged)}"
                    try:
                        await write(cluster, key)
                    except StoreUnavailableError:
                        continue
                    acknowledged.append(key)

            moving = asyncio.create_task(asyncio.to_thread(store.reshard))
            await asyncio.gather(*(writes(number, moving.done) for number in range(8)))
            await moving
            before = len(acknowledged)
            async with asyncio.timeout(60):
                await asyncio.gather(*(writes(number, lambda: len(acknowledged) > before + 50) for number in range(8)))
            assert None not in await cluster.get_many(acknowledged)
