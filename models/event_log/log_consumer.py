"""Consumes the event log in the worker: completes writes that a crash interrupted, and archives the entries.

Each shard is consumed in the order of its log. Every step may be repeated: after a crash anywhere the next worker
consumes the last entries again. An entry that does not read back is set aside, and the log behind it goes on.
"""

from collections.abc import Callable, Sequence

import structlog

from models.event_log.archive.archive import Archive
from models.event_log.archive.line_format import REMOVED
from models.event_log.event import ERASE, PROFILE, Entry
from models.event_log.log_entries import decoded
from models.event_log.reciprocal_update import ReciprocalUpdate, note_full
from models.event_log.set_aside import SetAside, name_in_event_log
from models.event_log.write_profile import flags_changed
from models.live_state.erasure_receipts import open_erasure_blocking
from models.live_state.flag_change import FlagChange
from models.live_state.visibility import (
    HiddenSet,
    append_change_blocking,
    follow_blocking,
)
from models.store.keys import Keys
from models.store.protocol import STREAM_START, SyncStore
from models.store.transaction import Outcome

ENTRIES_AT_ONCE = 1000

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
    ) -> None:
        self._store, self._keys, self._archive, self._on_entries = store, keys, archive, on_entries
        self._set_aside = SetAside(archive.directory.parent)
        self._hidden = HiddenSet()
        self._begun: set[int] = set()

    def run_once(self, shard: int) -> int:
        """Consumes the next entries of a shard; returns how many. Zero: its log is empty.

        Raises StoreError, and ArtefactError if the archive of this home lacks entries that were archived before.
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
        entries, lines = self._readable(shard, read)
        self._write_reciprocal_updates([update for entry in entries if (update := ReciprocalUpdate.of(entry))])
        self._append_flag_changes(entries)
        self._on_entries(entries)
        self._archive.append(shard, lines, position)
        last = read[-1][0]
        if store.compare_and_set(keys.archived(shard), archived, last.encode()):
            store.stream_trim(keys.log(shard), last)
        return len(read)

    def _readable(self, shard: int, read: Sequence[tuple[str, bytes]]) -> tuple[list[Entry], list[tuple[str, bytes]]]:
        """The entries that read back, and the lines to archive. The others are set aside; a position is left of them.

        Raises DiskFullError: none is lost.
        """
        entries, lines, unread = list[Entry](), list[tuple[str, bytes]](), list[bytes]()
        for position, content in read:
            entry = decoded(content)
            if entry is None:
                name = name_in_event_log(shard, position)
                self._set_aside.keep(name, content)
                structlog.get_logger().error("event_log_entry_set_aside", file=str(self._set_aside.directory / name))
                unread.append(name.encode())
            else:
                entries.append(entry)
            lines.append((position, REMOVED if entry is None else content))
        if unread:
            self._store.members_add(self._keys.set_aside, unread)
        return entries, lines

    def _write_reciprocal_updates(self, updates: Sequence[ReciprocalUpdate]) -> None:
        """Writes what the writers of the events did not live to write in the records of the other users."""
        outcomes = self._store.commit([update.commit(self._keys) for update in updates])
        if Outcome.FULL in outcomes:
            pairs = zip(updates, outcomes, strict=True)
            note_full(self._store, self._keys, [one.owner_id for one, outcome in pairs if outcome is Outcome.FULL])

    def _append_flag_changes(self, entries: Sequence[Entry]) -> None:
        """Writes flag changes and erasures to the hidden log if their writer died before it did."""
        changes = [change for entry in entries if (change := change_of(entry)) is not None]
        if not changes:
            return
        follow_blocking(self._store, self._keys, self._hidden)
        for change in changes:
            if not self._hidden.knows(change):
                append_change_blocking(self._store, self._keys, change)
            if change.erased:
                open_erasure_blocking(self._store, self._keys, change.user_id, change.timestamp_us)


def change_of(entry: Entry) -> FlagChange | None:
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
