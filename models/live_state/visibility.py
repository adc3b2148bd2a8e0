"""Changes of users' flags: the hidden log, and the set of its changes that a process holds.

The tables of a version have its flags. Later changes are in one stream for all users, the hidden log. Its epoch rises
with every change: a process that has read up to an epoch reads nothing until the epoch rises.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from models.errors import CorruptRecordError, StoreUnavailableError
from models.schema.columns import Flag
from models.schema.vocabulary import UserId
from models.store.keys import Keys
from models.store.protocol import STREAM_START, AsyncStore, SyncStore
from models.store.transaction import (
    Append,
    Commit,
    Guard,
    Write,
)

READ_AT_ONCE = 1000
ATTEMPTS = 50
"""how often an append is retried after a concurrent one before the store counts as unavailable"""


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

    def encode(self, epoch: int) -> bytes:
        """The entry of the stream."""
        flags = {str(flag.name): value for flag, value in self.flags.items()}
        fields = {
            "epoch": epoch,
            "user_id": self.user_id,
            "stamp": self.timestamp_us,
            "flags": flags,
            "erased": self.erased,
        }
        return orjson.dumps(fields)

    @classmethod
    def decode(cls, entry: bytes) -> tuple[int, "FlagChange"]:
        """The epoch and the change of an entry of the stream. Raises CorruptRecordError if it is none."""
        try:
            decoded = orjson.loads(entry)
            flags = {Flag[name]: bool(value) for name, value in decoded["flags"].items()}
            change = cls(UserId(str(decoded["user_id"])), int(decoded["stamp"]), flags, bool(decoded["erased"]))
            return int(decoded["epoch"]), change
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptRecordError(f"a change of flags cannot be read: {error!r}") from error


class HiddenSet:
    """All changes of flags up to an epoch; for one thread or loop at a time."""

    def __init__(self) -> None:
        self.epoch = 0
        """the epoch up to which it has read"""
        self.position = STREAM_START
        """of the last entry read"""
        self._flags: dict[str, dict[Flag, tuple[int, bool]]] = {}
        self._erased: dict[str, int] = {}

    def expect(self, epoch: int) -> None:
        """Resets the set if the store's epoch is lower, since the store has lost data."""
        if epoch < self.epoch:
            self.epoch, self.position, self._flags, self._erased = 0, STREAM_START, {}, {}

    def read_up_to(self, epoch: int, at_end: bool) -> None:
        """Sets the epoch after the end of the stream was read: the entries of the last epochs may have been dropped."""
        if at_end:
            self.epoch = max(self.epoch, epoch)

    def __len__(self) -> int:
        return len({*self._flags, *self._erased})

    def take(self, entries: Iterable[tuple[str, bytes]]) -> list[FlagChange]:
        """Adds entries of the stream; returns their changes. The later timestamp wins, in any order."""
        changes = []
        for position, entry in entries:
            epoch, change = FlagChange.decode(entry)
            self._take(change)
            self.epoch, self.position = max(self.epoch, epoch), position
            changes.append(change)
        return changes

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


def epoch_of(value: bytes | None) -> int:
    """The epoch in the value of Keys.hidden_epoch."""
    return 0 if value is None else int(value)


async def append_change(store: AsyncStore, keys: Keys, change: FlagChange) -> int:
    """Appends a change to the hidden log; returns its epoch.

    A repeated append has no further effect. Raises StoreUnavailableError if concurrent appends win every attempt.
    """
    for _ in range(ATTEMPTS):
        stored = await store.get(keys.hidden_epoch)
        if (await store.commit([_append(keys, stored, change)]))[0]:
            return epoch_of(stored) + 1
    raise StoreUnavailableError(_CROWDED)


def append_change_blocking(store: SyncStore, keys: Keys, change: FlagChange) -> int:
    """The same as `append_change` for the worker."""
    for _ in range(ATTEMPTS):
        stored = store.get(keys.hidden_epoch)
        if store.commit([_append(keys, stored, change)])[0]:
            return epoch_of(stored) + 1
    raise StoreUnavailableError(_CROWDED)


class _Update:
    """The entries that a set is about to add: all or, if a read fails midway, none, so that no change is lost."""

    def __init__(self, hidden: HiddenSet) -> None:
        self.epoch, self.position = hidden.epoch, hidden.position
        self._hidden = hidden
        self._entries: list[tuple[str, bytes]] = []
        self._read_to = 0

    def read(self, entries: Sequence[tuple[str, bytes]], epoch: int) -> None:
        """Adds a page of the stream; a page that is not full is the last, and then the set is at `epoch`."""
        self._entries += entries
        if entries:
            self.position = entries[-1][0]
            self.epoch = max(self.epoch, FlagChange.decode(entries[-1][1])[0])
        if len(entries) < READ_AT_ONCE:
            self.epoch = self._read_to = max(self.epoch, epoch)

    def apply(self) -> list[FlagChange]:
        """Adds the entries to the set; returns their changes."""
        changes = self._hidden.take(self._entries)
        self._hidden.read_up_to(self._read_to, bool(self._read_to))
        return changes


async def follow(store: AsyncStore, keys: Keys, hidden: HiddenSet, epoch: int) -> list[FlagChange]:
    """Reads the hidden log up to an epoch that was read from the store; returns the changes, some perhaps repeated.

    If the epoch is below that of the set, the store has lost data, and the set is read again from the start.
    """
    hidden.expect(epoch)
    update = _Update(hidden)
    while update.epoch < epoch:
        update.read(await store.stream_read(keys.hidden_log, update.position, READ_AT_ONCE), epoch)
    return update.apply()


def follow_blocking(store: SyncStore, keys: Keys, hidden: HiddenSet) -> list[FlagChange]:
    """The same as `follow` for the worker and the night, up to the epoch that the store has."""
    epoch = epoch_of(store.get(keys.hidden_epoch))
    hidden.expect(epoch)
    update = _Update(hidden)
    while update.epoch < epoch:
        update.read(store.stream_read(keys.hidden_log, update.position, READ_AT_ONCE), epoch)
    return update.apply()


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


_CROWDED = "Concurrent writes keep changing the hidden log; try again."


def _append(keys: Keys, stored: bytes | None, change: FlagChange) -> Commit:
    """Appends a change after a stored epoch. Epochs have a fixed number of digits, so none is a prefix of another."""
    epoch = epoch_of(stored) + 1
    return Commit(
        guards=[Guard(keys.hidden_epoch, stored)],
        writes=[Write(keys.hidden_epoch, b"%020d" % epoch)],
        appends=[Append(keys.hidden_log, change.encode(epoch))],
    )
