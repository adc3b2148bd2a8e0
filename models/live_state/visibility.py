"""Changes of users' flags: the hidden log, and the set of its changes that a process holds.

The tables of a version have its flags. Later changes are in one stream for all users, the hidden log. Every change
has an epoch that no other change has, and names the epoch before (SyncStore.chain_append). A process that has read up
to the latest epoch reads nothing until there is another. If what it read is not in the log any more, since the store
came back without its last writes, the next change does not follow on its epoch, and it reads the log from the start.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, NamedTuple

import orjson

from models.errors import CorruptRecordError
from models.schema.columns import Flag
from models.schema.vocabulary import UserId
from models.store.keys import Keys
from models.store.protocol import STREAM_START, AsyncStore, SyncStore

READ_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class FlagChange:
    """The change of a user's flags by one acknowledged write."""

    user_id: UserId
    timestamp_us: int
    """microseconds"""
    flags: Mapping[Flag, bool] = field(default_factory=dict)
    """the changed flags and their values"""
    erased: bool = False
    """the user is hidden in versions whose cut is before the timestamp, whatever the flags are"""

    def encode(self) -> bytes:
        """The entry of the stream, before it has an epoch."""
        flags = {str(flag.name): value for flag, value in self.flags.items()}
        fields = {"user_id": self.user_id, "stamp": self.timestamp_us, "flags": flags, "erased": self.erased}
        return orjson.dumps(fields)

    @classmethod
    def decode(cls, entry: bytes) -> tuple["Link", "FlagChange"]:
        """The place and the change of an entry of the stream. Raises CorruptRecordError if it is none."""
        try:
            decoded = orjson.loads(entry)
            flags = {Flag[name]: bool(value) for name, value in decoded["flags"].items()}
            change = cls(UserId(str(decoded["user_id"])), int(decoded["stamp"]), flags, bool(decoded["erased"]))
            return Link.of(decoded), change
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptRecordError(f"a change of flags cannot be read: {error!r}") from error


class Link(NamedTuple):
    """The place of a change in the hidden log."""

    epoch: bytes
    after: bytes
    """the epoch before; b"" for the first"""

    @classmethod
    def of(cls, decoded: Mapping[str, Any]) -> "Link":
        """The place in a decoded entry. Earlier releases counted epochs as plain numbers."""
        epoch = decoded["epoch"]
        if isinstance(epoch, int):
            return cls(b"%020d" % epoch, b"%020d" % (epoch - 1) if epoch > 1 else b"")
        return cls(epoch.encode(), str(decoded["after"]).encode())


class HiddenSet:
    """All changes of flags up to an epoch; for one thread or loop at a time."""

    def __init__(self) -> None:
        self.epoch = b""
        """up to which it has read; b"": nothing yet"""
        self.position = STREAM_START
        """of the last entry read"""
        self._flags: dict[str, dict[Flag, tuple[int, bool]]] = {}
        self._erased: dict[str, int] = {}

    def reset(self) -> None:
        """Forgets everything, to be read again from the start."""
        self.epoch, self.position, self._flags, self._erased = b"", STREAM_START, {}, {}

    def __len__(self) -> int:
        return len({*self._flags, *self._erased})

    def take(self, entries: Iterable[tuple[str, bytes]]) -> list[FlagChange]:
        """Adds entries of the stream; returns their changes. The later timestamp wins, in any order."""
        changes = []
        for position, entry in entries:
            link, change = FlagChange.decode(entry)
            self._take(change)
            self.epoch, self.position = link.epoch, position
            changes.append(change)
        return changes

    def drop_before(self, watermark: int) -> list[UserId]:
        """Forgets the changes up to a timestamp, which all versions in use include; returns whose are forgotten."""
        for flags in self._flags.values():
            for flag in [flag for flag, (timestamp_us, _) in flags.items() if timestamp_us <= watermark]:
                del flags[flag]
        dropped = [user_id for user_id, flags in self._flags.items() if not flags]
        self._flags = {user_id: flags for user_id, flags in self._flags.items() if flags}
        self._erased = {user_id: at for user_id, at in self._erased.items() if at > watermark}
        return [UserId(user_id) for user_id in dropped if user_id not in self._erased]

    def _take(self, change: FlagChange) -> None:
        if change.erased:
            self._erased[change.user_id] = max(change.timestamp_us, self._erased.get(change.user_id, 0))
        own = self._flags.setdefault(change.user_id, {}) if change.flags else {}
        for flag, value in change.flags.items():
            timestamp_us, known = own.get(flag, (0, True))
            if (change.timestamp_us, not value) > (timestamp_us, not known):
                own[flag] = (change.timestamp_us, value)

    def knows(self, change: FlagChange) -> bool:
        """Whether this change, or a later one of the same flags, is in the set."""
        own = self._flags.get(change.user_id, {})
        has_flags = all(own.get(flag, (0, True))[0] >= change.timestamp_us for flag in change.flags)
        return has_flags and (not change.erased or self._erased.get(change.user_id, 0) >= change.timestamp_us)

    def over(self, user_id: str, base: int, cut: int) -> Flag:
        """The flags of a user who has `base` in a version with this cut.

        No flag if the user was erased since: a user who returned is another one, whom the version does not have.
        """
        if self.is_erased(user_id, cut):
            return Flag(0)
        flags = Flag(base)
        for flag, (timestamp_us, value) in self._flags.get(user_id, {}).items():
            if timestamp_us > cut:
                flags = flags | flag if value else flags & ~flag
        return flags

    def people(self, cut: int) -> list[str]:
        """The users whose flags may differ from those of a version with this cut, sorted."""
        changed = {
            user_id
            for user_id, own in self._flags.items()
            if any(timestamp_us > cut for timestamp_us, _ in own.values())
        }
        return sorted(changed | {user_id for user_id, timestamp_us in self._erased.items() if timestamp_us > cut})

    def is_erased(self, user_id: str, cut: int) -> bool:
        """Whether the user was erased after a cut, so that a version with this cut must not show their data."""
        return self.erased_at(user_id) > cut

    def erased_at(self, user_id: str) -> int:
        """When the user was erased, microseconds; 0: never, or before the changes in the set."""
        return self._erased.get(user_id, 0)

    def erased(self) -> dict[str, int]:
        """The erased users in the set, with the times of erasure, microseconds."""
        return dict(self._erased)


