"""Deadlines that spare who was kept waiting by the loop itself."""

import asyncio
import socket
import time
from collections.abc import Awaitable

import pytest

from models.store.deadline import Deadline


@pytest.fixture(params=["asyncio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


pytestmark = pytest.mark.anyio


async def within(seconds: float, awaited: Awaitable[bytes]) -> bytes:
    async with Deadline(seconds):
        return await awaited


async def test_what_never_comes_is_given_up_in_time() -> None:
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        await within(0.2, asyncio.Event().wait())
    assert 0.19 <= time.monotonic() - started < 1


async def test_an_answer_that_came_while_the_loop_was_busy_is_in_time() -> None:
    mine, theirs = socket.socketpair()
    with theirs:
        reader, writer = await asyncio.open_connection(sock=mine)
        reading = asyncio.create_task(within(0.2, reader.readexactly(4)))
        await asyncio.sleep(0)
        theirs.sendall(b"here")
        time.sleep(0.4)  # noqa: ASYNC251 - another request that takes long
        assert await reading == b"here"
        writer.close()
        await writer.wait_closed()


async def test_it_is_quiet_after_the_end() -> None:
    assert await within(0.05, asyncio.sleep(0, b"here")) == b"here"
    await asyncio.sleep(0.1)


async def test_another_cancellation_is_no_timeout() -> None:
    waiting = asyncio.create_task(within(10, asyncio.Event().wait()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_several_waits_share_what_one_was_given() -> None:
    deadline, started, waited = Deadline(0.2), time.monotonic(), 0

    async def wait() -> None:
        nonlocal waited
        async with deadline:
            await asyncio.sleep(0.12)
        waited += 1

    async def wait_for_ever() -> None:
        while True:
            await wait()

    with pytest.raises(TimeoutError):
        await wait_for_ever()
    assert waited in {1, 2}
    assert 0.19 <= time.monotonic() - started < 1
    with pytest.raises(TimeoutError):
        await wait()
    assert waited in {1, 2}, "what is used up stays used up"
