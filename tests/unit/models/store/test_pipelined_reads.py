"""Reads over a shared connection, against servers that answer in pieces, late, wrongly, or not at all."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection

from models.store.pipelined_reads import (
    PipelinedReads,
    PipelineError,
    encoded,
    pipelined_reads_to,
)

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter, int], Awaitable[None]]
"""what a server does with its connection number so and so"""

pytestmark = pytest.mark.anyio


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@asynccontextmanager
async def server(path: Path, talk: Talk, timeout_s: float = 0.4, **options: object) -> AsyncIterator[PipelinedReads]:
    """Pipelined reads from a server that answers so."""
    opened: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opened.append(writer)
        try:
            await talk(reader, writer, len(opened))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_unix_server(serve, path / "s")
    pipelined = pipelined_reads_to(UnixDomainSocketConnection, {"path": str(path / "s"), **options}, timeout_s)
    assert pipelined is not None
    try:
        yield pipelined
    finally:
        pipelined.close()
        listening.close()
        for writer in opened:
            writer.close()


async def command(reader: asyncio.StreamReader) -> list[bytes]:
    """The next command of a connection."""
    parts = int((await reader.readuntil())[1:])
    found = []
    for _ in range(parts):
        length = int((await reader.readuntil())[1:])
        found.append((await reader.readexactly(length + 2))[:-2])
    return found


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
    """Answers what a GET asks for."""
    while True:
        _, key = await command(reader)
        writer.write(b"$%d\r\n%b\r\n" % (len(key), key))


def test_a_command_is_encoded_with_its_lengths_in_bytes() -> None:
    assert encoded(("MGET", "a", "käse")) == "*3\r\n$4\r\nMGET\r\n$1\r\na\r\n$5\r\nkäse\r\n".encode()


async def test_everybody_gets_what_was_asked_however_it_is_cut(tmp_path: Path) -> None:
    async def piecemeal(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        while True:
            _, key = await command(reader)
            for byte in b"*2\r\n$%d\r\n%b\r\n$-1\r\n" % (len(key), key):
                writer.write(bytes([byte]))
                await asyncio.sleep(0)

    async with server(tmp_path, piecemeal, timeout_s=10) as pipelined:
        found = await asyncio.gather(*(pipelined.answer("GET", f"k{number}") for number in range(50)))
        assert found == [[b"k%d" % number, None] for number in range(50)]


async def test_one_connection_serves_all(tmp_path: Path) -> None:
    numbers = []

    async def counting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        numbers.append(number)
        await echo(reader, writer, number)

    async with server(tmp_path, counting) as pipelined:
        for _ in range(3):
            await asyncio.gather(*(pipelined.answer("GET", "x") for _ in range(20)))
        assert numbers == [1]


async def test_what_does_not_come_is_given_up_and_never_given_to_another(tmp_path: Path) -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        if number == 1:
            await asyncio.sleep(0.5)
        await echo(reader, writer, number)

    async with server(tmp_path, late, timeout_s=0.2) as pipelined:
        began = time.monotonic()
        gone = await asyncio.gather(*(pipelined.answer("GET", "old") for _ in range(10)), return_exceptions=True)
        assert 0.15 <= time.monotonic() - began < 0.5
        assert {type(one) for one in gone} == {TimeoutError}
        for number in range(30):
            assert await pipelined.answer("GET", f"new{number}") == b"new%d" % number
            await asyncio.sleep(0.02)


async def test_an_answer_that_came_while_the_loop_was_busy_is_in_time(tmp_path: Path) -> None:
    async with server(tmp_path, echo, timeout_s=0.2) as pipelined:
        await pipelined.answer("GET", "warm")
        for busy in (0.1, 0.5):
            asked = asyncio.create_task(pipelined.answer("GET", "here"))
            await asyncio.sleep(0)
            time.sleep(busy)  # noqa: ASYNC251 - another request that takes long
            assert await asked == b"here"


async def test_a_lost_connection_is_said_and_made_anew(tmp_path: Path) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        _, key = await command(reader)
        if number > 1:
            writer.write(b"$%d\r\n%b\r\n" % (len(key), key))
            await echo(reader, writer, number)

    async with server(tmp_path, once) as pipelined:
        with pytest.raises(PipelineError):
            await pipelined.answer("GET", "a")
        assert await pipelined.answer("GET", "b") == b"b"
        assert await pipelined.answer("GET", "c") == b"c"


@pytest.mark.parametrize("said", [b"-LOADING wait\r\n", b"!nonsense\r\n", b"+OK\r\n+OK\r\n"])
async def test_what_is_no_answer_goes_another_way(tmp_path: Path, said: bytes) -> None:
    async def wrong(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        while True:
            await command(reader)
            writer.write(said)

    async with server(tmp_path, wrong) as pipelined:
        for _ in range(3):
            try:
                assert await pipelined.answer("GET", "a") == b"OK"
            except PipelineError:
                assert not said.startswith(b"+")


async def test_nobody_there_goes_another_way(tmp_path: Path) -> None:
    pipelined = pipelined_reads_to(UnixDomainSocketConnection, {"path": str(tmp_path / "none")}, 1.0)
    assert pipelined is not None
    with pytest.raises(PipelineError):
        await pipelined.answer("GET", "a")


@pytest.mark.parametrize("refused", [False, True])
async def test_every_connection_begins_with_who_asks_and_for_which_database(tmp_path: Path, refused: bool) -> None:
    heard = []

    async def asking(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: int) -> None:
        while True:
            heard.append(await command(reader))
            writer.write(b"-WRONGPASS\r\n" if refused else b"+OK\r\n")

    async with server(tmp_path, asking, username="me", password="secret", db=3) as pipelined:
        if refused:
            with pytest.raises(PipelineError):
                await pipelined.answer("GET", "a")
        else:
            assert await pipelined.answer("GET", "a") == b"OK"
            assert await pipelined.answer("GET", "b") == b"OK"
    assert heard[:3] == [[b"AUTH", b"me", b"secret"], [b"SELECT", b"3"], [b"GET", b"a"]]
    assert refused or heard[3:] == [[b"GET", b"b"]]


async def test_what_pipelined_reads_cannot_do_is_left_to_the_client() -> None:
    assert pipelined_reads_to(Connection, {"host": "h", "port": 1, "socket_timeout": None}, 1.0) is not None
    assert pipelined_reads_to(Connection, {"host": "h", "client_name": "n"}, 1.0) is None
    assert pipelined_reads_to(SSLConnection, {"host": "h"}, 1.0) is None
