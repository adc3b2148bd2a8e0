"""Clients that stall, flood or leave, on a real server with raw sockets."""

import asyncio
import gc
import socket
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.http.http_server import open_server
from tests.support.versions import MakeVersion

pytestmark = pytest.mark.anyio

LIST = "GET /pymk/recommendations?user_id=cid"
EVENT = b'[{"kind":"dismiss","user_id":"cid","other_id":"gus"}]'


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def serve(tmp_path: Path, make_version: MakeVersion) -> Callable[..., Any]:
    return partial(open_server, tmp_path, make_version)


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # the server has no event for it
            await asyncio.sleep(0.01)


def post(length: int, *more: str) -> bytes:
    return "\r\n".join(
        ["POST /pymk/events HTTP/1.1", "Host: localhost", f"Content-Length: {length}", *more, "", ""]
    ).encode()


async def test_many_bytes_of_headers_are_a_431_before_they_are_all_there(serve: Any) -> None:
    async with serve(max_head_bytes=4096) as server:
        for piece in (b"a: " + b"x" * 1000 + b"\r\n", b"a" * 1000, b"a:b\r\n" * 200):
            client = await server.connect()
            await client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
            sent = 0
            while client.reader.at_eof() is False and sent < 100 and not client.reader._buffer:
                await client.send(piece)
                await asyncio.sleep(0.001)
                sent += 1
            assert (await client.answer()).problem == (431, "head-too-large")
            assert sent < 40, "it is not read to its end"
            assert await client.ended() == b""
        assert (await server.ask(LIST)).status == 200
        assert server.counted('pymk_requests_total{route="none",status="431"}') == 3
        assert {line["status"] for line in server.lines} == {431, 200}


async def test_a_head_in_one_piece_is_judged_by_its_own_size(serve: Any) -> None:
    async with serve(max_head_bytes=4096) as server:
        assert (await server.ask(LIST, "X: " + "x" * 3900)).status == 200
        assert (await server.ask(LIST, "X: " + "x" * 4096)).problem == (431, "head-too-large")
        assert (await server.ask(LIST + "&exclude=" + "x" * 4096)).problem == (414, "uri-too-long")
        client = await server.connect()
        head = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
        await client.send(head * 30)  # requests sent ahead are no large head
        assert [(await client.answer()).status for _ in range(30)] == [200] * 30


async def test_many_header_fields_are_a_431(serve: Any) -> None:
    async with serve(max_headers=20) as server:
        assert (await server.ask(LIST, *[f"a{n}: b" for n in range(19)])).status == 200
        assert (await server.ask(LIST, *[f"a{n}: b" for n in range(20)])).problem == (431, "head-too-large")


async def test_a_list_that_excludes_a_hundred_of_the_longest_ids_fits_the_default(serve: Any) -> None:
    async with serve() as server:
        excluded = ",".join(["%C3%A9" * 62 + f"{n:04d}" for n in range(100)])
        assert (await server.ask(f"{LIST}&exclude={excluded}")).status == 200


async def test_a_head_that_stalls_is_a_408_and_a_silent_connection_ends(serve: Any) -> None:
    async with serve(head_timeout_s=0.3) as server:
        begun, trickling, silent, noise = [await server.connect() for _ in range(4)]
        await begun.send(b"GET / HTTP/1.1\r\nHost: local")
        await noise.send(b"\r\n")

        async def trickle() -> None:
            await trickling.send(b"GET / HTTP/1.1\r\n")
            for number in range(1000):
                await trickling.send(b"a%d: b\r\n" % number)
                await asyncio.sleep(0.02)

        trickled = asyncio.create_task(trickle())
        try:
            for client in (begun, trickling):
                assert (await client.answer()).problem == (408, "request-timeout")
            assert [await client.ended() for client in (begun, silent, noise)] == [b""] * 3
        finally:
            trickled.cancel()
        assert server.counted('pymk_connections_closed_total{reason="head"}') == 2
        assert server.counted('pymk_connections_closed_total{reason="silent"}') == 2


