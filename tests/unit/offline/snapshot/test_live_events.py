"""A night merges the dataset with the live events since; the newer of two conflicting facts wins."""

import datetime as dt
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import polars as pl
import pytest

from models.errors import ArtefactError
from models.event_log.archive.archive import Archive
from models.event_log.event import Event
from models.event_log.log_consumer import LogConsumer
from models.event_log.write_events import write_events
from models.event_log.write_profile import write_erasure, write_profile
from models.schema.columns import Flag
from models.schema.event_kinds import EventKind
from models.schema.relationship import Relationship
from models.store.keys import SHARDS, Keys, shard_of
from offline.snapshot.live_events import LiveEvents, read_live_events
from offline.snapshot.snapshot import Snapshot, write_snapshot
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

KEYS = Keys("t")
STARTED = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
AS_OF = int((STARTED - dt.timedelta(days=2)).timestamp())
DAY = 86_400
USERS = """user_id,name,company,age,genres,joined,home,discoverable
ann,Ann,Acme,30,folk|jazz,2020-01-01,"1,2",true
bea,Bea,Bolt,31,jazz,2021-01-01,"3,4",
cid,Cid,Acme,32,,2022-01-01,"5,6",true
eve,Eve,Acme,33,folk,2023-01-01,"7,8",true
"""
SCHEMA = """as_of = "2026-10-30T00:00:00Z"
[users]
company = "categorical"
age = "numeric"
genres = "multi"
joined = "timestamp"
home = "location"
"""


class Live:
    """A live store whose clock is a number of days after the export and advances a second with every write."""

    def __init__(self, home: Path) -> None:
        self.home, self.memory = home, MemoryStore()
        self.store = AsyncMemoryStore(self.memory)
        self.now = AS_OF * 10**6

    def __call__(self) -> int:
        return self.now

    def at(self, days: float) -> None:
        self.now = round((AS_OF + days * DAY) * 10**6)

    def event(self, text: str, **more: Any) -> int:
        self.now += 10**6
        viewer, kind, other = text.split()
        event = Event(EventKind[kind.upper()], viewer, other, **more)

        async def write() -> None:
            await write_events(self.store, KEYS, [event], clock=self)

        anyio.run(write)
        return self.now

    def put(self, user_id: str, **columns: Any) -> None:
        self.now += 10**6

        async def write() -> None:
            await write_profile(self.store, KEYS, user_id, columns, clock=self)

        anyio.run(write)

    def erase(self, user_id: str) -> None:
        self.now += 10**6

        async def write() -> None:
            await write_erasure(self.store, KEYS, user_id, clock=self)

        anyio.run(write)

    def archive(self) -> None:
        consumer = LogConsumer(self.memory, KEYS, Archive(self.home))
        for shard in range(SHARDS):
            consumer.run_once(shard)

    def read(self, cut: int | None = None) -> LiveEvents:
        return read_live_events(self.home, self.memory, KEYS, cut=10**17 if cut is None else cut)


@pytest.fixture
def live(tmp_path: Path) -> Live:
    return Live(tmp_path)


def night(directory: Path, live: LiveEvents | None, connections: str = "", interactions: str = "") -> Snapshot:
    (directory / "users.csv").write_text(USERS)
    (directory / "schema.toml").write_text(SCHEMA)
    (directory / "connections.csv").write_text(f"user_id,other_id,created_at\n{connections}")
    (directory / "interactions.csv").write_text(f"user_id,other_id,kind,at\n{interactions}")
    return write_snapshot(directory, directory / "snapshot", started_at=STARTED, live=live)


def friends(snapshot: Snapshot) -> set[str]:
    names = snapshot.vocabulary.user_ids()
    a, b, _ = snapshot.connections()
    return {f"{names[one]}-{names[other]}" for one, other in zip(a, b, strict=True)}


def forbidden(snapshot: Snapshot) -> dict[str, Relationship]:
    names = snapshot.vocabulary.user_ids()
    pairs = zip(*snapshot.forbidden(), snapshot.forbidden_kinds().tolist(), strict=True)
    return {f"{names[viewer]}>{names[other]}": Relationship(kinds) for viewer, other, kinds in pairs}


