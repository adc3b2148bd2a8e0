"""Drives events and lists against service, worker and store, kills each of them once, and says what that did.

    pymk synth --users 5000 --out DATA && PYMK_HOME=HOME pymk nightly DATA
    python tests/load/live.py --home HOME                            200 events a second beside 50 lists, for a minute
    python tests/load/live.py --home HOME --seconds 20 --no-kills
    python tests/load/live.py --home HOME --skew 2 --batch 20 --evict      with faketime (Debian) installed

An open loop of single-event POSTs: 70% impressions, 15% clicks and views, 5% dismissals, 5% connects, 5% others. Each
dismissal and every other event that forbids is of somebody whom the list before it showed, and the viewer's first list
after the answer must not. Once a second somebody connects with a stranger, until a friend of the stranger's is among
the candidates that lists are ranked from. Service, worker and store are killed with SIGKILL after a quarter, a half and
three quarters of the time and started again after two seconds; the store by its own supervisor, which does not wait. In
the end every event that was acknowledged has to be in the archive. Exit status 1 where a bar is missed.

`--skew H`: the service's clock is H hours behind that of this host, the worker's H hours ahead. `--batch N`: each event
is the last of a POST with N - 1 impressions and clicks of other viewers. `--evict`: the store has no more memory than
it takes at the beginning and 8 MB, and evicts what expires (volatile-lru); a client fills it with keys that do.
"""

import asyncio
import json
import os
import random
import time
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import httpx2
import typer
from faults import Program, fill_store, kill_store
from servers import KEY, await_answer, free_port

from models.event_log.archive.archive import Archive
from models.event_log.event import Entry
from models.publishing.pointer import read_pointer
from models.schema.columns import Flag
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import SHARDS, Keys
from models.store.protocol import STREAM_START, SyncStore
from models.version.local_versions import Versions
from models.version.tables import Tables

KINDS = {"impression": 70, "click": 8, "view": 7, "dismiss": 5, "connect": 5, "invite": 2, "block": 2, "report": 1}
FORBIDDING = frozenset({"dismiss", "invite", "block", "report"})
DOWN_S = 2.0
UNSETTLED_S = 12.0
"""after a kill, for which latencies are shown apart: a dead worker's leases run so long, and a night's tables load"""
TIMEOUT_S = 60.0
SUGGESTABLE = Flag.DISCOVERABLE | Flag.ACTIVE
VISIBLE_S = 2.0


@dataclass
class Seen:
    """What came of a run."""

    acknowledged: set[str] = field(default_factory=set)
    """event ids"""
    answers: Counter[str] = field(default_factory=Counter)
    writing_s: list[float] = field(default_factory=list)
    listing_s: list[float] = field(default_factory=list)
    checked: int = 0
    broken: list[str] = field(default_factory=list)
    """people shown right after an event that forbids them was acknowledged"""
    visible_s: list[tuple[float, float]] = field(default_factory=list)
    """of a connect the moment, and how long its new candidates took; infinity: they did not come"""
    kills: list[tuple[str, float]] = field(default_factory=list)
    evicted: int = 0
    """keys"""

    def settled(self) -> list[float]:
        """The latencies of connects with no kill shortly before or after them."""
        at = [moment for _, moment in self.kills]
        return [took for when, took in self.visible_s if not any(-VISIBLE_S < when - one < UNSETTLED_S for one in at)]


