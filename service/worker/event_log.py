"""The worker's part in the event log: repairs what a crash left, queues users for new candidates, archives."""

import threading
import time
from collections import Counter
from collections.abc import Collection, Sequence

import structlog

from models.candidate_refresh.refresh_queue import needs_refresh, queue_people
from models.errors import PymkError
from models.event_log.archive import Archive
from models.event_log.event import ERASE, Entry
from models.event_log.log_consumer import LogConsumer
from models.live_state.retention import read_watermark_blocking
from models.publishing.pointer import read_pointer
from models.store.keys import Keys
from models.store.protocol import SyncStore
from service.worker.shard_leases import ShardLeases

POLL_S = 0.05
"""pause between two rounds over the shards"""
IDLE_POLL_S = 0.15
"""the same if the last round found nothing"""
HEAD_START_S = 5.0
"""the user who acted is queued ahead of the other one by so much: the former is looking at their list"""
PAUSE_S = 1.0
"""pause of a shard whose log could not be processed"""


class LogWorker:
    """Processes the logs of the shards that it holds; lives in a thread of its own from `run` to the stop event.

    Users are queued before the position in the log advances: a worker that dies may queue them twice, but never skips
    them.
    """

    def __init__(self, store: SyncStore, keys: Keys, archive: Archive, leases: ShardLeases) -> None:
        self.entries = Counter[str]()
        """entries processed since the worker started, by kind"""
        self.faults = 0
        self._store, self._keys, self._leases = store, keys, leases
        self._consumer = LogConsumer(store, keys, archive, self._on_entries)
        self._paused: dict[int, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Works until the stop event, then releases the shards."""
        while not stop.is_set():
            try:
                busy = self.run_once()
            except (PymkError, OSError) as error:
                structlog.get_logger().warning("log_waits", error=str(error))
                stop.wait(PAUSE_S)
                continue
            except Exception as error:  # the thread must survive for the next round
                structlog.get_logger().error("log_waits", exc_info=error)
                stop.wait(PAUSE_S)
                continue
            stop.wait(POLL_S if busy else IDLE_POLL_S)
        self._leases.release()

    def run_once(self) -> int:
        """One round over the shards; returns the number of processed entries. Only a failing shard pauses."""
        processed, watermark = 0, read_watermark_blocking(self._store, self._keys)
        for shard in self._leases.shards():
            if self._paused.get(shard, 0.0) > time.monotonic():
                continue
            try:
                processed += self._consumer.run_once(shard, watermark=watermark)
            except Exception as error:  # a full disk, or a bug: the log keeps what is not archived
                self.faults += 1
                self._paused[shard] = time.monotonic() + PAUSE_S
                details = {"error": str(error)} if isinstance(error, (PymkError, OSError)) else {"exc_info": error}
                structlog.get_logger().error("shard_not_processed", shard=shard, **details)
        return processed

    def waiting(self) -> int:
        """Entries in the logs of the shards held."""
        return sum(self._store.stream_length(self._keys.log(shard)) for shard in self._leases.held)

    def _on_entries(self, entries: Sequence[Entry]) -> None:
        """Counts entries, drops what waits for erased users, and queues users for new candidates."""
        self.entries.update(entry.kind for entry in entries)
        if erased := {entry.user_id for entry in entries if entry.kind == ERASE}:
            self._drop_erased(erased)
        if timestamps_us := needs_refresh(entries):
            self._store.timestamps_raise(self._keys.touched, timestamps_us)
            actors = {entry.user_id for entry in entries}
            first = {person: timestamp_us for person, timestamp_us in timestamps_us.items() if person in actors}
            others = {person: timestamp_us for person, timestamp_us in timestamps_us.items() if person not in actors}
            queue_people(self._store, self._keys, first, time.time() - HEAD_START_S)
            queue_people(self._store, self._keys, others)

    def _drop_erased(self, people: Collection[str]) -> None:
        """Drops erased users from the touched set, and their newcomer records in the served versions."""
        self._store.timestamps_remove(self._keys.touched, sorted(people))
        pointer = read_pointer(self._store, keys=self._keys)
        lasting = pointer.lasting if pointer is not None else ()
        self._store.delete(self._keys.newcomer(version, person) for version in lasting for person in people)
        for version in lasting:
            self._store.members_remove(self._keys.newcomers(version), [person.encode() for person in people])
