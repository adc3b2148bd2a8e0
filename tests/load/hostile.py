"""Measures a polite client alone, and beside one that sends everything wrong: its p99, and the memory of the service.

    python tests/load/make_version.py --home HOME --users 2000       once, see there
    python tests/load/hostile.py --home HOME                         a minute alone, then a minute beside
    python tests/load/hostile.py --home HOME --seconds 600           a minute alone, then ten beside

The polite client is `pymk loadtest` at a fixed rate. The hostile one, a process of its own, holds many connections and
does something wrong on each of them in turn: half a head, a body byte by byte, headers without end, packed bombs,
unknown methods, bytes that are no HTTP, requests ahead without reading the answers, half-closed and silent connections.
Some of it has a key, so that it gets as far as a client can. It runs at the lowest priority, since a client elsewhere
takes no processor of this host. Exit status 1 if the p99 beside is more than three times
that alone, or the service holds more than 50 MB more than before.
"""

import asyncio
import gzip
import itertools
import json
import multiprocessing
import os
import random
import resource
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from servers import KEY, Service, loadtest, service

MOST_TIMES, MOST_MB = 3.0, 50.0
_HOST = b"Host: localhost\r\n"
_KEY = f"Authorization: Bearer {KEY}\r\n".encode()
_POST = b"POST /pymk/events HTTP/1.1\r\n" + _HOST + _KEY + b"Content-Type: application/json\r\n"
_BOMB = gzip.compress(b" " * (256 << 20))

Wrong = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def _pieces(writer: asyncio.StreamWriter, head: bytes, piece: bytes, pause_s: float) -> None:
    """Sends a beginning, and the same piece again and again for a while."""
    writer.write(head)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause_s)


async def half_a_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"GET /pymk/version HTTP/1.1\r\nHo")
    await reader.read()


async def slow_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _pieces(writer, b"GET / HTTP/1.1\r\n" + _HOST, b"a: b\r\n", 0.5)


async def slow_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _pieces(writer, _POST + b"Content-Length: 1000000\r\n\r\n", b"[", 0.5)


async def huge_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _pieces(writer, b"GET / HTTP/1.1\r\n" + _HOST + b"a: ", b"x" * 65536, 0)


async def many_headers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _pieces(writer, b"GET / HTTP/1.1\r\n" + _HOST, b"a:b\r\n" * 10_000, 0)


async def endless_trailers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _pieces(
        writer, _POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n", b"a: " + b"x" * 60_000 + b"\r\n", 0
    )


async def large_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _pieces(writer, _POST + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b" " * 65536 + b"\r\n", 0)


async def bomb(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_POST + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_BOMB) + _BOMB)
    await reader.readuntil(b"\r\n\r\n")


async def no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(os.urandom(200))
    await reader.read()


async def unknown_methods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"TRACE /pymk/version HTTP/1.1\r\n" + _HOST + b"\r\n" + b"BREW /pot HTTP/1.1\r\n\r\n")
    await reader.read()


async def half_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_POST + b"Content-Length: 100\r\n\r\n[")
    writer.write_eof()
    await reader.read()


async def left_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(_POST + b"Content-Length: 100\r\n\r\n[")
    await writer.drain()
    writer.transport.abort()


async def reads_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    writer.write((b"GET /openapi.json HTTP/1.1\r\n" + _HOST + b"\r\n") * 30)
    await asyncio.sleep(20)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


WRONGS: tuple[Wrong, ...] = (
    *(half_a_head, slow_head, slow_body, huge_header, many_headers, endless_trailers, large_body, bomb),
    *(no_http, unknown_methods, half_closed, left_at_once, reads_nothing, silent),
)
HEAVY = frozenset({huge_header, many_headers, endless_trailers, large_body, bomb, reads_nothing})
"""what sends or makes the service send as much as the network takes: one in ten of the others"""


async def attack(port: int, seconds: float, connections: int, pace: float) -> Counter[str]:
    """Does wrong on that many connections at once, `pace` new ones a second; returns how often each was done."""
    done: Counter[str] = Counter()
    weights = [0.1 if wrong in HEAVY else 1.0 for wrong in WRONGS]
    drawn = random.Random(1)
    places = asyncio.Semaphore(connections)
    until = time.monotonic() + seconds

    async def one(wrong: Wrong) -> None:
        try:
            with suppress(OSError, EOFError, asyncio.LimitOverrunError, TimeoutError):
                async with asyncio.timeout(max(0.1, until - time.monotonic())):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    try:
                        await wrong(reader, writer)
                        done[wrong.__name__] += 1
                    finally:
                        writer.transport.abort()
        finally:
            places.release()

    async with asyncio.TaskGroup() as tasks:
        # as many as there may be at once, quickly; then as they end, at the pace
        for number in itertools.count():
            if time.monotonic() >= until:
                break
            await places.acquire()
            tasks.create_task(one(drawn.choices(WRONGS, weights)[0]))
            await asyncio.sleep(0.002 if number < connections else 1 / pace)
    return done


