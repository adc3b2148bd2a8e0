"""Reads the event log in the store: the entries that are not archived yet."""

from collections.abc import Iterator

from models.errors import CorruptRecordError
from models.event_log.event import Entry
from models.store.keys import Keys
from models.store.protocol import STREAM_START, SyncStore

READ_AT_ONCE = 1000


def log_entries(store: SyncStore, keys: Keys, shard: int) -> Iterator[tuple[str, Entry]]:
    """The entries in the log of a shard with their positions, archived or not, without those that do not read back.

    The worker sets the latter aside (models.event_log.set_aside).
    """
    for position, _, entry in raw_entries(store, keys, shard):
        if entry is not None:
            yield position, entry


def raw_entries(store: SyncStore, keys: Keys, shard: int) -> Iterator[tuple[str, bytes, Entry | None]]:
    """The same with the bytes of each; the entry is None if they do not read back."""
    position = STREAM_START
    while read := store.stream_read(keys.log(shard), position, READ_AT_ONCE):
        for position, content in read:
            yield position, content, decoded(content)


def decoded(content: bytes) -> Entry | None:
    """The entry of these bytes; None if they do not read back."""
    try:
        return Entry.decode(content)
    except CorruptRecordError:
        return None
