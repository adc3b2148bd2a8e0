"""A store that was closed opens no connection for a call that comes late, which nobody would close."""

import asyncio
from typing import Any

import pytest
import redis

from models.errors import StoreUnavailableError
from models.settings import Settings
from models.store.connect import open_async, open_sync

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("name", ["embedded", "single", "cluster"])
async def test_it_refuses_every_call(request: pytest.FixtureRequest, name: str) -> None:
    settings = request.getfixturevalue(name)
    store, server = await open_async(settings), open_sync(settings)
    await store.set("{closed}a", b"1")
    assert await store.get("{closed}a") == b"1"
    await store.aclose()
    for call in (
        lambda: store.get("{closed}a"),
        lambda: store.set("{closed}a", b"2"),
        lambda: store.get_many(["{closed}a"] * 100),
        lambda: store.set_many([("{closed}a", b"2"), ("{closed}b", b"2")]),
        store.clock_us,
        store.ping,
        store.info,
    ):
        with pytest.raises(StoreUnavailableError, match="was closed by this process"):
            await call()
    assert server.get("{closed}a") == b"1"
    server.close()


@pytest.mark.parametrize("name", ["embedded", "single", "cluster"])
async def test_a_call_that_waits_for_a_slot_is_refused_and_one_that_runs_ends(
    request: pytest.FixtureRequest, name: str
) -> None:
    settings: Settings = request.getfixturevalue(name).model_copy(update={"redis_connections": 1})
    store, server = await open_async(settings), open_sync(settings)
    await store.set("waits", b"1")
    one: Any = store
    async with one._slots:  # the only connection
        late = asyncio.ensure_future(store.set("waits", b"2"))
        await asyncio.sleep(0.05)
        closing = asyncio.ensure_future(store.aclose())
        await asyncio.sleep(0.05)
        assert not closing.done(), "it waits for the call that runs"
    await closing
    with pytest.raises(StoreUnavailableError, match="was closed by this process"):
        await late
    assert server.get("waits") == b"1"
    server.close()


async def test_a_connection_that_is_being_made_when_the_store_is_closed_is_dropped(single: Settings) -> None:
    store: Any = await open_async(single)
    dial, made = store._pipelined._dial, asyncio.Event()

    async def slow(protocol: Any) -> None:
        await dial(protocol)
        await made.wait()

    store._pipelined._dial = slow
    with redis.Redis.from_url(str(single.redis_url)) as server:
        before = len(server.client_list())
        read = asyncio.ensure_future(store.get("none"))
        await asyncio.sleep(0.1)
        assert len(server.client_list()) > before
        closing = asyncio.ensure_future(store.aclose())
        await asyncio.sleep(0.05)
        made.set()
        await closing
        with pytest.raises(StoreUnavailableError, match="was closed by this process"):
            await read
        await asyncio.sleep(0.1)
        assert len(server.client_list()) <= before