async def append_change(store: AsyncStore, keys: Keys, change: FlagChange) -> bytes:
    """Appends a change to the hidden log; returns its epoch. A repeated append has no further effect."""
    return await store.chain_append(keys.hidden_epoch, keys.hidden_log, token_hex(8), change.encode())


def append_change_blocking(store: SyncStore, keys: Keys, change: FlagChange) -> bytes:
    """The same as `append_change` for the worker."""
    return store.chain_append(keys.hidden_epoch, keys.hidden_log, token_hex(8), change.encode())


class _Update:
    """The entries that a set is about to add: all or, if a read fails midway, none, so that no change is lost."""

    def __init__(self, hidden: HiddenSet, head: bytes) -> None:
        """`head` is the epoch of the store, read before the entries."""
        self.position = hidden.position
        self.is_read = False
        """the log is read to its end"""
        self.follows = True
        """whether the log follows on what the set has read"""
        self._hidden, self._head = hidden, head
        self._entries: list[tuple[str, bytes]] = []

    def read(self, entries: Sequence[tuple[str, bytes]]) -> None:
        """Adds a page of the stream; a page that is not full is the last."""
        if not self._entries and self._hidden.epoch:
            before = FlagChange.decode(entries[0][1])[0].after if entries else self._head
            self.follows = before == self._hidden.epoch
        self._entries += entries
        if entries:
            self.position = entries[-1][0]
        self.is_read = not self.follows or len(entries) < READ_AT_ONCE

    def apply(self) -> list[FlagChange]:
        """Adds the entries to the set; returns their changes. The latest may have been removed from the log."""
        changes = self._hidden.take(self._entries)
        if number_of(self._head) > number_of(self._hidden.epoch):
            self._hidden.epoch = self._head
        return changes


def number_of(epoch: bytes) -> int:
    """How many changes there were up to an epoch, the lost ones included."""
    return int(epoch[:20] or 0)


def fingerprint_of(epoch: bytes) -> int:
    """64 bits of an epoch; 0 for none."""
    return int.from_bytes(hashlib.blake2b(epoch, digest_size=8).digest()) if epoch else 0


async def follow(store: AsyncStore, keys: Keys, hidden: HiddenSet, epoch: bytes) -> list[FlagChange] | None:
    """Reads the hidden log to its end, beyond an epoch that was read in the store; returns the changes.

    None if the log does not follow on what the set has read: then the set is as it was, and another set must be read
    from the start.
    """
    if number_of(epoch) <= number_of(hidden.epoch):  # an answer that was overtaken, or a store that lost data
        epoch = await store.get(keys.hidden_epoch) or b""
        if epoch == hidden.epoch:
            return []
    update = _Update(hidden, epoch)
    while not update.is_read:
        update.read(await store.stream_read(keys.hidden_log, update.position, READ_AT_ONCE))
    return update.apply() if update.follows else None


def follow_blocking(store: SyncStore, keys: Keys, hidden: HiddenSet) -> list[FlagChange]:
    """The same as `follow` for the worker and the night. A set that the log does not follow on is read again."""
    epoch = store.get(keys.hidden_epoch) or b""
    if epoch == hidden.epoch:
        return []
    update = _Update(hidden, epoch)
    while not update.is_read:
        update.read(store.stream_read(keys.hidden_log, update.position, READ_AT_ONCE))
    if update.follows:
        return update.apply()
    hidden.reset()
    return follow_blocking(store, keys, hidden)


def forget_blocking(store: SyncStore, keys: Keys, upto: int, erased: Mapping[str, int] | None = None) -> int:
    """Removes the changes up to a timestamp, and those of `erased` users up to a timestamp for each; returns how many.

    No version may be left whose cut is before `upto`.
    """
    dropped, position = 0, STREAM_START
    while entries := store.stream_read(keys.hidden_log, position, READ_AT_ONCE):
        position = entries[-1][0]
        changes = [(at, FlagChange.decode(entry)[1]) for at, entry in entries]
        dropped_positions = [
            at for at, change in changes if change.timestamp_us <= max(upto, (erased or {}).get(change.user_id, 0))
        ]
        dropped += store.stream_delete(keys.hidden_log, dropped_positions)
    return dropped
