"""Consumes the event log in the worker: completes writes that a crash interrupted, and archives the entries.

Each shard is consumed in the order of its log. Every step may be repeated: after a crash anywhere the next worker
consumes the last entries again.
"""

from collections.abc import Callable, Sequence

from models.errors import StoreUnavailableError
from models.event_log.archive import Archive
from models.event_log.event import ERASE, PROFILE, Entry
from models.event_log.reciprocal_update import ReciprocalUpdate, by_person, commits_of
from models.event_log.write_profile import flags_changed
from models.live_state.erasure_receipts import open_erasure_blocking
from models.live_state.user_record import LiveRecord
from models.live_state.visibility import (
    FlagChange,
    HiddenSet,
    append_change_blocking,
    follow_blocking,
)
from models.store.keys import Keys
from models.store.protocol import STREAM_START, SyncStore
from models.system.clock import now_us

ENTRIES_AT_ONCE = 1000
ATTEMPTS = 20
"""how often a record is read again because of concurrent writes"""

OnEntries = Callable[[Sequence[Entry]], None]
"""receives entries that are in effect, at least once, before they are archived"""


class LogConsumer:
    """Completes and archives the logs of a store. A second consumer of the same shard does no harm."""

    def __init__(
        self,
        store: SyncStore,
        keys: Keys,
        archive: Archive,
        on_entries: OnEntries = lambda _: None,
        *,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._store, self._keys, self._archive, self._on_entries, self._clock = store, keys, archive, on_entries, clock
        self._hidden = HiddenSet()
        self._begun: set[int] = set()

    def run_once(self, shard: int, *, watermark: int = 0) -> int:
        """Consumes the next entries of a shard; returns how many. Zero: its log is empty.

        `watermark` as in models.event_log.write_events.write_events. Raises StoreError, and ArtefactError if the
        archive of this home lacks entries that were archived before.
        """
        keys, store = self._keys, self._store
        archived = store.get(keys.archived(shard))
        position = STREAM_START if archived is None else archived.decode()
        if archived is not None and shard not in self._begun:  # a worker may have died before it trimmed the log
            store.stream_trim(keys.log(shard), position)
        self._begun.add(shard)
        read = store.stream_read(keys.log(shard), position, ENTRIES_AT_ONCE)
        if not read:
            return 0
        entries = [Entry.decode(entry) for _, entry in read]
        self._write_reciprocal_updates(
            [update for entry in entries if (update := ReciprocalUpdate.of(entry))], watermark
        )
        self._append_flag_changes(entries)
        self._on_entries(entries)
        self._archive.append(shard, read, position)
        last = read[-1][0]
        if store.compare_and_set(keys.archived(shard), archived, last.encode()):
            store.stream_trim(keys.log(shard), last)
        return len(read)

    def _write_reciprocal_updates(self, reciprocal_updates: Sequence[ReciprocalUpdate], watermark: int) -> None:
        pending = by_person(reciprocal_updates)
        for _ in range(ATTEMPTS):
            people = list(pending)
            packed = self._store.get_many([self._keys.live(person) for person in people])
            records = {person: LiveRecord.unpack(record) for person, record in zip(people, packed, strict=True)}
            commits = commits_of(self._keys, pending, records, watermark=watermark, now=self._clock())
            applied = self._store.commit(list(commits.values()))
            pending = {person: pending[person] for person, done in zip(commits, applied, strict=True) if not done}
            if not pending:
                return
        raise StoreUnavailableError("Concurrent writes keep changing the live records of the other users.")

    def _append_flag_changes(self, entries: Sequence[Entry]) -> None:
        """Writes flag changes and erasures to the hidden log if their writer died before it did."""
        changes = [change for entry in entries if (change := _change(entry)) is not None]
        if not changes:
            return
        follow_blocking(self._store, self._keys, self._hidden)
        for change in changes:
            if not self._hidden.knows(change):
                append_change_blocking(self._store, self._keys, change)
            if change.erased:
                open_erasure_blocking(self._store, self._keys, change.user_id, change.timestamp_us)


def _change(entry: Entry) -> FlagChange | None:
    """The change of its user's flags that an entry makes; None if it makes none."""
    if entry.kind == ERASE:
        return FlagChange(entry.user_id, entry.timestamp_us, erased=True)
    if entry.kind != PROFILE or entry.columns is None:
        return None
    columns = entry.columns
    if entry.announced is not None:
        columns = {column: columns.get(column) for column in entry.announced}
    change = flags_changed(entry.user_id, columns, entry.timestamp_us)
    return change if change.flags else None
