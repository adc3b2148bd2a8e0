"""One person with very many new edges, and what she costs everybody else.

    python tests/load/make_version.py --home HOME --users 20000
    python tests/load/popular.py --home HOME                    100,000 edges, then 10 events a second to her

Prints the 99th percentile of others' cached lists at 200 requests a second, without her and beside 10 events a second
to her and a list of hers each second; the slowest of her own lists; and what 500 clients at once onto one person are
answered. Exit status 1 if a bar is missed: others at most twice, her own list at most 20 ms, no 503.
"""

import asyncio
import sys
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated, Any

import httpx2
import numpy as np
import typer
from servers import KEY, running, service

from models.publishing.pointer import read_pointer
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.version.local_versions import Versions
from models.version.tables import Tables

HEADERS = {"Authorization": f"Bearer {KEY}"}
RATE = 200.0


def people_of(home: Path) -> list[str]:
    """The ids of the active version's users."""
    settings = Settings(home=home)
    with closing(open_sync(settings)) as store:
        pointer = read_pointer(store, keys=Keys(settings.namespace))
    assert pointer is not None, "nothing is published in this home"
    return Tables.open(Versions(home).path(pointer.version) / "tables").vocabulary.user_ids()


async def post(client: httpx2.AsyncClient, events: list[dict[str, Any]]) -> int:
    return (await client.post("/pymk/events", json=events)).status_code


async def lists(client: httpx2.AsyncClient, people: list[str], seconds: float, *, warms: bool = False) -> np.ndarray:
    """The milliseconds of lists of others, asked for at a steady rate whatever became of those before.

    With `warms` the processes beside may still be starting: an answer other than a list is passed over.
    """
    taken: list[float] = []

    async def one(viewer: str, due: float) -> None:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        answer = await client.get("/pymk/recommendations", params={"user_id": viewer})
        assert answer.status_code == 200 or warms, answer.text
        taken.append((time.perf_counter() - due) * 1000)

    begin = time.perf_counter()
    await asyncio.gather(*(one(people[at % 500], begin + at / RATE) for at in range(int(seconds * RATE))))
    return np.array(taken)


async def bother(client: httpx2.AsyncClient, star: str, people: list[str], seconds: float) -> list[float]:
    """Ten events a second to her, and a list of hers each second; its milliseconds."""
    own: list[float] = []
    for at in range(int(seconds * 10)):
        due = time.perf_counter() + 0.1
        fan = people[500 + at % 5_000]
        kind = "disconnect" if at % 2 else "connect"
        assert await post(client, [{"kind": kind, "user_id": fan, "other_id": star}]) == 202
        if at % 10 == 0:
            begin = time.perf_counter()
            answer = await client.get("/pymk/recommendations", params={"user_id": star})
            assert answer.status_code == 200
            own.append((time.perf_counter() - begin) * 1000)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
    return own


async def measure(url: str, people: list[str], edges: int, seconds: float) -> bool:
    limits = httpx2.Limits(max_connections=1000)
    async with httpx2.AsyncClient(base_url=url, headers=HEADERS, timeout=60, limits=limits) as client:
        star, crowded = people[-1], people[-2]
        await lists(client, people, 5.0, warms=True)
        alone = np.percentile(await lists(client, people, seconds), 99)
        typer.echo(f"others alone: p99 {alone:.1f} ms")
        begin = time.perf_counter()
        for at in range(0, edges, 5_000):
            fans = [f"fan-{number}" if number % 2 else people[number % len(people)] for number in range(at, at + 5_000)]
            batch = [{"kind": "connect", "user_id": fan, "other_id": star} for fan in fans if fan != star]
            assert await post(client, batch) == 202
        typer.echo(f"{edges:,} edges written in {time.perf_counter() - begin:.0f} s")
        begin = time.perf_counter()
        assert (await client.get("/pymk/recommendations", params={"user_id": star})).status_code == 200
        typer.echo(f"her first list, from the whole record: {(time.perf_counter() - begin) * 1000:.0f} ms")
        beside, own = await asyncio.gather(lists(client, people, seconds), bother(client, star, people, seconds))
        p99 = np.percentile(beside, 99)
        typer.echo(
            f"others beside her: p99 {p99:.1f} ms, {p99 / alone:.2f} times; her own list at most {max(own):.1f} ms"
        )
        answers = Counter(
            await asyncio.gather(
                *(post(client, [{"kind": "invite", "user_id": f"f{n}", "other_id": crowded}]) for n in range(500))
            )
        )
        typer.echo(f"500 clients at once onto one person: {dict(answers)}")
        return bool(p99 <= 2 * alone and max(own) <= 20 and set(answers) == {202})


def main(
    home: Annotated[Path, typer.Option(help="A home with a published version.")],
    edges: Annotated[int, typer.Option(help="Connections that she gets first.")] = 100_000,
    seconds: Annotated[float, typer.Option(help="Length of each measurement.")] = 20.0,
    worker: Annotated[bool, typer.Option(help="With a worker beside.")] = True,
) -> None:
    """Starts service and worker on the home and measures."""
    (home / "load").mkdir(exist_ok=True)
    with ExitStack() as closing_all:
        one = closing_all.enter_context(service(home))
        if worker:
            command = [sys.executable, "-m", "models.cli", "worker"]
            closing_all.enter_context(running(command, home, home / "load" / "worker.log"))
        held = asyncio.run(measure(f"http://127.0.0.1:{one.port}", people_of(home), edges, seconds))
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    typer.run(main)