async def test_a_connection_between_two_requests_stays_open(serve: Any) -> None:
    async with serve(head_timeout_s=0.1, body_timeout_s=0.1) as server:
        client = await server.connect()
        assert (await client.ask(LIST)).status == 200
        await asyncio.sleep(0.6)
        assert (await client.ask(LIST)).status == 200


@pytest.mark.parametrize("trickles", [False, True])
async def test_a_body_that_does_not_come_is_a_408(serve: Any, trickles: bool) -> None:
    async with serve(body_timeout_s=0.3) as server:
        client = await server.connect()
        await client.send(post(1000))
        if trickles:
            for _ in range(5):
                await client.send(b"[")
                await asyncio.sleep(0.03)
        assert (await client.answer()).problem == (408, "request-timeout")
        assert await client.ended() == b""


async def test_stalled_bodies_take_no_place_among_the_requests_in_progress(serve: Any) -> None:
    async with serve(max_in_flight=4) as server:
        for _ in range(8):
            await (await server.connect()).send(post(1000) + b"[")
        await asyncio.sleep(0.05)
        assert (await server.ask(LIST)).status == 200
        assert (await server.ask("POST /pymk/events", body=EVENT)).status == 202
        assert server.counted("pymk_in_flight") == 0


async def test_bodies_together_are_bounded(serve: Any) -> None:
    async with serve(max_body_bytes=100_000, max_bodies_bytes=150_000) as server:
        stalled = await server.connect()
        await stalled.send(post(100_000) + b" " * 99_000)
        await asyncio.sleep(0.05)
        client = await server.connect()
        await client.send(post(60_000) + b" " * 60_000)
        assert (await client.answer()).problem == (503, "overloaded")
        await stalled.close()
        await eventually(lambda: [line["status"] for line in server.lines] == [503, 499])
        assert (await server.ask("POST /pymk/events", body=EVENT + b" " * 60_000)).status == 202


@pytest.mark.parametrize("resets", [False, True])
async def test_a_client_that_leaves_in_its_body_is_a_499_without_a_fault(
    serve: Any, capsys: pytest.CaptureFixture[str], resets: bool
) -> None:
    async with serve() as server:
        client = await server.connect()
        await client.send(post(1000) + b"[")
        await asyncio.sleep(0.05)
        if resets:
            client.writer.transport.abort()
        await client.close()
        await eventually(lambda: len(server.lines) == 1)
        assert (server.lines[0]["status"], server.lines[0]["route"]) == (499, "/pymk/events")
        assert server.counted('pymk_requests_total{route="/pymk/events",status="499"}') == 1
        assert server.counted("pymk_in_flight") == 0
    assert "Traceback" not in capsys.readouterr().err


async def test_a_client_that_sends_no_more_is_still_answered(serve: Any) -> None:
    async with serve() as server:
        client = await server.connect()
        await client.send(b"GET /pymk/recommendations?user_id=cid HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.writer.write_eof()
        assert (await client.answer()).status == 200
        assert await client.ended() == b""


async def test_a_client_that_takes_no_answers_is_closed(serve: Any) -> None:
    async with serve(body_timeout_s=0.2, max_in_flight=1, send_buffer=8192) as server:
        client = await server.connect()
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 30)
        await eventually(lambda: server.counted('pymk_connections_closed_total{reason="answer"}') == 1)
        await eventually(lambda: server.counted("pymk_in_flight") == 0)


async def test_beyond_the_limit_the_connection_that_waits_longest_makes_room(serve: Any) -> None:
    async with serve(max_connections=20) as server:
        polite = await server.connect()
        assert (await polite.ask(LIST)).status == 200
        for _ in range(60):
            await (await server.connect()).send(b"GET / HTTP/1.1\r\n")
            await asyncio.sleep(0.006)
        assert (await server.ask(LIST)).status == 200
        assert (await polite.ask(LIST)).status == 200
        assert len(server.server.server_state.connections) <= 21
        assert server.counted('pymk_connections_closed_total{reason="limit"}') >= 40


