"""The worker's half of live state: what a crash left undone is done, and the log goes to the archive.

Shard by shard, in the order of the log. Every step may be repeated: a worker that dies anywhere is followed by one that
does the last entries again.
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
"""how often a record that others write meanwhile is read again"""

Heard = Callable[[Sequence[Entry]], None]
"""is told of entries that are in effect, at least once, before they are archived"""


class LogConsumer:
    """Mends and archives the logs of a store; one at a time a shard, and harmless where there are two."""

    def __init__(
        self,
        store: SyncStore,
        keys: Keys,
        archive: Archive,
        heard: Heard = lambda _: None,
        *,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._store, self._keys, self._archive, self._heard, self._clock = store, keys, archive, heard, clock
        self._hidden = HiddenSet()
        self._begun: set[int] = set()

    def run_once(self, shard: int, *, watermark: int = 0) -> int:
        """Works off the next entries of a shard; how many. Zero: its log is empty.

        `watermark` as in models.event_log.write_events.write_events. Raises StoreError, and ArtefactError where the
        archive of this home has not what was archived before.
        """
        keys, store = self._keys, self._store
        held = store.get(keys.archived(shard))
        position = STREAM_START if held is None else held.decode()
        if held is not None and shard not in self._begun:  # whoever died after archiving did not cut the log
            store.stream_trim(keys.log(shard), position)
        self._begun.add(shard)
        read = store.stream_read(keys.log(shard), position, ENTRIES_AT_ONCE)
        if not read:
            return 0
        entries = [Entry.decode(entry) for _, entry in read]
        self._write_reciprocal_updates(
            [update for entry in entries if (update := ReciprocalUpdate.of(entry))], watermark
        )
        self._tell_hidden(entries)
        self._heard(entries)
        self._archive.append(shard, read, position)
        last = read[-1][0]
        if store.compare_and_set(keys.archived(shard), held, last.encode()):
            store.stream_trim(keys.log(shard), last)
        return len(read)

    def _write_reciprocal_updates(self, reciprocal_updates: Sequence[ReciprocalUpdate], watermark: int) -> None:
        waiting = by_person(reciprocal_updates)
        for _ in range(ATTEMPTS):
            people = list(waiting)
            packed = self._store.get_many([self._keys.live(person) for person in people])
            records = {person: LiveRecord.unpack(one) for person, one in zip(people, packed, strict=True)}
            commits = commits_of(self._keys, waiting, records, watermark=watermark, now=self._clock())
            made = self._store.commit(list(commits.values()))
            waiting = {person: waiting[person] for person, one in zip(commits, made, strict=True) if not one}
            if not waiting:
                return
        raise StoreUnavailableError("The live records that are mended are written by others all the time.")

    def _tell_hidden(self, entries: Sequence[Entry]) -> None:
        """Tells everybody of the flags and erasures whose writer died before it did."""
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
    """What an entry does to its person's flags; None where nothing."""
    if entry.kind == ERASE:
        return FlagChange(entry.user_id, entry.timestamp_us, erased=True)
    if entry.kind != PROFILE or entry.columns is None:
        return None
    told = entry.columns if entry.told is None else {one: entry.columns.get(one) for one in entry.told}
    change = flags_changed(entry.user_id, told, entry.timestamp_us)
    return change if change.flags else None
