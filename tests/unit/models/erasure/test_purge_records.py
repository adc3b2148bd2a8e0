"""No record keeps anything of an erased user, and the watermark only rises."""

from typing import Any

import pytest

from models.erasure.purge_records import purge_records
from models.event_log.event import Event
from models.event_log.write_events import write_events
from models.event_log.write_profile import write_erasure, write_profile
from models.live_state.retention import raise_watermark, read_watermark_blocking, watermark_of
from models.live_state.user_record import LiveRecord
from models.schema.event_kinds import EventKind
from models.store.keys import Keys
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

pytestmark = pytest.mark.anyio


async def test_records_of_others_forget_the_erased_and_not_who_came_back(
    store: AsyncMemoryStore, memory: MemoryStore, keys: Keys, clock: Any
) -> None:
    people = [f"u:{number}:u:" for number in range(40)]
    batch = [Event(EventKind.BLOCK, person, "eve") for person in people[:30]]
    batch += [Event(EventKind.IMPRESSION, person, "eve") for person in people[20:]]
    batch += [Event(EventKind.BLOCK, person, "steve") for person in people]
    await write_events(store, keys, batch, clock=clock)
    erased = await write_erasure(store, keys, "eve", clock=clock)
    await write_profile(store, keys, "eve", {"company": "Acme"}, clock=clock)
    clock.now += 2_000_000
    await write_events(store, keys, [Event(EventKind.DISMISS, people[0], "eve")], clock=clock)
    assert purge_records(memory, keys, {"eve": erased}) == 40
    assert purge_records(memory, keys, {"eve": erased}) == 0
    records = {person: LiveRecord.unpack(memory.get(keys.live(person))) for person in people}
    assert [person for person, record in records.items() if "eve" in record.edges] == [people[0]]
    assert set(records[people[0]].edges["eve"]) == {EventKind.DISMISS}
    assert not any("eve" in record.shown for record in records.values())
    assert all("steve" in record.edges for record in records.values())


def test_the_watermark_only_rises(memory: MemoryStore, keys: Keys) -> None:
    assert watermark_of([]) == read_watermark_blocking(memory, keys) == 0
    assert raise_watermark(memory, keys, 5) == 5
    assert raise_watermark(memory, keys, 3) == 5
    assert raise_watermark(memory, keys, 1_790_000_000_000_000) == 1_790_000_000_000_000
    assert read_watermark_blocking(memory, keys) == 1_790_000_000_000_000
    memory.set(keys.watermark, b"?")
    assert raise_watermark(memory, keys, 7) == read_watermark_blocking(memory, keys) == 7, "written anew"
