"""Answers leave in one piece, whole and in order."""

import asyncio
from typing import Any, cast

import pytest

from service.server.coalesced_writes import Corked

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Recorded:
    """What a transport was told."""

    def __init__(self) -> None:
        self.told: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.told.append(data)

    def close(self) -> None:
        self.told.append("close")

    def is_closing(self) -> bool:
        return "close" in self.told


HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


async def corked(recorded: Recorded) -> Any:
    return Corked(cast("asyncio.Transport", recorded))


async def test_head_and_body_are_one_write(recorded: Recorded) -> None:
    transport = await corked(recorded)
    for _ in range(2):
        transport.write(HEAD)
        transport.write(b"body")
    assert recorded.told == [HEAD + b"body"] * 2
    transport.write(b"more")
    assert recorded.told[2:] == [b"more"]


async def test_a_head_alone_leaves_with_the_turn_or_before_the_end(recorded: Recorded) -> None:
    transport = await corked(recorded)
    transport.write(HEAD)
    assert recorded.told == []
    await asyncio.sleep(0)
    assert recorded.told == [HEAD]
    transport.write(HEAD)
    transport.close()
    assert recorded.told == [HEAD, HEAD, "close"]
    assert transport.is_closing()
    await asyncio.sleep(0)
    assert recorded.told == [HEAD, HEAD, "close"]


async def test_a_body_that_looks_like_a_head_is_no_less_sent(recorded: Recorded) -> None:
    transport = await corked(recorded)
    transport.write(HEAD)
    transport.write(HEAD)
    assert recorded.told == [HEAD + HEAD]
    transport.write(HEAD)
    await asyncio.sleep(0)
    assert b"".join(cast("list[bytes]", recorded.told)) == HEAD * 3
