"""The client against servers of known behaviour, which must show in the counters."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from service.loadtest.connection import Request
from service.loadtest.counters import Counters, Outcomes
from service.loadtest.driver import Driver
from service.loadtest.http_requests import Messages, Target
from service.loadtest.processes import RunResult
from service.loadtest.slo import Slo, bottleneck, latency
from service.loadtest.workload import KINDS, Kind, Mix, Zipf, plan_requests

TIMEOUT_S = 60.0
"""for a response that must arrive: a busy host may stop all processes for a while"""
IDS = ("ann", "bea", "héloïse/1")
BODY = b'{"user_id":"ann","request_id":"r","version":"v","served":"cache","recommendations":[]}'
TIMING = b"Server-Timing: store;dur=1.500, total;dur=2.000\r\n"


def response(status: int = 200, headers: bytes = TIMING, body: bytes = BODY) -> bytes:
    return b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n%b\r\n%b" % (status, len(body), headers, body)


class Server:
    """Answers every request on a free port with the bytes of `answer`, or never if it returns None."""

    def __init__(self, answer: Callable[[], Any], *, closes: bool = False) -> None:
        self.requests: list[bytes] = []
        self.connections = self._open = self.most_at_once = 0
        self._answer, self._closes = answer, closes

    async def __aenter__(self) -> "Server":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open += 1
        self.most_at_once = max(self.most_at_once, self._open)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or b"0")
                self.requests.append(head + await reader.readexactly(length))
                answered = self._answer()
                if asyncio.iscoroutine(answered):
                    answered = await answered
                if answered is None:
                    await asyncio.sleep(3600)
                writer.write(answered)
                if self._closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open -= 1
            writer.close()


async def drive(
    port: int,
    *,
    rate: float = 200,
    seconds: float = 1.0,
    warm_up_s: float = 0.0,
    mix: str = "cached=1",
    connections: int = 8,
    timeout_s: float = TIMEOUT_S,
    disturb: Callable[[], Any] | None = None,
) -> Counters:
    driver, counters = driven(
        port,
        rate=rate,
        seconds=seconds,
        warm_up_s=warm_up_s,
        mix=mix,
        connections=connections,
        timeout_s=timeout_s,
    )
    await driver.open()
    if disturb is not None:
        asyncio.get_running_loop().call_later(0.3, disturb)
    async with asyncio.timeout(warm_up_s + seconds + timeout_s + 5):
        await driver.run(time.monotonic() + 0.05)
    return counters


def driven(
    port: int,
    *,
    rate: float,
    seconds: float,
    connections: int,
    warm_up_s: float = 0.0,
    mix: str = "cached=1",
    timeout_s: float = TIMEOUT_S,
) -> tuple[Driver, Counters]:
    """A driver with a plan, and its counters."""
    random = np.random.default_rng(4)
    plan = plan_requests(rate, warm_up_s + seconds, Mix.parse(mix), Zipf(len(IDS), 1.0, 0), random)
    target = Target.of(f"http://127.0.0.1:{port}", None, "web", 20)
    counters = Counters(planned=int((plan.starts_s >= warm_up_s).sum()))
    messages = Messages(target, IDS, ("view",), 3, random)
    driver = Driver(target, plan, messages, counters, connections=connections, timeout_s=timeout_s, warm_up_s=warm_up_s)
    return driver, counters


def of(counters: Counters, kind: Kind) -> Outcomes:
    return counters.outcomes[KINDS.index(kind)]


def result_of(counters: Counters) -> RunResult:
    return RunResult(counters, partial=False, measured_s=1.0, processor_share=0.1)


pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_every_request_of_the_plan_is_sent_answered_and_counted() -> None:
    async with Server(response) as server:
        counters = await drive(server.port, mix="cached=2,no-cache=1,cold=1,event=1")
    assert counters.started == counters.planned == len(server.requests) > 100
    assert sum(one.answered for one in counters.outcomes) == counters.started
    cached = of(counters, Kind.CACHED)
    assert cached.served == {"cache": cached.started}
    assert {stage: one.quantile(0.5) for stage, one in cached.stages.items()} == {
        "store": pytest.approx(0.0015, rel=0.01),
        "total": pytest.approx(0.002, rel=0.01),
    }
    assert server.connections == 8
    heads = [request.partition(b"\r\n")[0] for request in server.requests]
    fresh = [request for request in server.requests if b"\r\nCache-Control: no-cache\r\n" in request]
    strangers = [head for head in heads if b"user_id=loadtest-" in head]
    events = [request for request in server.requests if request.startswith(b"POST /pymk/events ")]
    assert [len(fresh), len(strangers), len(events)] == [
        of(counters, kind).started for kind in (Kind.NO_CACHE, Kind.COLD, Kind.EVENT)
    ]
    assert len(set(strangers)) == len(strangers)
    assert any(b"user_id=h%C3%A9lo%C3%AFse%2F1 " in head for head in heads)
    assert all(request.count(b'"kind":"view"') == 3 for request in events)


async def test_a_stall_shows_in_the_latency_of_every_request_due_during_it() -> None:
    begun = time.monotonic()

    async def stalls() -> bytes:
        if 0.4 < time.monotonic() - begun < 0.9:
            await asyncio.sleep(0.9 - (time.monotonic() - begun))
        return response()

    async with Server(stalls) as server:
        counters = await drive(server.port, seconds=1.2, connections=1)
    seen = of(counters, Kind.CACHED)
    assert seen.answered == counters.planned
    # some 100 of 240 requests would have started during the stall of 0.5 s, the first of them waiting all of it
    assert seen.latency.quantile(1.0) > 0.4
    assert seen.latency.quantile(0.8) > 0.1
    # a closed loop measures one slow response: the omission that counting from the intended start avoids
    assert seen.from_send.quantile(0.8) < 0.05
    assert counters.waited > 50
    assert counters.waiting.quantile(1.0) > 0.3


async def test_a_stall_of_the_harness_is_reported() -> None:
    async with Server(response) as server:
        counters = await drive(server.port, disturb=lambda: time.sleep(0.3))
    late = counters.lateness
    assert late.quantile(1.0) > 0.2
    (reason,) = bottleneck(result_of(counters), 1.0)
    assert "the harness itself was late" in reason


async def test_a_stall_counts_where_each_request_opens_a_connection_too() -> None:
    async with Server(lambda: response(200, b"Connection: close\r\n"), closes=True) as server:
        counters = await drive(server.port, rate=400, connections=100, disturb=lambda: time.sleep(0.3))
    late = counters.lateness
    assert len(late) == counters.planned
    assert late.quantile(0.9) > 0.05


async def test_a_stall_of_the_service_is_not_counted_as_the_harnesss() -> None:
    async def slow() -> bytes:
        await asyncio.sleep(0.2)
        return response()

    async with Server(slow) as server:
        counters = await drive(server.port, rate=100, seconds=0.6, connections=2, timeout_s=5)
    assert latency(result_of(counters)).quantile(0.99) > 1.0
    assert bottleneck(result_of(counters), 20.0) == []


async def test_refusals_errors_and_answers_are_counted_apart() -> None:
    answers = [
        response(),
        response(503, b"Retry-After: 1\r\n"),
        response(503, b""),
        response(500, b""),
    ]
    number = iter(range(10**6))

    async with Server(lambda: answers[next(number) % 4]) as server:
        counters = await drive(server.port, connections=1)
    seen = of(counters, Kind.CACHED)
    quarter = counters.planned // 4
    assert seen.answered == pytest.approx(quarter, abs=1)
    assert seen.refused == pytest.approx(quarter, abs=1)
    assert seen.errors == {"503": pytest.approx(quarter, abs=1), "500": pytest.approx(quarter, abs=1)}
    assert len(seen.latency) == seen.answered
    (missed,) = Slo(None, 0.5).missed(result_of(counters))
    assert "go without an answer" in missed
    assert Slo(None, 0.8).missed(result_of(counters)) == []


async def test_a_request_without_a_response_is_a_timeout_with_its_latency() -> None:
    async with Server(lambda: None) as server:
        counters = await drive(server.port, rate=100, seconds=0.4, connections=2, timeout_s=0.2)
    seen = of(counters, Kind.CACHED)
    assert seen.errors == {"timeout": counters.planned}
    assert seen.latency.quantile(0.0) >= 0.2 * 0.999
    assert Slo(100.0, None).missed(result_of(counters))


async def test_every_request_to_a_stopped_service_is_an_error() -> None:
    async with Server(response, closes=True) as server:
        counters = await drive(server.port, seconds=0.6, disturb=server._server.close)
    seen = of(counters, Kind.CACHED)
    assert seen.errors["connect"] > 20
    assert seen.answered > 20
    assert seen.answered + seen.failed == counters.planned


async def test_connections_closed_after_each_answer_are_opened_anew() -> None:
    async with Server(lambda: response(200, b"Connection: close\r\n"), closes=True) as server:
        counters = await drive(server.port, seconds=0.5)
    assert of(counters, Kind.CACHED).answered == counters.planned
    assert server.connections >= counters.planned


async def test_a_closing_connection_is_replaced_by_exactly_one() -> None:
    async def slow() -> bytes:
        await asyncio.sleep(0.05)
        return response()

    async with Server(slow) as server:

        def close_idle() -> None:
            """The connection has ended, but `on_broken` is called in the next iteration; before it a request is due."""
            (idle,) = driver._idle
            idle._transport.close()  # type: ignore[union-attr]
            driver._start(Request(time.monotonic(), 0, 0, True), time.monotonic())

        driver, counters = driven(server.port, rate=100, seconds=0.4, connections=1)
        await driver.open()
        close_idle()
        await driver.run(time.monotonic() + 0.05)
    assert of(counters, Kind.CACHED).answered == counters.planned + 1
    assert server.connections == 2
    assert server.most_at_once == 1


async def test_a_response_that_is_no_http_is_an_error() -> None:
    async with Server(lambda: b"hello\r\n\r\n") as server:
        counters = await drive(server.port, seconds=0.3)
    assert of(counters, Kind.CACHED).errors == {"protocol": counters.planned}


async def test_the_warm_up_is_not_counted() -> None:
    async with Server(response) as server:
        counters = await drive(server.port, seconds=0.5, warm_up_s=0.5)
    assert counters.started == counters.planned < len(server.requests)
    assert sum(part.answered for part in counters.slices.values()) == counters.started
