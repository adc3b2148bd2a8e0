"""The worker's part in keeping live state small: merges journals, sweeps records, forgets old identities of events
and records that are full no more.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import structlog

from models.errors import CorruptRecordError
from models.event_log.deduplication import Generations
from models.event_log.event import Entry
from models.event_log.reciprocal_update import recheck_full
from models.live_state.compaction import JOURNAL_BYTES, compact, index_people, sweep
from models.live_state.retention import read_watermark_blocking
from models.store.decimals import read_decimal
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system.clock import now_us
from service.worker.contact import Contact
from service.worker.rounds import repeat

EVERY_S = 60.0
"""how often what is old is looked for"""
PART = "housekeeping"
LENGTHS_HELD = 100_000
"""users whose records this worker remembers the length of"""
ASKED_AT_ONCE = 1000


class Housekeeper:
    """Merges the records of users whom entries of the log concern, and sweeps all of them when the watermark rises."""

    def __init__(
        self,
        store: SyncStore,
        keys: Keys,
        is_mine: Callable[[], bool],
        clock: Callable[[], int] = now_us,
        monotonic: Callable[[], float] = time.monotonic,
        contact: Contact | None = None,
    ) -> None:
        """`is_mine` says whether this worker sweeps; `monotonic` gives seconds of a clock that is never set."""
        self._store, self._keys, self._is_mine, self._clock = store, keys, is_mine, clock
        self._contact = Contact() if contact is None else contact
        self._generations = Generations(store, keys, monotonic)
        self._merged: OrderedDict[str, int] = OrderedDict()
        """the length of records that were looked at"""

    def run(self, stop: threading.Event) -> None:
        """Works until the stop event."""
        repeat(stop, self._round, self._contact, PART, "housekeeping_waits", every_s=EVERY_S)

    def _round(self) -> float:
        self.run_once()
        return EVERY_S

    def run_once(self) -> None:
        """Forgets what duplicates are no longer told by, and records that are full no more; merges all records once
        after the watermark has risen.
        """
        if not self._is_mine():
            self._generations.pause()
            return
        store, keys, now = self._store, self._keys, self._clock()
        self._generations.run_once()
        index_people(store, keys)
        recheck_full(store, keys)
        watermark, swept = read_watermark_blocking(store, keys), read_decimal(store.get(keys.swept) or b"") or 0
        if watermark > swept:
            changed = sweep(store, keys, watermark=watermark, now=now)
            store.set(keys.swept, b"%d" % watermark)
            structlog.get_logger().info("live_records_swept", changed=changed)

    def merge(self, entries: Iterable[Entry]) -> None:
        """Merges the records that have grown long by these entries and those before."""
        people = iter({user_id for entry in entries for user_id in (entry.user_id, entry.other_id) if user_id})
        while batch := list(islice(people, ASKED_AT_ONCE)):
            self._merge(batch)

    def _merge(self, people: Sequence[str]) -> None:
        lengths = self._store.lengths([self._keys.live(person) for person in people])
        long = [
            person
            for person, length in zip(people, lengths, strict=True)
            if length > 2 * self._merged.get(person, 0) + JOURNAL_BYTES
        ]
        if not long:
            return
        try:
            watermark = read_watermark_blocking(self._store, self._keys)
        except CorruptRecordError as error:  # the records wait, and the log goes on
            structlog.get_logger().error("live_records_not_merged", error=str(error))
            return
        compact(self._store, self._keys, long, watermark=watermark, now=self._clock())
        lengths = self._store.lengths([self._keys.live(person) for person in long])
        self._merged.update(zip(long, lengths, strict=True))
        while len(self._merged) > LENGTHS_HELD:
            self._merged.popitem(last=False)
