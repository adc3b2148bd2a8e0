"""A damaged live record is rebuilt as it was from the log and its archive."""

from pathlib import Path
from typing import Any

import pytest

from models.event_log.archive.archive import Archive
from models.event_log.event import Event
from models.event_log.log_consumer import LogConsumer
from models.event_log.repair import damaged_people, repair
from models.event_log.write_events import write_events
from models.event_log.write_profile import write_erasure, write_profile
from models.live_state.profile_changes import LiveProfile
from models.live_state.user_record import LiveRecord
from models.schema.event_kinds import EventKind
from models.store.keys import SHARDS, Keys
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

pytestmark = pytest.mark.anyio
K = EventKind


async def test_it_is_as_it_was(
    store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any, tmp_path: Path
) -> None:
    first = [Event(K.BLOCK, "bea", "ann"), Event(K.IMPRESSION, "ann", "cid"), Event(K.IMPRESSION, "ann", "cid")]
    await write_events(store, keys, first, clock=clock)
    await write_profile(store, keys, "ann", {"company": "Acme", "discoverable": False}, clock=clock)
    consumer = LogConsumer(memory, keys, Archive(tmp_path))
    for shard in range(SHARDS):
        consumer.run_once(shard)
    clock.now += 1000
    later = [Event(K.CONNECT, "ann", "dan"), Event(K.DISMISS, "eva", "ann"), Event(K.CLICK, "ann", "eva")]
    await write_events(store, keys, later, clock=clock)
    before, profile = LiveRecord.unpack(memory.get(keys.live("ann"))), memory.get(keys.live_profile("ann"))
    for damaged in (b"\x01", b"garbage", (memory.get(keys.live("ann")) or b"")[:-3], None):
        memory.delete([keys.live("ann")])
        if damaged is not None:
            memory.set(keys.live("ann"), damaged)
        memory.members_add(keys.damaged, [b"ann"])
        assert repair(memory, keys, tmp_path, damaged_people(memory, keys)) == {"ann": 7}
        after = LiveRecord.unpack(memory.get(keys.live("ann")))
        assert (after.edges, after.shown, after.flags) == (before.edges, before.shown, before.flags)
        assert (after.profile, after.graph_changed_at) == (before.profile, before.graph_changed_at)
        assert LiveProfile.unpack(memory.get(keys.live_profile("ann"))) == LiveProfile.unpack(profile)
        assert damaged_people(memory, keys) == []


async def test_who_was_erased_stays_so(
    store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any, tmp_path: Path
) -> None:
    await write_events(store, keys, [Event(K.BLOCK, "ann", "bea")], clock=clock)
    erased = await write_erasure(store, keys, "ann", clock=clock)
    await write_profile(store, keys, "ann", {"company": "Bolt"}, clock=clock)
    memory.set(keys.live("ann"), b"garbage")
    repair(memory, keys, tmp_path, ["ann"])
    record = LiveRecord.unpack(memory.get(keys.live("ann")))
    assert (record.erased, record.edges, record.profile > erased) == (erased, {}, True)