class Traffic:
    """What people do for some seconds."""

    def __init__(self, port: int, tables: Tables, seed: int, batch: int = 1) -> None:
        self.seen, self._batch = Seen(), batch
        self._tables, self._random = tables, random.Random(seed)
        self._ids = [tables.vocabulary.user_id(row) for row in range(tables.n)]
        self._numbers, self._start = count(), time.time_ns()
        limits = httpx2.Limits(max_connections=200)
        headers = {"Authorization": f"Bearer {KEY}"}
        self._client = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=headers, limits=limits, timeout=10
        )

    async def run(self, seconds: float, rate: float, lists: float) -> None:
        """Returns when all that was begun within the time has ended."""
        async with self._client:
            paced = [(self.event, rate), (self.list_of_somebody, lists * 0.8), (self.new_candidates, 1.0)]
            await asyncio.gather(*(self._paced(what, one, seconds) for what, one in paced))

    async def _paced(self, what: Any, rate: float, seconds: float) -> None:
        """An open loop: what is late does not hold up what follows."""
        start = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for number in range(int(rate * seconds)):
                await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
                tasks.create_task(what())

    async def event(self) -> None:
        """One event; where it forbids, of somebody who is shown, and with a look at the list afterwards."""
        (kind,) = self._random.choices(list(KINDS), list(KINDS.values()))
        viewer, other = self._random.sample(self._ids, 2)
        shown = (await self.listed(viewer) or {}) if kind in FORBIDDING else {}
        if shown:
            other = self._random.choice(list(shown))
        if not await self.tell(kind, viewer, other) or kind not in FORBIDDING:
            return
        after = await self.listed(viewer)
        if after is not None:
            self.seen.checked += 1
            if other in after:
                self.seen.broken.append(f"{kind} {viewer} {other}")

    async def list_of_somebody(self) -> None:
        await self.listed(self._random.choice(self._ids))

    async def new_candidates(self) -> None:
        """Connects somebody with a stranger and waits until a friend of the stranger's is among the candidates.

        Whether she also gets into the list is the ranker's to say.
        """
        viewer, stranger = self._random.sample(self._ids, 2)
        friends = self._suggestable_friends(stranger)
        some = self._random.sample(friends, min(3, len(friends)))
        before = await self.candidates_among(viewer, [*some, stranger])
        if before is None or before or not some or not await self.tell("connect", viewer, stranger):
            return
        moment = time.monotonic()
        while time.monotonic() < moment + TIMEOUT_S / 2:
            if await self.candidates_among(viewer, some):
                self.seen.visible_s.append((moment, time.monotonic() - moment))
                return
            await asyncio.sleep(0.1)
        self.seen.visible_s.append((moment, float("inf")))

    def _suggestable_friends(self, user_id: str) -> list[str]:
        """Somebody's friends of the night, less those whom no list may hold."""
        row = self._tables.vocabulary.row(user_id)
        if row is None:
            return []
        friends = self._tables.graph.neighbours(row)
        return [self._ids[one] for one in friends[(self._tables.flags[friends] & SUGGESTABLE) == SUGGESTABLE]]

    async def candidates_among(self, viewer: str, others: list[str]) -> list[str] | None:
        """Those of the others who are candidates of the viewer; None where there was no answer."""
        found = []
        for other in others:
            try:
                answer = await self._client.get(f"/pymk/users/{quote(viewer, safe='')}/why/{quote(other, safe='')}")
            except httpx2.HTTPError:
                return None
            if answer.status_code != 200:
                return None
            if answer.json()["candidate"] is not None:
                found.append(other)
        return found

    async def tell(self, kind: str, viewer: str, other: str) -> bool:
        """Whether the event was acknowledged."""
        events = [(self._random.choice(("impression", "click")), *self._pair()) for _ in range(self._batch - 1)]
        body = [
            {
                "kind": kind,
                "user_id": viewer,
                "other_id": other,
                "event_id": f"{self._start}-{next(self._numbers)}",
                "context": "web",
                "position": 1,
            }
            for kind, viewer, other in (*events, (kind, viewer, other))
        ]
        began = time.monotonic()
        try:
            answer = await self._client.post("/pymk/events", json=body)
        except httpx2.HTTPError as error:
            self.seen.answers[f"event {type(error).__name__}"] += 1
            return False
        self.seen.answers[f"event {answer.status_code}"] += 1
        if answer.status_code != 202:
            return False
        self.seen.writing_s.append(time.monotonic() - began)
        self.seen.acknowledged |= {one["event_id"] for one in body}
        return True

    def _pair(self) -> list[str]:
        return self._random.sample(self._ids, 2)

    async def listed(self, viewer: str, limit: int = 20) -> dict[str, Any] | None:
        """The people of a list by id; None where there was no answer."""
        began = time.monotonic()
        try:
            answer = await self._client.get("/pymk/recommendations", params={"user_id": viewer, "limit": limit})
        except httpx2.HTTPError as error:
            self.seen.answers[f"list {type(error).__name__}"] += 1
            return None
        self.seen.answers[f"list {answer.status_code}"] += 1
        if answer.status_code != 200:
            return None
        self.seen.listing_s.append(time.monotonic() - began)
        return {one["user_id"]: one for one in answer.json()["recommendations"]}


async def kills(seconds: float, seen: Seen, programs: dict[str, Program], home: Path) -> None:
    """Service, worker and store, one after the other."""
    for name, program in programs.items():
        await asyncio.sleep(seconds / 4 - DOWN_S)
        seen.kills.append((name, time.monotonic()))
        await asyncio.to_thread(program.kill)
        await asyncio.sleep(DOWN_S)
        program.start()
    await asyncio.sleep(seconds / 4 - DOWN_S)
    seen.kills.append(("store", time.monotonic()))
    await asyncio.to_thread(kill_store, home)


