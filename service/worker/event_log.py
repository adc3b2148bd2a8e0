"""The worker's way through the event log: mends what a crash left, queues who needs other candidates, archives."""

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
"""the same where the last round found nothing"""
HEAD_START_S = 5.0
"""by so much who acted goes before whom it was done to: she is looking at her list"""
PAUSE_S = 1.0
"""pause of a shard whose log could not be worked off"""


class LogWorker:
    """Works off the logs of the shards that it holds; lives in a thread of its own from `run` to the stop event.

    People are queued before the log moves on, so that a worker that dies queues them twice and never not at all.
    """

    def __init__(self, store: SyncStore, keys: Keys, archive: Archive, leases: ShardLeases) -> None:
        self.entries = Counter[str]()
        """entries heard since the worker began, by kind"""
        self.faults = 0
        self._store, self._keys, self._leases = store, keys, leases
        self._mender = LogConsumer(store, keys, archive, self._heard)
        self._paused: dict[int, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Works until the stop event, then lets the shards go."""
        while not stop.is_set():
            try:
                busy = self.run_once()
            except (PymkError, OSError) as error:
                structlog.get_logger().warning("log_waits", error=str(error))
                stop.wait(PAUSE_S)
                continue
            except Exception as error:  # the next turn must find the thread alive
                structlog.get_logger().error("log_waits", exc_info=error)
                stop.wait(PAUSE_S)
                continue
            stop.wait(POLL_S if busy else IDLE_POLL_S)
        self._leases.release()

    def run_once(self) -> int:
        """One round over the shards; how many entries it worked off. A shard at fault pauses alone."""
        worked, watermark = 0, read_watermark_blocking(self._store, self._keys)
        for shard in self._leases.shards():
            if self._paused.get(shard, 0.0) > time.monotonic():
                continue
            try:
                worked += self._mender.run_once(shard, watermark=watermark)
            except Exception as error:  # a full disk, or a fault of ours: the log keeps what is not archived
                self.faults += 1
                self._paused[shard] = time.monotonic() + PAUSE_S
                why = {"error": str(error)} if isinstance(error, (PymkError, OSError)) else {"exc_info": error}
                structlog.get_logger().error("shard_not_worked_off", shard=shard, **why)
        return worked

    def waiting(self) -> int:
        """Entries in the logs of the shards held."""
        return sum(self._store.stream_length(self._keys.log(shard)) for shard in self._leases.held)

    def _heard(self, entries: Sequence[Entry]) -> None:
        self.entries.update(entry.kind for entry in entries)
        if erased := {entry.user_id for entry in entries if entry.kind == ERASE}:
            self._forget(erased)
        if timestamps_us := needs_refresh(entries):
            self._store.timestamps_raise(self._keys.touched, timestamps_us)
            acting = {entry.user_id for entry in entries}
            first = {person: timestamp_us for person, timestamp_us in timestamps_us.items() if person in acting}
            others = {person: timestamp_us for person, timestamp_us in timestamps_us.items() if person not in acting}
            queue_people(self._store, self._keys, first, time.time() - HEAD_START_S)
            queue_people(self._store, self._keys, others)

    def _forget(self, people: Collection[str]) -> None:
        """Drops what waits for erased people, and what the versions served hold of them as newcomers."""
        self._store.timestamps_remove(self._keys.touched, sorted(people))
        pointer = read_pointer(self._store, keys=self._keys)
        lasting = pointer.lasting if pointer is not None else ()
        self._store.delete(self._keys.newcomer(version, person) for version in lasting for person in people)