def _attack(port: int, seconds: float, connections: int, pace: float) -> None:
    os.nice(19)
    counted = asyncio.run(attack(port, seconds, connections, pace))
    sys.stderr.write(f"done wrong: {dict(sorted(counted.items()))}\n")


def processor_s(process: int) -> float:
    """The seconds of processor time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Memory(threading.Thread):
    """Reads the resident memory of a process twice a second."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._file = Path(f"/proc/{process}/status")
        self._ended = threading.Event()
        self.most_mb = 0.0

    def now_mb(self) -> float:
        """The resident memory in megabytes."""
        line = next(line for line in self._file.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def run(self) -> None:
        while not self._ended.wait(0.5):
            self.most_mb = max(self.most_mb, self.now_mb())

    def end(self) -> None:
        self._ended.set()
        self.join()


def polite(served: Service, rate: float, seconds: float) -> dict[str, Any]:
    """The document of a run of `pymk loadtest`."""
    options = ["--rate", f"{rate:g}", "--duration", f"{seconds:g}", "--warm-up", "3", "--mix", "cached=100"]
    options += ["--users", str(served.home / "load" / "ids.txt"), "--max-lateness-ms", "1000", "--no-check"]
    _, document = loadtest(served, *options)
    return document


def _p99(document: dict[str, Any]) -> float:
    return float(document["all"]["latency_ms"]["p99"])


def _shown(document: dict[str, Any]) -> dict[str, Any]:
    own = document["all"]
    return {**own["latency_ms"], "asked": own["asked"], "unanswered_share": own["unanswered_share"]}


def _counted(served: Service, name: str) -> dict[str, float]:
    """The series of a metric, by their labels."""
    lines = served.get("/metrics")[1].decode().splitlines()
    return {
        line.rpartition(" ")[0].removeprefix(name): float(line.rpartition(" ")[2])
        for line in lines
        if line.startswith(name)
    }


def main(
    home: Annotated[Path, typer.Option(help="A home that make_version.py made.")],
    seconds: Annotated[float, typer.Option(help="Seconds beside the hostile client.")] = 60.0,
    alone_seconds: Annotated[float, typer.Option(help="Seconds alone.")] = 60.0,
    rate: Annotated[float, typer.Option(help="Requests a second of the polite client.")] = 200.0,
    connections: Annotated[int, typer.Option(help="Connections of the hostile client at once.")] = 2000,
    pace: Annotated[float, typer.Option(help="New wrongs a second once they are all open.")] = 200.0,
) -> None:
    """Prints one JSON document."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 3 * connections)), hard))
    with service(home) as served:
        memory = Memory(served.process.pid)
        polite(served, rate, 5)  # lists are cached, code is warm
        used = [processor_s(served.process.pid)]
        alone = polite(served, rate, alone_seconds)
        used.append(processor_s(served.process.pid))
        before_mb = memory.now_mb()
        memory.start()
        attacker = multiprocessing.get_context("spawn").Process(
            target=_attack, args=(served.port, seconds + 12, connections, pace)
        )
        attacker.start()
        time.sleep(6)  # the connections are open
        used.append(processor_s(served.process.pid))
        beside = polite(served, rate, seconds)
        used.append(processor_s(served.process.pid))
        open_then = sum(_counted(served, "pymk_connections ").values())
        attacker.join(60)
        attacker.kill()
        time.sleep(5)
        memory.end()
        after_mb = memory.now_mb()
        shown = {
            "alone_ms": _shown(alone),
            "beside_ms": _shown(beside),
            "times": _p99(beside) / _p99(alone),
            "processor_s": {"alone": used[1] - used[0], "beside": used[3] - used[2]},
            "connections": open_then,
            "memory_mb": {"before": before_mb, "most": memory.most_mb, "after": after_mb},
            "requests": _counted(served, "pymk_requests_total"),
            "closed": _counted(served, "pymk_connections_closed_total"),
        }
    sys.stdout.write(json.dumps(shown, indent=2) + "\n")
    is_kept = _p99(beside) <= MOST_TIMES * _p99(alone) and after_mb - before_mb <= MOST_MB
    sys.exit(0 if is_kept else 1)


if __name__ == "__main__":
    typer.run(main)
