"""The identities of the events that were acknowledged within the last 48 hours: a repeated event has no effect.

They are kept by shard and day, so that a day is forgotten as a whole.
"""

import hashlib
import struct
from collections.abc import Iterator

from models.event_log.event import Event
from models.store.keys import Keys, shard_of
from models.store.protocol import SyncStore
from models.store.transaction import ONCE_BYTES, Once
from models.system.clock import MICROSECONDS

DAYS = 3
"""calendar days in which an event is looked for: today, and the two that 48 hours reach back to"""
_FORGOTTEN_DAYS = 30
"""so many days before those are deleted: a worker may have been away"""
_DAY_US = 86_400 * MICROSECONDS


def identities(event: Event) -> tuple[bytes, ...]:
    """What an event is recognised by, ONCE_BYTES each.

    Its viewer and `event_id`, if it has one; and viewer, kind, other user and `at`, if it has that. Two events that are
    equal in either are the same.
    """
    found = []
    if event.event_id is not None:
        found.append(b"\x00" + event.event_id.encode())
    if event.at is not None:
        other = event.other_id.encode()
        found.append(b"\x01" + struct.pack("<Bqi", event.kind, event.at, len(other)) + other)
    viewer = b"\xff" + event.user_id.encode()
    return tuple(hashlib.blake2b(identity + viewer, digest_size=ONCE_BYTES).digest() for identity in found)


def once(keys: Keys, event: Event, timestamp_us: int) -> tuple[Once, ...]:
    """The conditions under which an event is new at a timestamp."""
    shard, today = shard_of(event.user_id), timestamp_us // _DAY_US
    days = tuple(keys.accepted(shard, today - ago) for ago in range(DAYS))
    return tuple(Once(days, identity) for identity in identities(event))


def forget_blocking(store: SyncStore, keys: Keys, shard: int, now: int) -> int:
    """Deletes the days of a shard in which no event is looked for any more; returns how many there were."""
    return store.delete(_over(keys, shard, now))


def _over(keys: Keys, shard: int, now: int) -> Iterator[str]:
    today = now // _DAY_US
    return (keys.accepted(shard, today - DAYS - ago) for ago in range(_FORGOTTEN_DAYS))
