"""Long records are merged as entries come, and all of them once after the watermark has risen."""

from pathlib import Path

import pytest

from models.event_log.archive.archive import Archive
from models.event_log.event import Event
from models.event_log.write_events import write_events
from models.live_state.compaction import JOURNAL_BYTES
from models.live_state.retention import raise_watermark
from models.live_state.user_record import LiveRecord
from models.schema.event_kinds import EventKind
from models.store.keys import Keys
from models.system.clock import now_us
from service.worker.event_log import LogWorker
from service.worker.housekeeping import Housekeeper
from service.worker.shard_leases import ShardLeases
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

pytestmark = pytest.mark.anyio
KEYS = Keys("pymk")


async def test_records_are_merged_with_the_log_and_swept_with_the_watermark(tmp_path: Path) -> None:
    store = MemoryStore()
    housekeeper = Housekeeper(store, KEYS, lambda: True)
    worker = LogWorker(store, KEYS, Archive(tmp_path), ShardLeases(store, KEYS, "one"), housekeeper)
    batch = [Event(EventKind.IMPRESSION, "ann", "bea")] * 500 + [Event(EventKind.BLOCK, "cid", "ann")]
    await write_events(AsyncMemoryStore(store), KEYS, batch)
    assert store.lengths([KEYS.live("ann")])[0] > JOURNAL_BYTES
    while worker.run_once():
        pass
    assert store.lengths([KEYS.live("ann")])[0] < 300
    assert LiveRecord.unpack(store.get(KEYS.live("ann"))).shown["bea"].times == 500
    raise_watermark(store, KEYS, now_us() + 10**9)
    Housekeeper(store, KEYS, lambda: False).run_once()
    assert store.get(KEYS.live("cid")) is not None, "another worker sweeps"
    housekeeper.run_once()
    assert store.get(KEYS.live("cid")) is None
    assert LiveRecord.unpack(store.get(KEYS.live("ann"))).edges == {}
    assert int(store.get(KEYS.swept) or 0) > now_us()
