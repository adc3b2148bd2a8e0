"""Commands whose standard error is a pipe that nobody reads."""

import http.client
import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from models.publishing.serving_processes import served
from models.store.keys import Keys
from tests.support.clock import wait_for
from tests.support.homes import Home, Service
from tests.support.stores import free_port

DROPPED = "pymk_log_lines_dropped_total"
REQUESTS = 4000
"""several times the lines that a pipe and the waiting lines of a process hold"""


def ask(service: Service, times: int) -> set[int]:
    """The statuses of lists asked for over one connection, each with a long line in the log."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
    statuses = set()
    for _ in range(times):
        connection.request("GET", "/pymk/recommendations?user_id=cid", headers={"X-Request-Id": "r" * 128})
        answer = connection.getresponse()
        answer.read()
        statuses.add(answer.status)
    connection.close()
    return statuses


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_service_answers_on_and_counts_the_lines_it_drops(make_home: Callable[..., Home], workers: str) -> None:
    home, service = make_home(), Service(free_port())
    process = home.begin("serve", "--port", str(service.port), "--workers", workers, stderr=subprocess.PIPE)
    try:
        wait_for(lambda: service.get("/health/ready")[0] == 200)
        assert service.metrics().get(DROPPED, 0) == 0
        assert ask(service, REQUESTS) == {200}
        assert service.get("/health/live") == (200, {"status": "ok"})
        wait_for(lambda: service.metrics()[DROPPED] > 0)
        assert process.stderr is not None
        dropped = 0
        while not dropped:  # as soon as somebody reads, a line says how many are missing
            line = json.loads(process.stderr.readline())
            dropped = line["count"] if line["event"] == "log_lines_dropped" else 0
        assert dropped == service.metrics()[DROPPED]
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(30) == 0
        finally:
            process.kill()
            process.wait()
            if process.stderr is not None:
                process.stderr.close()


@pytest.fixture
def full_pipe() -> Iterator[int]:
    """The end to write to of a pipe that has no room left."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    yield writer
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (("versions",), 0),
        (("synth", "--users", "60", "--out", "DATA"), 0),
        (("recommend", "--all"), 1),
        (("recommend", "--users", "missing"), 2),
        (("serve", "--host", "no.such.host.invalid"), 2),
        (("nothing",), 2),
    ],
)
def test_a_command_ends_with_its_status(
    full_pipe: int, tmp_path: Path, arguments: tuple[str, ...], status: int
) -> None:
    process = Home(tmp_path).begin(*arguments, stderr=full_pipe, stdout=subprocess.DEVNULL, cwd=tmp_path)
    try:
        assert process.wait(40) == status
    finally:
        process.kill()
        process.wait()


def test_a_worker_works_on(full_pipe: int, make_home: Callable[..., Home]) -> None:
    home = make_home()
    process = home.begin("worker", stderr=full_pipe)
    try:
        with home.opened() as store:
            wait_for(lambda: served(store, keys=Keys("pymk")))
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
