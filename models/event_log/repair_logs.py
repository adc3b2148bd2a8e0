"""Repairs the hidden log and the event log where entries do not read back; their bytes stay with SetAside."""

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from models.errors import StoreUnavailableError
from models.event_log.log_consumer import change_of
from models.event_log.log_entries import decoded
from models.event_log.lost_entries import lost_entries
from models.event_log.repair import all_entries
from models.event_log.set_aside import SetAside, name_in_hidden_log, shard_of_name
from models.live_state.erased_ids import erased_among_blocking, name_of_blocking
from models.live_state.flag_change import LATEST_US, FlagChange, read_change
from models.live_state.retention import read_watermark_blocking
from models.live_state.timestamps import take_timestamp_blocking
from models.live_state.visibility import READ_AT_ONCE, HiddenSet, append_change_blocking, number_of
from models.store.keys import Keys, shard_of
from models.store.protocol import STREAM_START, SyncStore
from models.store.transaction import Append, Commit
from models.system.clock import now_us

ATTEMPTS = 20


def unread_changes(store: SyncStore, keys: Keys) -> list[str]:
    """The positions of the entries of the hidden log that do not read back."""
    return list(_read_hidden_log(store, keys)[1])


def repair_hidden_log(store: SyncStore, keys: Keys, home: Path) -> int:
    """Puts what the event log says in the place of entries that do not read back; returns how many there were.

    Nobody is shown meanwhile who was hidden. Whose changes the event log does not have stays hidden. All processes then
    read the hidden log anew. May be interrupted, and run again. Raises StoreError, ArtefactError if the archive of this
    home lacks archived entries, and DiskFullError; then the entries stay as they are.
    """
    readable, unread = _read_hidden_log(store, keys)
    if not unread:
        return 0
    set_aside = SetAside(home)
    for position, content in unread.items():
        set_aside.keep(name_in_hidden_log(position), content)
    _have_it_read_anew(store, keys)  # else a process would go on from the entries that follow
    # what the event log has and the readable entries do not
    known, watermark = set[str](), read_watermark_blocking(store, keys)
    for entry in all_entries(store, keys, home):
        change = change_of(entry)
        if change is not None:
            known.add(change.user_id)
            if change.timestamp_us > watermark and not readable.knows(change):
                append_change_blocking(store, keys, change)
                readable.add(change)
    # whom the unreadable entries name and the event log does not
    presumed = [read_change(content)[0] for content in unread.values()]
    for change in presumed:
        if change is not None and change.user_id not in known:
            _keep_hidden(store, keys, change)
    store.stream_delete(keys.hidden_log, list(unread))
    _have_it_read_anew(store, keys)
    return len(unread)


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of the entries of the event log that were set aside."""

    read: int
    """this release reads them: they are in the log"""
    rebuilt: int
    """entries that live records had and the log did not: they are in the log, and the bytes stay in their files"""
    left: list[Path]
    """the files of those that are still set aside"""


def restore_set_aside(store: SyncStore, keys: Keys, home: Path) -> Restored:
    """Puts entries of the event log that were set aside back, as they are or from the live records of their shard.

    One whose file was deleted is given up. May be interrupted, and run again. Raises StoreError, and ArtefactError if
    the archive of this home lacks archived entries.
    """
    set_aside, read = SetAside(home), 0
    left: dict[int, list[str]] = defaultdict(list)
    for name in sorted(member.decode() for member in store.members(keys.set_aside)):
        content = set_aside.read(name)
        entry = None if content is None else decoded(content)
        if content is not None and entry is None:
            left[shard_of_name(name)].append(name)
            continue
        if content is not None and entry is not None:
            _append(store, keys, shard_of(entry.user_id), content)
            read += 1
        store.members_remove(keys.set_aside, [name.encode()])
        set_aside.remove(name)
    # what only live records have by now
    lost = lost_entries(store, keys, home, left) if left else []
    for entry in lost:
        _append(store, keys, shard_of(entry.user_id), entry.encode())
    found = Counter(shard_of(entry.user_id) for entry in lost)
    for shard in [shard for shard, names in left.items() if found[shard] >= len(names)]:
        store.members_remove(keys.set_aside, [name.encode() for name in left.pop(shard)])
    return Restored(read, len(lost), [set_aside.directory / name for names in left.values() for name in names])


def _append(store: SyncStore, keys: Keys, shard: int, content: bytes) -> None:
    store.commit([Commit(appends=[Append(keys.log(shard), content)])])


def _read_hidden_log(store: SyncStore, keys: Keys) -> tuple[HiddenSet, dict[str, bytes]]:
    """The changes of the entries that read back, and the other entries by position."""
    readable, unread, position = HiddenSet(), dict[str, bytes](), STREAM_START
    while entries := store.stream_read(keys.hidden_log, position, READ_AT_ONCE):
        for position, entry in entries:
            change, is_whole = read_change(entry)
            if is_whole and change is not None:
                readable.add(change)
            else:
                unread[position] = entry
    return readable, unread


def _keep_hidden(store: SyncStore, keys: Keys, change: FlagChange) -> None:
    """Has a user stay hidden, or erased as long as the erasure is not done."""
    erased = erased_among_blocking(store, keys, [change.user_id]).get(change.user_id)
    if erased is not None:
        if name_of_blocking(store, keys, change.user_id).encode() in store.members(keys.erasures):
            append_change_blocking(store, keys, FlagChange(change.user_id, erased, erased=True))
        return
    is_known = change.timestamp_us < LATEST_US
    timestamp_us = change.timestamp_us if is_known else take_timestamp_blocking(store, keys, now=now_us())
    append_change_blocking(store, keys, FlagChange(change.user_id, timestamp_us, change.flags))


def _have_it_read_anew(store: SyncStore, keys: Keys) -> None:
    """Sets a head that no entry follows on, so that every process reads the hidden log from the start."""
    for _ in range(ATTEMPTS):
        head = store.get(keys.hidden_epoch)
        anew = b"%020d:%b" % (number_of(head or b"") + 1, token_hex(8).encode())
        if store.compare_and_set(keys.hidden_epoch, head, anew):
            return
    raise StoreUnavailableError("The hidden log changes all the time; try again.")
