"""A primary that is demoted, or left alone, while its address moves to another server; old connections stay open."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from models.errors import StoreUnavailableError
from models.settings import Settings
from models.store.connect import open_async, open_sync
from models.store.transaction import Append, Commit
from tests.support.faults.forwarder import Pair
from tests.support.homes import Home
from tests.support.stores import AwaitedStore, free_port

pytestmark = pytest.mark.anyio
IN_TIME_S = 10.0
"""far more than the second between two checks"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["async", "sync"])
async def store(request: pytest.FixtureRequest, pair: Pair) -> AsyncIterator[AwaitedStore]:
    """The store as the service awaits it, or as commands and the worker block on it."""
    settings = Settings(redis_url=f"redis://127.0.0.1:{pair.address.port}", redis_timeout_ms=2000)
    async with AsyncExitStack() as closing:
        opened = AwaitedStore(open_sync(settings), await open_async(settings) if request.param == "async" else None)
        closing.push_async_callback(opened.aclose)
        await opened.set("a", b"1")
        assert await opened.get_many(["a", "b"]) == [b"1", None]
        yield opened


async def eventually(act: Callable[[], Awaitable[Any]], wanted: Any) -> None:
    """Returns as soon as `act` returns what is wanted; while the store is unavailable it is repeated."""
    last: Any = None
    try:
        async with asyncio.timeout(IN_TIME_S):
            while True:
                try:
                    if (last := await act()) == wanted:
                        return
                except StoreUnavailableError as error:
                    last = error
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"{last!r} instead of {wanted!r}")


async def refusal(act: Callable[[], Awaitable[Any]]) -> StoreUnavailableError:
    """The error of `act` as soon as it raises one."""
    async with asyncio.timeout(IN_TIME_S):
        while True:
            try:
                await act()
            except StoreUnavailableError as error:
                return error
            await asyncio.sleep(0.05)


async def test_after_a_failover_writes_and_reads_reach_the_new_primary(pair: Pair, store: AwaitedStore) -> None:
    pair.demote()
    pair.promote()
    pair.move()
    commit = Commit(appends=[Append("log", b"entry")])
    await eventually(lambda: store.commit([commit]), [True])
    assert pair.new.xlen("log") == 1
    pair.new.set("a", "2")
    await eventually(lambda: store.get("a"), b"2")
    await eventually(lambda: store.get_many(["a", "b"]), [b"2", None])


async def test_a_process_that_only_reads_leaves_the_demoted_primary(pair: Pair, store: AwaitedStore) -> None:
    pair.demote()
    pair.promote()
    pair.new.set("a", "2")
    pair.move()
    await eventually(lambda: store.get("a"), b"2")
    await eventually(lambda: store.get_many(["a", "b"]), [b"2", None])


async def test_a_primary_that_was_left_alone_is_left_too(pair: Pair, store: AwaitedStore) -> None:
    """Split brain: nobody has told the old primary; only the address says who is the primary."""
    pair.promote()
    pair.new.set("a", "2")
    pair.move()
    await eventually(lambda: store.get("a"), b"2")
    await store.set("a", b"3")
    assert (pair.old.get("a"), pair.new.get("a")) == (b"1", b"3")


async def test_nothing_is_read_from_a_demoted_server(pair: Pair, store: AwaitedStore) -> None:
    pair.demote()
    error = await refusal(lambda: store.get("a"))
    assert "is no primary: the server behind this address is a replica of 127.0.0.1:" in str(error)
    assert error.public_message == "The store is no primary at the moment."
    for act in (store.ping, store.info, lambda: store.get_many(["a"]), lambda: store.set("a", b"2")):
        with pytest.raises(StoreUnavailableError, match="is no primary"):
            await act()
    pair.promote()
    pair.move()
    await eventually(lambda: store.get("a"), b"1")


async def test_nothing_is_read_from_a_demoted_server_whose_port_is_closed(pair: Pair, store: AwaitedStore) -> None:
    """No further connection can be made: the open ones are asked."""
    pair.address.run(pair.address.refuse())
    for _ in range(15):
        assert await store.get("a") == b"1", "a primary that takes no further connection is still the primary"
        await asyncio.sleep(0.1)
    pair.demote()
    await refusal(lambda: store.get("a"))
    pair.promote()
    pair.move()
    pair.address.run(pair.address.listen())
    await eventually(lambda: store.get("a"), b"1")


async def test_a_user_who_may_not_ask_for_the_role_reconnects_when_a_write_is_refused(pair: Pair) -> None:
    for server in (pair.old, pair.new):
        server.acl_setuser("app", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-info"])
    url = f"redis://app:pw@127.0.0.1:{pair.address.port}"
    settings = Settings(redis_url=url, redis_timeout_ms=2000)
    blocking, awaited = open_sync(settings), await open_async(settings)
    try:
        for one in (AwaitedStore(blocking), AwaitedStore(blocking, awaited)):
            await one.set("a", b"1")
            assert await one.get("a") == b"1"
        pair.demote()
        pair.promote()
        pair.move()
        for one in (AwaitedStore(blocking), AwaitedStore(blocking, awaited)):
            await eventually(lambda one=one: one.set("a", b"2"), None)
            assert await one.get("a") == b"2"
    finally:
        await awaited.aclose()
        blocking.close()


async def test_an_idle_store_asks_by_one_connection_a_second(pair: Pair, store: AwaitedStore) -> None:
    await store.get("a")
    before = pair.address.connections
    await asyncio.sleep(3)
    await store.get("a")
    assert pair.address.connections - before <= 4


def test_a_worker_waits_for_a_cluster_that_does_not_answer_yet(tmp_path: Path) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}"
    worker = Home(tmp_path, {"PYMK_REDIS_URL": nobody, "PYMK_REDIS_CLUSTER": "true"}).begin(
        "worker", stderr=subprocess.PIPE
    )
    try:
        assert worker.stderr is not None
        waits = next(line for line in worker.stderr if "worker_waits" in line)
        assert "does not answer" in waits
        assert worker.poll() is None
        worker.terminate()
        assert worker.wait(30) == 0
    finally:
        worker.kill()
        worker.communicate()
