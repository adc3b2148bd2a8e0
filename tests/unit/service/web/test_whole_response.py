"""Lists that uvicorn's connection sends in one write, and those that need its messages, on a real server."""

import asyncio
import logging
from pathlib import Path

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from service.web import whole_response
from service.web.whole_response import send_whole
from tests.support.http.http_server import HttpServer, open_server
from tests.support.versions import MakeVersion

pytestmark = pytest.mark.anyio

LIST = "GET /pymk/recommendations?user_id=cid"
WHOLE = "service.web.whole_response._write"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies that were sent in one write with their heads."""
    bodies, write = [], whole_response._write

    def noted(cycle: object, status: int, headers: object, body: bytes) -> None:
        bodies.append(body)
        write(cycle, status, headers, body)  # type: ignore[arg-type]

    monkeypatch.setattr(WHOLE, noted)
    return bodies


async def test_lists_of_one_connection_are_whole_and_in_order(
    tmp_path: Path, make_version: MakeVersion, written: list[bytes]
) -> None:
    async with open_server(tmp_path, make_version) as server:
        client = await server.connect()
        head = "\r\nHost: localhost\r\nX-Request-Id: %s\r\n\r\n"
        asked = [(LIST if number % 3 else "GET /health/live") + " HTTP/1.1" + head % number for number in range(12)]
        await client.send("".join(asked).encode())
        answers = [await client.answer() for _ in asked]
        assert [answer.status for answer in answers] == [200] * 12
        assert [answer.headers["x-request-id"] for answer in answers] == [str(number) for number in range(12)]
        assert [answer.body for number, answer in enumerate(answers) if number % 3] == written
        assert all("date" in answer.headers for answer in answers)
        assert server.counted('pymk_requests_total{route="/pymk/recommendations",status="200"}') == 8


async def _ends_the_connection(server: HttpServer) -> None:
    client = await server.connect()
    answer = await client.ask(LIST, "Connection: close")
    assert answer.headers["connection"] == "close"
    assert await client.ended() == b""


async def _head(server: HttpServer) -> None:
    client = await server.connect()
    listed = await client.ask(LIST)
    answer = await client.ask(LIST.replace("GET", "HEAD"), has_body=False)
    assert (answer.status, answer.body) == (200, b"")
    assert abs(int(answer.headers["content-length"]) - len(listed.body)) < 20, "the request id is another one"
    assert (await client.ask(LIST)).status == 200, "no body of the HEAD is in between"


async def _cors(server: HttpServer) -> None:
    answer = await server.ask(LIST, "Origin: https://pages.example")
    assert answer.headers["access-control-allow-origin"] == "https://pages.example"


@pytest.mark.parametrize(
    ("check", "settings", "whole"),
    [
        (_ends_the_connection, {}, 0),
        (_head, {}, 2),
        (_cors, {"cors_origins": ["https://pages.example"]}, 0),
    ],
)
async def test_what_needs_messages_goes_by_them(
    tmp_path: Path,
    make_version: MakeVersion,
    written: list[bytes],
    check: object,
    settings: dict[str, object],
    whole: int,
) -> None:
    async with open_server(tmp_path, make_version, **settings) as server:
        await check(server)  # type: ignore[operator]
    assert len(written) == whole


async def test_a_client_that_reads_slowly_is_waited_for(written: list[bytes]) -> None:
    calls: list[str] = []

    class Full(asyncio.Transport):
        def pause_reading(self) -> None: ...

        def write(self, data: bytes | bytearray | memoryview) -> None:
            calls.append("write")

    flow = FlowControl(Full())
    flow.pause_writing()
    cycle = RequestResponseCycle(
        scope={"method": "GET"},  # type: ignore[typeddict-item]
        transport=Full(),
        flow=flow,
        logger=logging.getLogger(),
        access_logger=logging.getLogger(),
        access_log=False,
        default_headers=[],
        message_event=asyncio.Event(),
        expect_100_continue=False,
        keep_alive=True,
        on_response=lambda: calls.append("done"),
    )
    sending = asyncio.create_task(send_whole(cycle.send, 200, [(b"content-length", b"2")], b"{}"))
    await asyncio.sleep(0.05)
    assert (calls, written) == ([], [])
    flow.resume_writing()
    await sending
    assert (calls, written) == (["write", "write", "done"], [])