def profiles(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    content, offsets = snapshot.profile_json()
    stored = [content[begin:end].tobytes() for begin, end in pairwise(offsets)]
    return {
        name: json.loads(one) if one else {} for name, one in zip(snapshot.vocabulary.user_ids(), stored, strict=True)
    }


class TestEvents:
    def test_events_are_interactions(self, live: Live, tmp_path: Path) -> None:
        live.at(1)
        live.event("ann connect bea")
        live.event("ann block cid")
        live.event("new dismiss ann")
        last = live.event("ann click bea", at=(AS_OF - DAY) * 10**6)
        snapshot = night(tmp_path, live.read())
        assert friends(snapshot) == {"ann-bea"}
        assert forbidden(snapshot) == {
            "ann>cid": Relationship.BLOCKED_BY_VIEWER,
            "cid>ann": Relationship.BLOCKED_BY_OTHER,
            "new>ann": Relationship.DISMISSED,
        }
        done = snapshot.interactions()
        assert AS_OF - DAY in done.at.tolist()
        assert snapshot.cut == last // 10**6
        assert snapshot.live_cut == 10**17
        assert snapshot.description.counts.live_events == 4

    def test_the_dataset_alone_is_as_it_was(self, live: Live, tmp_path: Path) -> None:
        without = night(tmp_path, None, "ann,bea,\n")
        digest = without.digest
        assert (without.cut, without.live_cut, friends(without)) == (AS_OF, None, {"ann-bea"})
        assert night(tmp_path, live.read(cut=5), "ann,bea,\n").digest == digest

    def test_the_newer_of_dataset_and_event_wins(self, live: Live, tmp_path: Path) -> None:
        live.at(-1)
        for text in ("ann disconnect bea", "ann block cid", "ann dismiss bea"):
            live.event(text)
        live.at(1)
        live.event("cid disconnect eve")
        rows = f"ann,cid,unblock,{AS_OF - 5}\nann,bea,undismiss,{AS_OF - 2 * DAY}\n"
        snapshot = night(tmp_path, live.read(), "ann,bea,\ncid,eve,\nann,eve,\n", rows)
        assert friends(snapshot) == {"ann-bea", "ann-eve"}  # a row without a date speaks as of the export
        assert forbidden(snapshot) == {
            "ann>bea": Relationship.DISMISSED,
            "cid>eve": Relationship.REFUSED,
            "eve>cid": Relationship.REFUSED,
        }

    def test_order_is_finer_than_a_second(self, live: Live, tmp_path: Path) -> None:
        async def write() -> None:
            kinds = (EventKind.BLOCK, EventKind.UNBLOCK, EventKind.DISMISS, EventKind.UNDISMISS, EventKind.DISMISS)
            batch = [Event(kind, "ann", "bea") for kind in kinds]
            await write_events(live.store, KEYS, batch, clock=live)

        live.at(1)
        anyio.run(write)
        assert forbidden(night(tmp_path, live.read())) == {"ann>bea": Relationship.DISMISSED}

    def test_rows_dated_after_the_export_keep_their_order_and_yield_to_events(self, live: Live, tmp_path: Path) -> None:
        live.at(1)
        live.event("ann unblock cid")
        rows = (
            f"ann,bea,block,{AS_OF + 9 * DAY}\nann,bea,unblock,{AS_OF + 8 * DAY}\n"
            f"ann,eve,block,{AS_OF + 8 * DAY}\nann,eve,unblock,{AS_OF + 9 * DAY}\nann,cid,block,{AS_OF + 9 * DAY}\n"
        )
        assert forbidden(night(tmp_path, live.read(), "", rows)).keys() == {"ann>bea", "bea>ann"}


class TestReading:
    def test_archive_and_log_are_read_once(self, live: Live) -> None:
        live.event("ann block bea")
        live.archive()
        live.event("ann dismiss cid")
        shard = shard_of("ann")
        position = live.memory.get(KEYS.archived(shard))
        live.memory.delete([KEYS.archived(shard)])  # a worker that died before it moved on
        Archive(live.home).append(shard, live.memory.stream_read(KEYS.log(shard), "0-0", 9))
        assert live.read().events["kind"].to_list() == [EventKind.BLOCK, EventKind.DISMISS]
        live.memory.set(KEYS.archived(shard), position or b"")
        live.event("ann block eve")
        assert live.read().events["kind"].to_list() == [EventKind.BLOCK, EventKind.DISMISS, EventKind.BLOCK]

    def test_nothing_after_the_cut_is_read(self, live: Live) -> None:
        cut = live.event("ann block bea")
        live.event("ann unblock bea")
        live.put("ann", company="Bolt")
        read = live.read(cut)
        assert (read.events.height, read.profiles, read.cut, read.last) == (1, {}, cut, cut)

    def test_another_hosts_archive_is_missed(self, live: Live, tmp_path: Path) -> None:
        live.event("ann block bea")
        live.archive()
        live.home = tmp_path / "elsewhere"
        with pytest.raises(ArtefactError, match="same PYMK_HOME"):
            live.read()


class TestProfiles:
    def test_what_was_put_after_the_export_replaces_the_dataset(self, live: Live, tmp_path: Path) -> None:
        live.at(1)
        live.put(
            "ann",
            name="Anna",
            company="Cog",
            age=40,
            genres=["rock", "folk", ""],
            joined="2024-01-01T00:00:00Z",
            home="9,10",
            discoverable=False,
            unknown="x",
        )
        live.put("bea", company=None, age="no number", genres=None, active=False)
        snapshot = night(tmp_path, live.read())
        stored = profiles(snapshot)
        assert stored["ann"] == {
            "name": "Anna",
            "company": "Cog",
            "age": 40,
            "genres": ["folk", "rock"],
            "joined": "2024-01-01T00:00:00Z",
            "home": "9.0,10.0",
            "discoverable": False,
        }
        assert stored["bea"] == {
            "name": "Bea",
            "age": 31,
            "joined": "2021-01-01T00:00:00Z",
            "home": "3.0,4.0",
            "active": False,
        }
        assert snapshot.flags.tolist() == [7 & ~Flag.DISCOVERABLE, 7 & ~Flag.ACTIVE, 7, 7]

    def test_an_export_made_after_it_replaces_what_was_put_but_silence_about_a_flag_does_not(
        self, live: Live, tmp_path: Path
    ) -> None:
        live.at(-1)
        live.put("ann", company="Cog", discoverable=False)
        live.put("bea", discoverable=False, connections_visible=False)
        live.put("new", company="Cog", name="New", active=False)
        snapshot = night(tmp_path, live.read())
        stored = profiles(snapshot)
        assert stored["ann"]["company"] == "Acme"
        assert stored["new"] == {"company": "Cog", "name": "New", "active": False}
        hidden = 7 & ~Flag.DISCOVERABLE & ~Flag.CONNECTIONS_VISIBLE
        assert snapshot.flags.tolist() == [7, hidden, 7, 7, 7 & ~Flag.ACTIVE]


class TestErasure:
    @pytest.mark.parametrize("archived", [False, True])
    def test_erased_users_are_dropped_wholly(self, live: Live, tmp_path: Path, archived: bool) -> None:
        live.at(1)
        live.event("eve block ann")
        live.event("bea connect eve")
        live.event("bea connect cid")
        live.put("eve", company="Cog")
        live.erase("eve")
        if archived:
            live.archive()
        rows = f"ann,eve,block,{AS_OF - 5}\n"
        snapshot = night(tmp_path, live.read(), "ann,eve,\neve,cid,\nann,bea,\n", rows)
        assert snapshot.vocabulary.user_ids() == ["ann", "bea", "cid"]
        assert friends(snapshot) == {"ann-bea", "bea-cid"}
        assert forbidden(snapshot) == {}
        decoded = [pl.read_parquet(path).write_json() for path in (tmp_path / "snapshot").glob("*.parquet")]
        assert any('"ann"' in one for one in decoded)
        assert not any('"eve"' in one or "Eve" in one for one in decoded)

    def test_users_erased_after_the_cut_are_dropped_too(self, live: Live, tmp_path: Path) -> None:
        live.at(1)
        cut = live.event("eve block ann")
        live.erase("eve")
        assert night(tmp_path, live.read(cut)).vocabulary.user_ids() == ["ann", "bea", "cid"]

    def test_a_restored_user_has_only_what_came_after(self, live: Live, tmp_path: Path) -> None:
        live.at(1)
        live.event("eve connect ann")
        live.erase("eve")
        live.put("eve", company="Cog")
        live.event("eve connect bea")
        snapshot = night(tmp_path, live.read(), "cid,eve,\n")
        assert friends(snapshot) == {"bea-eve"}
        assert profiles(snapshot)["eve"] == {"company": "Cog"}