def event_ids(home: Path, store: SyncStore, keys: Keys) -> set[str]:
    """All that the archive and the log have."""
    archive, found = Archive(home), set()
    for shard in range(SHARDS):
        entries = [entry for _, entry in archive.read(shard)]
        entries += [Entry.decode(one) for _, one in store.stream_read(keys.log(shard), STREAM_START, 1_000_000)]
        found |= {entry.event_id for entry in entries if entry is not None and entry.event_id}
    return found


def worked_off(store: SyncStore, keys: Keys) -> bool:
    """Waits until log and queue are empty; whether they came to be."""
    deadline = time.monotonic() + TIMEOUT_S
    while any(store.stream_length(keys.log(shard)) for shard in range(SHARDS)) or store.queue_length(keys.refresh):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("nan")


def main(
    home: Annotated[Path, typer.Option(help="With a published version of a night.")],
    seconds: Annotated[float, typer.Option()] = 60.0,
    rate: Annotated[float, typer.Option(help="Events a second.")] = 200.0,
    lists: Annotated[float, typer.Option(help="Lists a second.")] = 50.0,
    seed: Annotated[int, typer.Option()] = 0,
    with_kills: Annotated[bool, typer.Option("--kills/--no-kills")] = True,
    skew: Annotated[float, typer.Option(help="Hours by which clocks are wrong.")] = 0.0,
    batch: Annotated[int, typer.Option(min=1, help="Events of a POST.")] = 1,
    evict: Annotated[bool, typer.Option("--evict", help="The store is full all the time.")] = False,
) -> None:
    """Prints one JSON document and exits with 1 where a bar is missed."""
    place, keys, port = home / "load", Keys("pymk"), free_port()
    place.mkdir(exist_ok=True)
    with ExitStack() as ending:
        store = ending.enter_context(closing(open_sync(Settings(home=home))))
        pointer = read_pointer(store, keys=keys)
        if pointer is None:
            raise SystemExit(f"nothing is published in {home}")
        tables = Tables.open(Versions(home).path(pointer.version) / "tables")
        service = Program(home, place / "service.log", "serve", "--port", str(port), hours=-skew)
        ending.callback(service.end)
        worker = Program(home, place / "worker.log", "worker", hours=skew)
        ending.callback(worker.end)
        await_answer(service.process, port, "/health/ready")
        time.sleep(UNSETTLED_S)  # what a worker compiles on first use is compiled

        async def everything() -> Seen:
            traffic = Traffic(port, tables, seed, batch)
            both = [traffic.run(seconds, rate, lists)]
            if with_kills:
                both.append(kills(seconds, traffic.seen, {"service": service, "worker": worker}, home))
            filling = asyncio.create_task(fill_store(home)) if evict else None
            await asyncio.gather(*both)
            if filling is not None:
                filling.cancel()
                traffic.seen.evicted = await filling
            return traffic.seen

        seen = asyncio.run(everything())
        done = worked_off(store, keys)
        lost = seen.acknowledged - event_ids(home, store, keys)
    settled = seen.settled()
    found = {
        "users": tables.n,
        "seconds": seconds,
        "acknowledged": len(seen.acknowledged),
        "lost": len(lost),
        "answers": dict(sorted(seen.answers.items())),
        "event_ms": {"p50": 1e3 * quantile(seen.writing_s, 0.5), "p99": 1e3 * quantile(seen.writing_s, 0.99)},
        "list_ms": {"p50": 1e3 * quantile(seen.listing_s, 0.5), "p99": 1e3 * quantile(seen.listing_s, 0.99)},
        "first_lists_checked": seen.checked,
        "first_lists_broken": seen.broken,
        "new_candidates": len(seen.visible_s),
        "new_candidates_never": sum(took == float("inf") for _, took in seen.visible_s),
        "visible_s": {"p50": quantile(settled, 0.5), "p99": quantile(settled, 0.99), "of": len(settled)},
        "visible_s_kills_included": quantile([took for _, took in seen.visible_s], 0.99),
        "worked_off": done,
        "evicted": seen.evicted,
        "load_average": os.getloadavg()[0],
    }
    typer.echo(json.dumps(found, indent=2))
    missed = lost or seen.broken or not done or not quantile(settled, 0.99) <= VISIBLE_S
    raise typer.Exit(1 if missed else 0)


if __name__ == "__main__":
    typer.run(main)
