"""Records are merged, and what every version includes goes; what is added meanwhile stays."""

from typing import Any

import pytest

from models.event_log.event import Event
from models.event_log.write_events import write_events
from models.event_log.write_profile import write_profile
from models.live_state.compaction import JOURNAL_BYTES, TAIL_BYTES, compact, index_people, people_with_records, sweep
from models.live_state.edges import Direction, edge_event
from models.live_state.journal import JournalEntry, merged_from
from models.live_state.profile_changes import LiveProfile
from models.live_state.user_record import MOST_SHOWN, SHOWN_S, LiveRecord, base_length, revision_of
from models.schema.event_kinds import EventKind
from models.store.keys import Keys, shard_of
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

pytestmark = pytest.mark.anyio


def record_of(memory: MemoryStore, keys: Keys, person: str) -> LiveRecord:
    return LiveRecord.unpack(memory.get(keys.live(person)))


async def test_a_long_journal_is_merged_and_a_short_one_is_not(
    store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
) -> None:
    batch = [Event(EventKind.IMPRESSION, "ann", f"u{number % 20}") for number in range(1000)]
    await write_events(store, keys, [*batch, Event(EventKind.CONNECT, "bea", "ann")], clock=clock)
    before, length = record_of(memory, keys, "ann"), len(memory.get(keys.live("ann")) or b"")
    assert length > JOURNAL_BYTES
    assert compact(memory, keys, ["ann", "bea", "nobody"], watermark=0, now=clock.now) == 1
    after = record_of(memory, keys, "ann")
    assert (after.edges, after.shown) == (before.edges, before.shown)
    assert len(memory.get(keys.live("ann")) or b"") < 1000
    assert compact(memory, keys, ["ann"], watermark=0, now=clock.now) == 0


async def test_what_is_added_while_a_record_is_merged_stays(
    store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
) -> None:
    await write_events(store, keys, [Event(EventKind.IMPRESSION, "ann", "bea")] * 500, clock=clock)
    commit = memory.commit

    def interfering(commits: Any) -> Any:
        memory.commit = commit  # type: ignore[method-assign]
        blocked = JournalEntry(edge_event(Direction.OUT, EventKind.BLOCK), clock.now, "eva")
        memory.set(keys.live("ann"), (memory.get(keys.live("ann")) or b"") + blocked.encode())
        return commit(commits)

    memory.commit = interfering  # type: ignore[method-assign]
    assert compact(memory, keys, ["ann"], watermark=0, now=clock.now) == 1
    record = record_of(memory, keys, "ann")
    assert record.shown["bea"].times == 500
    assert "eva" in record.edges


async def test_a_thousand_impressions_are_bounded_and_end(
    store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
) -> None:
    batch = [Event(EventKind.IMPRESSION, "ann", f"user-{number}") for number in range(3 * MOST_SHOWN)]
    await write_events(store, keys, batch, clock=clock)
    compact(memory, keys, ["ann"], watermark=0, now=clock.now)
    assert len(record_of(memory, keys, "ann").shown) == MOST_SHOWN
    assert len(memory.get(keys.live("ann")) or b"") < 32 * MOST_SHOWN
    clock.now += (SHOWN_S + 1) * 10**6
    assert sweep(memory, keys, watermark=1, now=clock.now) == 1
    assert memory.get(keys.live("ann")) is None
    assert list(people_with_records(memory, keys)) == []


async def test_a_sweep_leaves_what_some_version_lacks_and_nothing_else(
    store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
) -> None:
    await write_events(store, keys, [Event(EventKind.BLOCK, "ann", "bea")], clock=clock)
    await write_profile(store, keys, "eva", {"company": "Acme"}, clock=clock)
    watermark, clock.now = clock.now + 10, clock.now + 20
    await write_events(store, keys, [Event(EventKind.BLOCK, "cid", "bea")], clock=clock)
    await write_profile(store, keys, "dan", {"company": "Acme"}, clock=clock)
    sweep(memory, keys, watermark=watermark, now=clock.now)
    assert sorted(people_with_records(memory, keys)) == ["bea", "cid", "dan"]
    assert set(record_of(memory, keys, "bea").edges) == {"cid"}
    assert memory.get(keys.live_profile("eva")) is None
    assert LiveProfile.unpack(memory.get(keys.live_profile("dan"))).columns.keys() == {"company"}


async def test_a_damaged_record_is_noted_and_the_others_are_merged(
    store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
) -> None:
    for viewer in ("ann", "cid"):
        await write_events(store, keys, [Event(EventKind.IMPRESSION, viewer, "bea")] * 500, clock=clock)
    memory.set(keys.live("ann"), (memory.get(keys.live("ann")) or b"")[:-1])
    assert compact(memory, keys, ["ann", "cid"], watermark=0, now=clock.now) == 1
    assert memory.members(keys.damaged) == {b"ann"}


async def test_records_of_an_earlier_release_are_found(
    store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
) -> None:
    await write_events(store, keys, [Event(EventKind.BLOCK, "ann", "bea")], clock=clock)
    memory.delete([keys.people(shard_of("ann")), keys.people(shard_of("bea"))])
    index_people(memory, keys)
    assert sorted(people_with_records(memory, keys)) == ["ann", "bea"]
    memory.delete([keys.people(shard_of("ann"))])
    index_people(memory, keys)
    assert sorted(people_with_records(memory, keys)) == ["bea"], "it walks all keys once"


async def test_the_end_of_a_large_journal_stays_behind_a_note_of_what_was_merged(
    store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
) -> None:
    key = keys.live("ann")
    kinds = (EventKind.BLOCK, EventKind.UNBLOCK)
    batch = [Event(kinds[number // 1_000 % 2], "ann", f"user-{number % 1_000}") for number in range(6_000)]
    for _ in range(2):
        await write_events(store, keys, batch, clock=clock)
        packed, before = memory.get(key) or b"", record_of(memory, keys, "ann")
        assert compact(memory, keys, ["ann"], watermark=0, now=clock.now, only_long=False) == 1
        merged = memory.get(key) or b""
        note = merged_from(merged, base_length(merged))
        assert note is not None
        revision, length, rest = note
        assert revision == revision_of(packed)[0]
        assert merged[rest:] == packed[length:], "whoever resolved at least so much goes on from there"
        assert 0 < len(merged) - rest <= TAIL_BYTES
        assert record_of(memory, keys, "ann").edges == before.edges
    # what is dropped, nobody may go on with
    assert compact(memory, keys, ["ann"], watermark=clock.now, now=clock.now, only_long=False) == 1
    merged = memory.get(key) or b""
    assert base_length(merged) == len(merged)
