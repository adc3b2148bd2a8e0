"""Responses are sent in one write, whole and in order."""

import asyncio
from typing import Any, cast

import pytest

from service.server.coalesced_writes import CoalescingTransport

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Recorded:
    """The calls of a transport."""

    def __init__(self) -> None:
        self.calls: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.calls.append(data)

    def close(self) -> None:
        self.calls.append("close")

    def is_closing(self) -> bool:
        return "close" in self.calls


HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


async def coalescing(recorded: Recorded) -> Any:
    return CoalescingTransport(cast("asyncio.Transport", recorded))


async def test_head_and_body_are_one_write(recorded: Recorded) -> None:
    transport = await coalescing(recorded)
    for _ in range(2):
        transport.write(HEAD)
        transport.write(b"body")
    assert recorded.calls == [HEAD + b"body"] * 2
    transport.write(b"more")
    assert recorded.calls[2:] == [b"more"]


async def test_a_head_alone_is_sent_in_the_next_iteration_or_before_the_end(recorded: Recorded) -> None:
    transport = await coalescing(recorded)
    transport.write(HEAD)
    assert recorded.calls == []
    await asyncio.sleep(0)
    assert recorded.calls == [HEAD]
    transport.write(HEAD)
    transport.close()
    assert recorded.calls == [HEAD, HEAD, "close"]
    assert transport.is_closing()
    await asyncio.sleep(0)
    assert recorded.calls == [HEAD, HEAD, "close"]


async def test_a_body_that_looks_like_a_head_is_no_less_sent(recorded: Recorded) -> None:
    transport = await coalescing(recorded)
    transport.write(HEAD)
    transport.write(HEAD)
    assert recorded.calls == [HEAD + HEAD]
    transport.write(HEAD)
    await asyncio.sleep(0)
    assert b"".join(cast("list[bytes]", recorded.calls)) == HEAD * 3
