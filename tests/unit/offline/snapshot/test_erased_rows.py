"""What a night keeps of an erased user, and of the new user with the same id."""

import datetime as dt
from pathlib import Path

import anyio
import polars as pl
import pytest

from models.event_log.archive.archive import Archive
from models.event_log.event import Event
from models.event_log.log_consumer import LogConsumer
from models.event_log.write_events import write_events
from models.event_log.write_profile import write_erasure, write_profile
from models.schema.event_kinds import EventKind
from models.store.keys import SHARDS, Keys
from models.system.clock import DAY_US
from offline.dataset.reader import read_dataset
from offline.snapshot.live_events import LiveEvents, read_live_events
from offline.snapshot.merge_live_events import Merged, with_live
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

KEYS = Keys("t")
ERASED = int(dt.datetime(2026, 11, 10, tzinfo=dt.UTC).timestamp()) * 10**6
STARTED = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)


class Told:
    """A home in which eve was erased on 10 November, by events before and after."""

    def __init__(self, home: Path) -> None:
        self.home, self.memory, self.now = home, MemoryStore(), ERASED - DAY_US
        store = AsyncMemoryStore(self.memory)

        async def run() -> None:
            await write_profile(store, KEYS, "eve", {"name": "Eve"}, clock=self.clock)
            await write_events(store, KEYS, [Event(EventKind.CONNECT, "eve", "ann")], clock=self.clock)
            self.now = ERASED
            await write_erasure(store, KEYS, "eve", clock=self.clock)
            self.now += 1000
            await write_events(store, KEYS, [Event(EventKind.CONNECT, "bea", "eve")], clock=self.clock)

        anyio.run(run)

    def clock(self) -> int:
        return self.now

    def comes_back(self) -> None:
        self.now = ERASED + 2 * DAY_US

        async def run() -> None:
            store = AsyncMemoryStore(self.memory)
            await write_profile(store, KEYS, "eve", {"name": "Another"}, clock=self.clock)
            await write_events(store, KEYS, [Event(EventKind.CONNECT, "cid", "eve")], clock=self.clock)

        anyio.run(run)

    def archive(self) -> None:
        consumer = LogConsumer(self.memory, KEYS, Archive(self.home))
        for shard in range(SHARDS):
            consumer.run_once(shard)

    def live(self) -> LiveEvents:
        return read_live_events(self.home, self.memory, KEYS, cut=self.now + 1000)


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def merged(told: Told, as_of: str | None) -> Merged:
    """The dataset, exported at `as_of` or undated, merged with the live events."""
    data = told.home / "data"
    data.mkdir(exist_ok=True)
    (data / "users.csv").write_text("user_id,name\nann,Ann\nbea,Bea\ncid,Cid\neve,Eve\n")
    connections = "ann,bea,2026-11-01\nann,eve,2026-11-01\nbea,eve,2026-11-15\ncid,eve,\n"
    (data / "connections.csv").write_text(f"user_id,other_id,created_at\n{connections}")
    interactions = "eve,bea,block,2026-11-09\ncid,eve,dismiss,2026-11-14\nann,cid,view,2026-11-01\n"
    (data / "interactions.csv").write_text(f"user_id,other_id,kind,at\n{interactions}")
    (data / "schema.toml").write_text("" if as_of is None else f'as_of = "{as_of}"\n')
    return with_live(read_dataset(data, started_at=STARTED), told.live())


def rows_of(frame: pl.DataFrame) -> set[tuple[str, str]]:
    """The pairs that name eve."""
    pairs = zip(frame["user_id"], frame["other_id"], strict=True)
    return {pair for pair in pairs if "eve" in pair}


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("as_of", [None, "2026-11-01", "2026-11-19"])
def test_no_dataset_and_no_event_restores_an_erased_user(told: Told, as_of: str | None, *, archived: bool) -> None:
    if archived:
        told.archive()
    found = merged(told, as_of)
    assert found.users["user_id"].to_list() == ["ann", "bea", "cid"]
    assert rows_of(found.connections) == rows_of(found.interactions) == set()
    assert found.connections.height == found.interactions.height == 1


@pytest.mark.parametrize("as_of", [None, "2026-11-01", "2026-11-11"])
def test_a_put_restores_the_id_without_what_was_exported_before(told: Told, as_of: str | None) -> None:
    told.comes_back()
    found = merged(told, as_of)
    assert dict(found.users.select("user_id", "name").rows())["eve"] == "Another"
    assert rows_of(found.connections) == set()
    assert rows_of(found.interactions) == {("cid", "eve")}
    assert found.interactions.filter(pl.col("user_id") == "cid")["kind"].to_list() == [EventKind.CONNECT]


def test_a_later_export_speaks_of_the_new_person(told: Told) -> None:
    told.comes_back()
    found = merged(told, "2026-11-19")
    assert rows_of(found.connections) == {("bea", "eve"), ("cid", "eve")}
    assert rows_of(found.interactions) == {("cid", "eve")}
    assert sorted(found.interactions.filter(pl.col("user_id") == "cid")["kind"].to_list()) == sorted(
        [EventKind.CONNECT, EventKind.DISMISS]
    )
    assert dict(found.users.select("user_id", "name").rows())["eve"] == "Eve", "the export is newer than the PUT"