async def test_what_is_no_http_is_a_400(serve: Any) -> None:
    async with serve() as server:
        for sent in (
            b"FOO / HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"GET / HTTP/9.7\r\nHost: localhost\r\n\r\n",
            b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
            b"POST /pymk/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            b"POST /pymk/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ):
            client = await server.connect()
            await client.send(sent)
            assert (await client.answer()).problem == (400, "bad-request"), sent
            assert await client.ended() == b""
        client = await server.connect()
        await client.send(
            post(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked") + b"5\r\n[{}]x\r\nzz\r\n"
        )
        assert (await client.answer()).problem == (400, "bad-request")
        assert {line["status"] for line in server.lines} == {400, 499}


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["TRACE /pymk/version"], 405),
        (["CONNECT localhost:80"], 400),
        (["OPTIONS *"], 404),
        (["GET http://localhost/pymk/version"], 200),
        (["GET /pymk/version", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABk"], 200),
        (["GET /pymk/version", "Upgrade: websocket", "Connection: Upgrade"], 200),
    ],
)
async def test_methods_and_forms_that_few_send(serve: Any, lines: list[str], status: int) -> None:
    async with serve() as server:
        assert (await server.ask(*lines)).status == status
        assert (await server.ask(LIST)).status == 200


async def test_trailers_are_bounded_and_no_headers(serve: Any) -> None:
    async with serve(max_head_bytes=4096) as server:
        head = post(0, "Content-Type: application/json").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
        body = b"%x\r\n%b\r\n0\r\n" % (len(EVENT), EVENT)
        client = await server.connect()
        await client.send(head + body + b"Content-Type: text/plain\r\n\r\n")
        assert (await client.answer()).status == 202
        client = await server.connect()
        await client.send(head + body)
        with suppress(ConnectionError):
            for _ in range(2000):
                await client.send(b"a: " + b"x" * 1000 + b"\r\n")
                await asyncio.sleep(0)
        assert server.counted('pymk_connections_closed_total{reason="trailers"}') == 1


async def test_more_requests_ahead_than_are_kept_are_refused(serve: Any) -> None:
    async with serve() as server:
        client = await server.connect()
        await client.send(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        statuses = []
        while (answer := await client.answer()).status == 200:
            statuses.append(answer.status)
        assert answer.problem == (400, "bad-request")
        assert len(statuses) <= 34
        assert await client.ended() == b""


async def test_a_refused_body_may_still_be_sent_and_the_connection_goes_on(serve: Any) -> None:
    async with serve(max_body_bytes=1024) as server:
        client = await server.connect()
        await client.send(post(500_000) + b" " * 500_000)
        assert (await client.answer()).problem == (413, "body-too-large")
        assert (await client.ask(LIST)).status == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHo",
        post(100) + b"[",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"a:b\r\n" * 1000,
        b"\x00\xff" * 50,
        b"",
    ],
    ids=["answered", "half-a-head", "half-a-body", "many-headers", "no-http", "silent"],
)
async def test_a_connection_that_ended_leaves_nothing_to_the_garbage_collector(serve: Any, sent: bytes) -> None:
    async with serve() as server:
        for _ in range(2):  # the first may make what stays
            client = await server.connect()
            await client.send(sent)
            await asyncio.sleep(0.05)
            (protocol,) = server.server.server_state.connections
            lost = weakref.ref(protocol)
            del protocol
            gc.collect()
            gc.disable()
            try:
                await client.close()
                for _ in range(100):
                    await asyncio.sleep(0.01)
                    if not server.server.server_state.connections and lost() is None:
                        break
                assert lost() is None
            finally:
                gc.enable()
