"""Erasing comes to its end from wherever it was cut short, and takes nothing of who came back."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from models.contacts.matching import Matcher
from models.contacts.write_contacts import write_contacts
from models.erasure.purge import purge_once
from models.errors import StoreUnavailableError
from models.event_log.archive.archive import Archive
from models.event_log.event import Event
from models.event_log.log_consumer import LogConsumer
from models.event_log.write_events import write_events
from models.event_log.write_profile import write_erasure, write_profile
from models.live_state.edges import Direction, edge_event
from models.live_state.erased_ids import read_erased
from models.live_state.erasure_receipts import (
    State,
    erasure_by_receipt,
    erasure_of,
    open_erasure,
    open_erasure_blocking,
    read_open,
)
from models.live_state.timestamps import draw_cut
from models.live_state.user_record import LiveRecord
from models.live_state.visibility import HiddenSet, follow_blocking
from models.publishing.publish import publish
from models.schema.event_kinds import EventKind
from models.schema.vocabulary import UserId
from models.store.keys import SHARDS, Keys
from models.store.transaction import Outcome
from models.system import files
from models.version.local_versions import Versions
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

pytestmark = pytest.mark.anyio
WRITES = {"commit", "compare_and_set", "delete", "stream_delete", "members_remove", "timestamps_remove", "queue_done"}


class Dying:
    """A store whose client dies before its `last` write."""

    def __init__(self, memory: MemoryStore, last: int) -> None:
        self._memory, self.left = memory, last

    def __getattr__(self, name: str) -> Any:
        if name in WRITES:
            self.left -= 1
            if self.left <= 0:
                raise StoreUnavailableError("dead")
        return getattr(self._memory, name)


class DyingWriter(AsyncMemoryStore):
    """The same for who writes an erasure."""

    def __init__(self, memory: MemoryStore, last: int) -> None:
        super().__init__(memory)
        self._left = last

    def _write(self) -> None:
        self._left -= 1
        if self._left <= 0:
            raise StoreUnavailableError("dead")

    async def commit(self, commits: Any, wait_s: float | None = None) -> list[Outcome]:
        self._write()
        return await super().commit(commits)

    async def chain_append(self, head: str, stream: str, identity: str, entry: bytes) -> bytes:
        self._write()
        return await super().chain_append(head, stream, identity, entry)

    async def fields_set(self, key: str, fields: Any) -> None:
        self._write()
        await super().fields_set(key, fields)

    async def members_add(self, key: str, members: Any) -> int:
        self._write()
        return await super().members_add(key, members)


def raw(memory: MemoryStore, home: Path) -> Iterator[bytes]:
    """All that the store and the archive hold."""
    for key, held in memory._stored.items():
        yield key.encode()
        yield repr(held.value).encode()
    for path in home.rglob("*.jsonl"):
        yield path.read_bytes()


class Harness:
    """A store and a home in which a version is served."""

    def __init__(
        self, home: Path, memory: MemoryStore, keys: Keys, clock: Any, make_version: Callable[..., str]
    ) -> None:
        self.home, self.memory, self.keys, self.clock, self._make = home, memory, keys, clock, make_version
        self.versions, self.store = Versions(home), AsyncMemoryStore(memory)

    def publish(self, **more: Any) -> str:
        version = self._make(self.home, **more)
        publish(self.versions.path(version), self.memory, self.versions, keys=self.keys)
        return version

    def cut(self) -> int:
        """The cut of a night that begins now."""
        return draw_cut(self.memory, self.keys, now=self.clock.now)

    def consume_log(self) -> None:
        consumer = LogConsumer(self.memory, self.keys, Archive(self.home))
        for shard in range(SHARDS):
            consumer.run_once(shard)

    def erase(self, store: Any = None) -> int:
        return purge_once(store or self.memory, self.keys, self.versions, clock=self.clock)

    async def events(self, *events: Event) -> None:
        await write_events(self.store, self.keys, events, clock=self.clock)

    def waits_for(self) -> list[str]:
        (erasure,) = read_open(self.memory, self.keys).values()
        return [str(one) for one in erasure.waits_for]


@pytest.fixture
def place(tmp_path: Path, memory: MemoryStore, keys: Keys, clock: Any, make_version: Callable[..., str]) -> Harness:
    return Harness(tmp_path, memory, keys, clock, make_version)


class TestRunOnce:
    async def test_step_by_step(self, place: Harness, clock: Any) -> None:
        place.publish(live_cut=clock.now - 1)
        await place.events(Event(EventKind.BLOCK, "eve", "bea"), Event(EventKind.IMPRESSION, "cid", "eve"))
        await write_erasure(place.store, place.keys, "eve", clock=clock)
        assert place.erase() == 1
        assert place.waits_for() == ["log"]
        place.consume_log()
        assert place.erase() == 1
        assert place.waits_for() == ["night"]
        place.publish(live_cut=place.cut())
        assert place.erase() == 0
        assert not [one for one in raw(place.memory, place.home) if b"eve" in one]
        assert place.erase() == 0

    async def test_an_upload_that_came_late_leaves_no_hash_and_no_index(self, place: Harness, clock: Any) -> None:
        place.publish(live_cut=clock.now - 1)
        hers, own = b"hers alone......", b"her own address."
        await write_contacts(
            place.store,
            place.keys,
            UserId("eve"),
            contacts=frozenset({hers}),
            own=frozenset({own}),
            daily=10,
            clock=clock,
        )
        uploaded = place.memory.get(place.keys.contacts("eve"))
        assert uploaded is not None
        Matcher(place.memory, place.keys, clock).match("eve")
        await write_erasure(place.store, place.keys, UserId("eve"), clock=clock)
        place.memory.set(place.keys.contacts("eve"), uploaded)
        place.consume_log()
        place.publish(live_cut=place.cut())
        assert place.erase() == 0
        left = list(raw(place.memory, place.home))
        for dead in (hers, own, hers.hex().encode(), own.hex().encode(), b"eve"):
            assert not [one for one in left if dead in one]

    async def test_the_clock_of_the_host_decides_nothing(self, place: Harness, clock: Any) -> None:
        place.publish(live_cut=clock.now - 1)
        clock.now += 7_200_000_000
        await write_erasure(place.store, place.keys, "eve", clock=clock)
        place.consume_log()
        place.publish(live_cut=place.cut())
        clock.now -= 7_200_000_000
        assert place.erase() == 0

    async def test_what_is_on_its_way_to_the_log_is_refused_from_then_on(self, place: Harness, clock: Any) -> None:
        place.publish(live_cut=clock.now - 1)
        late, commit = AsyncMemoryStore(place.memory), AsyncMemoryStore.commit
        await write_erasure(place.store, place.keys, "eve", clock=clock)
        outcomes: list[Any] = []

        async def slow(commits: Any, wait_s: float | None = None) -> Any:
            if not outcomes:  # its timestamp is taken
                place.consume_log()
                assert place.erase() == 1
                assert place.waits_for() == ["night"]
            outcomes.append(await commit(late, commits, wait_s))
            return outcomes[-1]

        late.commit = slow  # type: ignore[method-assign]
        await write_events(late, place.keys, [Event(EventKind.BLOCK, "ann", "bea")], clock=clock)
        assert outcomes[:2] == [[Outcome.CONFLICT], [Outcome.APPLIED]]

    async def test_a_version_that_left_the_person_out_will_do(self, place: Harness, clock: Any, keys: Keys) -> None:
        """Erased after the cut, and yet before the night looked."""
        timestamp_us = await write_erasure(place.store, keys, "eve", clock=clock)
        receipt = await open_erasure(place.store, keys, "eve", timestamp_us)
        place.consume_log()
        place.publish(live_cut=timestamp_us - 1)
        assert place.erase() == 1
        place.publish(live_cut=timestamp_us - 1, erasures={receipt[:32]: timestamp_us})
        assert place.erase() == 0

    async def test_a_night_at_work_that_began_before_is_waited_for(self, place: Harness, clock: Any) -> None:
        await write_erasure(place.store, place.keys, "eve", clock=clock)
        place.consume_log()
        place.publish(live_cut=place.cut())
        (place.home / "night").mkdir()
        (place.home / "night" / "run.json").write_text('{"started_at": "2026-01-01T00:00:00Z"}')
        with files.locked(place.home / ".night.lock", 0.0):
            assert place.erase() == 1
            assert place.waits_for() == ["run"]
        assert place.erase() == 0
        assert not (place.home / "night").exists()

    async def test_a_night_that_began_after_is_left_alone(self, place: Harness, clock: Any) -> None:
        await write_erasure(place.store, place.keys, "eve", clock=clock)
        place.consume_log()
        place.publish(live_cut=place.cut())
        (place.home / "night").mkdir()
        (place.home / "night" / "run.json").write_text('{"started_at": "2036-01-01T00:00:00Z"}')
        assert place.erase() == 0
        assert (place.home / "night").exists()

    async def test_while_another_publishes_versions_stay(self, place: Harness, clock: Any) -> None:
        first = place.publish(live_cut=1)
        await write_erasure(place.store, place.keys, "eve", clock=clock)
        place.consume_log()
        place.publish(live_cut=place.cut())
        with place.versions.switching():
            assert place.erase() == 1
        assert place.waits_for() == ["switch"]
        assert first in place.versions.ids()
        assert place.erase() == 0
        assert first not in place.versions.ids()

    async def test_it_may_die_anywhere(self, place: Harness, clock: Any, keys: Keys, memory: MemoryStore) -> None:
        for last in range(1, 40):
            await place.events(Event(EventKind.BLOCK, "cid", "eve"), Event(EventKind.CONNECT, "eve", "dan"))
            await write_profile(place.store, keys, "eve", {"active": False}, clock=clock)
            place.publish(live_cut=place.cut())
            await write_erasure(place.store, keys, "eve", clock=clock)
            place.consume_log()
            place.publish(live_cut=place.cut())
            dying = Dying(memory, last)
            try:
                left = place.erase(dying)
            except StoreUnavailableError:
                left = 1
            assert left in (0, 1)
            assert place.erase() == 0
            assert not [one for one in raw(memory, place.home) if b"eve" in one], last
            clock.now += 1
            if dying.left > 0:
                return
        pytest.fail("the turn has more writes than this test takes away")

    async def test_the_log_completes_a_writer_that_died(self, place: Harness, clock: Any, keys: Keys) -> None:
        for last in (2, 3, 4):
            store = DyingWriter(place.memory, last)
            with pytest.raises(StoreUnavailableError):
                await write_erasure(store, keys, f"eve{last}", clock=clock)
        place.consume_log()
        place.publish(live_cut=place.cut())
        assert len(read_open(place.memory, keys)) == 3
        assert place.erase() == 0
        assert not [one for one in raw(place.memory, place.home) if b"eve" in one]

    async def test_who_came_back_keeps_what_is_hers(
        self, place: Harness, clock: Any, keys: Keys, memory: MemoryStore
    ) -> None:
        place.publish(live_cut=clock.now - 1)
        await place.events(Event(EventKind.BLOCK, "cid", "eve"), Event(EventKind.CONNECT, "eve", "dan"))
        timestamp_us = await write_erasure(place.store, keys, "eve", clock=clock)
        clock.now += 10
        await place.events(Event(EventKind.DISMISS, "fay", "eve"))  # by a process that had not heard
        clock.now += 10
        await write_profile(place.store, keys, "eve", {"company": "Acme", "discoverable": False}, clock=clock)
        clock.now += 10
        await place.events(Event(EventKind.INVITE, "gus", "eve"))
        memory.timestamps_raise(keys.touched, {"eve": clock.now})
        place.consume_log()
        place.publish(live_cut=place.cut())
        assert place.erase() == 0
        records = {one: LiveRecord.unpack(memory.get(keys.live(one))) for one in ("cid", "dan", "fay", "gus", "eve")}
        assert all("eve" not in records[one].edges for one in ("cid", "dan", "fay"))
        assert set(records["gus"].edges["eve"]) == {edge_event(Direction.OUT, EventKind.INVITE)}
        assert set(records["eve"].edges) == {"gus"}
        kept = [entry for shard in range(SHARDS) for _, entry in Archive(place.home).read(shard) if entry]
        assert [(entry.kind, entry.user_id) for entry in kept if entry.names_any({"eve": clock.now})] == [
            (entry.kind, entry.user_id) for entry in kept
        ]
        assert {entry.kind for entry in kept} == {"profile", "invite"}
        hidden = HiddenSet()
        follow_blocking(memory, keys, hidden)
        assert hidden.over("eve", 7, 0) == 6
        assert hidden.erased() == {}
        assert memory.get(keys.live_profile("eve")) is not None
        assert memory.timestamps_after(keys.touched, 0, 9) == [("eve", clock.now)]
        assert timestamp_us < records["eve"].profile

    async def test_a_second_erasure_leaves_the_first_done(self, place: Harness, clock: Any, keys: Keys) -> None:
        place.publish(live_cut=clock.now - 1)
        first = await write_erasure(place.store, keys, "eve", clock=clock)
        receipt = await open_erasure(place.store, keys, "eve", first)
        place.consume_log()
        place.publish(live_cut=place.cut())
        assert place.erase() == 0
        await write_profile(place.store, keys, "eve", {}, clock=clock)
        await write_erasure(place.store, keys, "eve", clock=clock)
        latest = await erasure_of(place.store, keys, "eve")
        found = await erasure_by_receipt(place.store, keys, receipt)
        assert latest is not None
        assert found is not None
        assert latest[0] != receipt
        assert (found[1].state(found[0]), latest[1].state(latest[1].timestamp_us)) == (State.DONE, State.HIDDEN)
        place.consume_log()  # the log is consumed again by a worker that died: the first stays done
        assert len(read_open(place.memory, keys)) == 1


@pytest.mark.parametrize("blocking", [False, True])
async def test_an_earlier_erasure_told_again_leaves_the_latest_the_latest(place: Harness, blocking: bool) -> None:
    """As a worker does that dies between the entries of two erasures of one id: a night then goes by the later."""
    for timestamp_us in (5, 9, 5):
        if blocking:
            open_erasure_blocking(place.memory, place.keys, "ann", timestamp_us)
        else:
            await open_erasure(place.store, place.keys, "ann", timestamp_us)
    assert read_erased(place.memory, place.keys).timestamp_us("ann") == 9
    (erasure,) = read_open(place.memory, place.keys).values()
    assert erasure.timestamps_us == (5, 9)
