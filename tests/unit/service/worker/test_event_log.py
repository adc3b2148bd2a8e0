"""A shard whose log cannot be worked off holds up no other, whatever the fault, and loses nothing of its own."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from models.errors import ArtefactError
from models.event_log.archive.archive import Archive
from models.event_log.event import Event
from models.event_log.write_events import write_events
from models.schema.event_kinds import EventKind
from models.store.keys import Keys, shard_of
from models.store.protocol import STREAM_START
from service.worker import event_log
from service.worker.event_log import LogWorker
from service.worker.housekeeping import Housekeeper
from service.worker.shard_leases import ShardLeases
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

pytestmark = pytest.mark.anyio
KEYS = Keys("pymk")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


class Faulty(Archive):
    """Takes nothing of one shard as long as there is a fault."""

    fault: Exception | None = None
    shard = shard_of("ann")

    def append(self, shard: int, entries: Sequence[tuple[str, bytes]], acknowledged: str = STREAM_START) -> int:
        if self.fault is not None and shard == self.shard:
            raise self.fault
        return super().append(shard, entries, acknowledged)


@pytest.mark.parametrize("fault", [ArtefactError("damaged"), OSError("full"), ValueError("a fault of ours")])
async def test_a_shard_at_fault_waits_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    monkeypatch.setattr(event_log, "PAUSE_S", 0.0)
    assert shard_of("ann") != shard_of("bea")
    store, archive = MemoryStore(), Faulty(tmp_path)
    worker = LogWorker(store, KEYS, archive, ShardLeases(store, KEYS, "one"), Housekeeper(store, KEYS, lambda: True))
    await write_events(
        AsyncMemoryStore(store), KEYS, [Event(EventKind.BLOCK, one, "zoe", position=3) for one in ("ann", "bea")]
    )
    archive.fault = fault
    assert (worker.run_once(), worker.faults) == (1, 1)
    assert store.stream_length(KEYS.log(shard_of("ann"))) == 1
    archive.fault = None
    assert (worker.run_once(), worker.faults) == (1, 1)
    assert [entry and entry.position for _, entry in Archive(tmp_path).read(shard_of("ann"))] == [3]
