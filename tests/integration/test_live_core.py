"""Live state on a real server: a writer that is killed between two people, and a night that knows what happened."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest

from models.event_log.archive.archive import Archive
from models.event_log.event import Event
from models.event_log.log_consumer import LogConsumer
from models.event_log.write_events import write_events
from models.live_state.edges import Direction, edge_event
from models.live_state.user_record import LiveRecord
from models.schema.event_kinds import EventKind
from models.schema.relationship import Relationship
from models.settings import Settings
from models.store.connect import open_async, open_sync
from models.store.keys import SHARDS, Keys, shard_of
from models.store.protocol import STREAM_START, SyncStore
from models.system.clock import now_us
from models.version.local_versions import Versions
from models.version.manifest import Manifest
from models.version.tables import Tables
from offline.night.config import NightConfig
from offline.night.nightly import Night
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

KEYS = Keys("pymk")
PEOPLE = 8

WRITER = """
import asyncio, os, signal, sys
from pathlib import Path
from models.schema.event_kinds import EventKind
from models.store.keys import Keys
from models.event_log.event import Event
from models.event_log.write_events import write_events
from models.settings import Settings
from models.store.connect import open_async

class Killed:
    def __init__(self, store):
        self._store, self._commits = store, 0

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def commit(self, commits, wait_s=None):
        self._commits += 1
        if self._commits == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return await self._store.commit(commits)

async def main():
    store = await open_async(Settings(home=Path(sys.argv[1]), redis_timeout_ms=5000))
    await write_events(Killed(store), Keys("pymk"), [Event(EventKind.BLOCK, "ann", "bea", event_id="1")])

asyncio.run(main())
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SyncStore]:
    opened = open_sync(Settings(home=tmp_path))
    yield opened
    opened.close()


def record(store: SyncStore, person: str) -> LiveRecord:
    return LiveRecord.unpack(store.get(KEYS.live(person)))


def test_what_a_killed_writer_left_is_mended_and_archived(store: SyncStore, tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-P", "-c", WRITER, str(tmp_path)], check=False, env={**os.environ})
    assert ran.returncode == -9
    assert record(store, "bea").edges == {}
    timestamp_us = record(store, "ann").edges["bea"][edge_event(Direction.OUT, EventKind.BLOCK)]
    archive = Archive(tmp_path)
    consumer = LogConsumer(store, KEYS, archive)
    assert sum(consumer.run_once(shard) for shard in range(SHARDS)) == 1
    assert record(store, "bea").edges == {"ann": {edge_event(Direction.IN, EventKind.BLOCK): timestamp_us}}
    ((position, entry),) = archive.read(shard_of("ann"), (store.get(KEYS.archived(shard_of("ann"))) or b"").decode())
    assert entry is not None
    assert (entry.timestamp_us, store.stream_read(KEYS.log(shard_of("ann")), STREAM_START, 9)) == (timestamp_us, [])
    assert store.get(KEYS.archived(shard_of("ann"))) == position.encode()


def test_writers_at_the_same_time_lose_nothing(store: SyncStore, tmp_path: Path) -> None:
    """Eight people connect with each other at once, everybody with everybody, each pair from both sides."""

    async def write() -> None:
        opened = await open_async(Settings(home=tmp_path, redis_timeout_ms=5000))

        async def one(who: int) -> None:
            for on in range(1, PEOPLE):
                event = Event(EventKind.CONNECT, f"u{who}", f"u{(who + on) % PEOPLE}")
                assert (await write_events(opened, KEYS, [event])).accepted == 1

        async with anyio.create_task_group() as group:
            for who in range(PEOPLE):
                group.start_soon(one, who)
        await opened.aclose()

    anyio.run(write)
    both = {edge_event(direction, EventKind.CONNECT) for direction in Direction}
    entries = sum(store.stream_length(KEYS.log(shard)) for shard in range(SHARDS))
    assert entries == PEOPLE * (PEOPLE - 1)
    for who in range(PEOPLE):
        edges = record(store, f"u{who}").edges
        assert {person: set(edge_events) for person, edge_events in edges.items()} == {
            f"u{other}": both for other in range(PEOPLE) if other != who
        }
    mirrored: dict[tuple[str, str], int] = {}
    for who in range(PEOPLE):
        for other, edge_events in record(store, f"u{who}").edges.items():
            mirrored[f"u{who}", other] = edge_events[edge_event(Direction.OUT, EventKind.CONNECT)]
    for (one, other), timestamp_us in mirrored.items():
        assert record(store, other).edges[one][edge_event(Direction.IN, EventKind.CONNECT)] == timestamp_us


def test_a_night_knows_what_happened_before_it_and_says_up_to_when(tmp_path: Path) -> None:
    data, home, memory = tmp_path / "data", tmp_path / "home", MemoryStore()
    data.mkdir()
    people = [f"u{number:02d}" for number in range(24)]
    (data / "users.csv").write_text("".join(f"{line}\n" for line in ["user_id", *people]))
    pairs = [(one, other) for one in range(24) for other in range(one) if one // 8 == other // 8 and (one + other) % 7]
    lines = ["user_id,other_id", *(f"{people[one]},{people[other]}" for one, other in pairs)]
    (data / "connections.csv").write_text("".join(f"{line}\n" for line in lines))

    def write(*events: Event, at: int) -> None:
        async def run() -> None:
            await write_events(AsyncMemoryStore(memory), KEYS, events, clock=lambda: at)

        anyio.run(run)

    before = now_us() - 60_000_000
    write(Event(EventKind.CONNECT, "u00", "u23"), Event(EventKind.INVITE, "u01", "u22"), at=before)
    consumer = LogConsumer(memory, KEYS, Archive(home))
    for shard in range(SHARDS):
        consumer.run_once(shard)
    write(Event(EventKind.DISMISS, "u02", "u21"), at=before)
    two_hours = 7200 * 1_000_000
    write(Event(EventKind.REPORT, "u04", "u19"), at=now_us() + two_hours)  # a service whose clock is ahead
    version, _ = Night(data=data, home=home, store=memory, keys=KEYS, config=NightConfig()).run()
    directory = Versions(home).path(version)
    manifest, tables = Manifest.read(directory), Tables.open(directory / "tables")
    assert manifest.cut_us == manifest.live_cut
    write(Event(EventKind.BLOCK, "u03", "u20"), at=now_us() - two_hours)  # a service whose clock is behind
    assert record(memory, "u04").last <= manifest.cut_us < record(memory, "u03").last
    assert tables.graph.contains(0, 23).all()
    kinds = bits_of(tables)
    assert kinds == {
        (1, 22): Relationship.INVITED_BY_VIEWER,
        (22, 1): Relationship.INVITED_BY_OTHER,
        (2, 21): Relationship.DISMISSED,
        (4, 19): Relationship.REPORTED,
    }


def bits_of(tables: Tables) -> dict[tuple[int, int], Any]:
    viewers = np.repeat(np.arange(tables.n), tables.forbidden.degrees).tolist()
    edges = zip(viewers, tables.forbidden.indices.tolist(), tables.forbidden_kinds.tolist(), strict=True)
    return {(viewer, other): Relationship(kinds) for viewer, other, kinds in edges}
