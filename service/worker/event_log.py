"""The worker's part in the event log: repairs what a crash left, queues users for new candidates, archives."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress

from models.candidate_refresh.refresh_queue import needs_refresh, queue_people
from models.contacts.matching import Matcher
from models.errors import StoreError
from models.event_log.archive.archive import Archive
from models.event_log.event import CONTACTS, ERASE, Entry
from models.event_log.log_consumer import LogConsumer
from models.publishing.canary_record import kept_for_canary
from models.publishing.pointer import read_pointer
from models.store.keys import Keys
from models.store.protocol import STREAM_START, SyncStore
from models.store.store_clock import StoreClock
from service.worker.contact import Contact
from service.worker.housekeeping import Housekeeper
from service.worker.shard_leases import ShardLeases

POLL_S = 0.05
"""pause after a round in which there was something to process"""
WAIT_S = 0.5
"""how long a round waits for entries; leases are renewed, and a stop is noticed, after that"""
HEAD_START_S = 5.0
"""the user who acted is queued ahead of the other one by so much: the former is looking at their list"""
PAUSE_S = 1.0
"""pause of a shard whose log could not be processed"""
PART = "log"


class LogWorker:
    """Processes the logs of the shards that it holds; lives in a thread of its own from `run` to the stop event.

    Users are queued before the position in the log advances: a worker that dies may queue them twice, but never skips
    them.
    """

    def __init__(
        self,
        store: SyncStore,
        keys: Keys,
        archive: Archive,
        leases: ShardLeases,
        housekeeper: Housekeeper,
        contact: Contact | None = None,
        queued: Callable[[], None] = lambda: None,
    ) -> None:
        """`queued` is called after users were queued."""
        self.entries = Counter[str]()
        """entries processed since the worker started, by kind"""
        self.faults = 0
        self._store, self._keys, self._leases, self._queued = store, keys, leases, queued
        self._housekeeper = housekeeper
        self._contact = Contact() if contact is None else contact
        self._clock = StoreClock(store)
        self._matcher = Matcher(store, keys)
        self._consumer = LogConsumer(store, keys, archive, self._on_entries)
        self._begun: set[int] = set()
        """shards whose logs were looked at since they are held"""
        self._paused: dict[int, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Works until the stop event, then releases the shards."""
        while not stop.is_set():
            faults = self.faults
            try:
                busy = self.run_once(WAIT_S)
            except Exception as error:  # the thread must survive for the next round
                self._contact.failed(PART, "log_waits", error)
                stop.wait(PAUSE_S)
                continue
            if faults == self.faults:
                self._contact.worked(PART)
            stop.wait(POLL_S if busy else 0.0)
        with suppress(StoreError):  # they are taken over when this worker's report has expired
            self._leases.release()

    def run_once(self, wait_s: float = 0.0) -> int:
        """Waits for entries of the shards held and processes some; returns how many. Only a failing shard pauses."""
        processed = 0
        for shard in self._waiting(wait_s):
            part = f"{PART} of shard {shard}"
            try:
                processed += self._consumer.run_once(shard)
                self._begun.add(shard)
                self._contact.worked(part)
            except Exception as error:  # a full disk, or a bug: the log keeps what is not archived
                self.faults += 1
                self._paused[shard] = time.monotonic() + PAUSE_S
                self._contact.failed(PART if isinstance(error, StoreError) else part, "shard_not_processed", error)
        return processed

    def waiting(self) -> int:
        """Entries in the logs of the shards held."""
        return sum(self._store.stream_length(self._keys.log(shard)) for shard in self._leases.held)

    def _waiting(self, wait_s: float) -> list[int]:
        """The shards to process: those just taken over, else those with entries, for which it waits up to `wait_s`."""
        shards = self._leases.shards()
        self._begun.intersection_update(shards)
        shards = [shard for shard in shards if self._paused.get(shard, 0.0) <= time.monotonic()]
        if taken := [shard for shard in shards if shard not in self._begun]:
            return taken
        if not shards:
            time.sleep(wait_s)
            return []
        archived = self._store.get_many([self._keys.archived(shard) for shard in shards])
        after = {
            self._keys.log(shard): STREAM_START if position is None else position.decode()
            for shard, position in zip(shards, archived, strict=True)
        }
        found = self._store.streams_wait(after, wait_s)
        return [shard for shard in shards if self._keys.log(shard) in found]

    def _on_entries(self, entries: Sequence[Entry]) -> None:
        """Counts entries, drops what waits for erased users, and queues users for new candidates."""
        self.entries.update(entry.kind for entry in entries)
        if erased := {entry.user_id for entry in entries if entry.kind == ERASE}:
            self._drop_erased(erased)
        if timestamps_us := needs_refresh(entries):
            actors = {entry.user_id for entry in entries}
            first = {person: timestamp_us for person, timestamp_us in timestamps_us.items() if person in actors}
            others = {person: timestamp_us for person, timestamp_us in timestamps_us.items() if person not in actors}
            self._queue(first, HEAD_START_S)
            self._queue(others)
        self._housekeeper.merge(entries)
        # last, since an address book of thousands takes seconds; those erased are removed from the index
        if uploads := {one.user_id: one.timestamp_us for one in entries if one.kind in (CONTACTS, ERASE)}:
            # queued before too: a worker that dies in the middle leaves nobody with candidates of former contacts
            having = set(self._matcher.having(one for one in uploads if one not in erased))
            self._queue({one: at for one, at in uploads.items() if one in having})
            self._queue(self._matcher.match_all(uploads))

    def _queue(self, timestamps_us: Mapping[str, int], head_start_s: float = 0.0) -> None:
        """Queues users who changed at these timestamps for new candidates, and notes that for the next version."""
        if timestamps_us:
            self._store.timestamps_raise(self._keys.touched, timestamps_us)
            queue_people(self._store, self._keys, timestamps_us, self._clock.now_s() - head_start_s)
            self._queued()

    def _drop_erased(self, people: Collection[str]) -> None:
        """Drops erased users from the touched set, and their newcomer records in the served versions."""
        self._store.timestamps_remove(self._keys.touched, sorted(people))
        pointer = read_pointer(self._store, keys=self._keys)
        lasting = {*(pointer.lasting if pointer is not None else ()), *kept_for_canary(self._store, self._keys)}
        self._store.delete(self._keys.newcomer(version, person) for version in lasting for person in people)
        for version in lasting:
            self._store.members_remove(self._keys.newcomers(version), [person.encode() for person in people])
