"""Changes of users' flags: the hidden log, and the set of its changes that a process holds.

The tables of a version have its flags. Later changes are in one stream for all users, the hidden log. Every change
has an epoch that no other change has, and names the epoch before (SyncStore.chain_append). A process that has read up
to the latest epoch reads nothing until there is another. If what it read is not in the log any more, since the store
came back without its last writes, the next change does not follow on its epoch, and it reads the log from the start.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from secrets import token_hex

from models.live_state.flag_change import FlagChange, Link, read_change
from models.schema.columns import Flag
from models.schema.vocabulary import UserId
from models.store.keys import Keys
from models.store.protocol import STREAM_START, AsyncStore, SyncStore

READ_AT_ONCE = 1000


class HiddenSet:
    """All changes of flags up to an epoch; for one thread or loop at a time."""

    def __init__(self) -> None:
        self.epoch = b""
        """up to which it has read; b"": nothing yet"""
        self.position = STREAM_START
        """of the last entry read"""
        self._flags: dict[str, dict[Flag, tuple[int, bool]]] = {}
        self._erased: dict[str, int] = {}
        self.unread: dict[str, FlagChange | None] = {}
        """by the position of an entry that does not read back, the change presumed instead; None: it names nobody"""

    def reset(self) -> None:
        """Forgets everything, to be read again from the start."""
        self.epoch, self.position, self._flags, self._erased, self.unread = b"", STREAM_START, {}, {}, {}

    def __len__(self) -> int:
        return len({*self._flags, *self._erased})

    def take(self, entries: Iterable[tuple[str, bytes]]) -> list[FlagChange]:
        """Adds entries of the stream; returns their changes. The later timestamp wins, in any order.

        Whom an entry names that does not read back counts as hidden.
        """
        changes = []
        for position, entry in entries:
            change, is_whole = read_change(entry)
            if not is_whole:
                self.unread[position] = change
            link = Link.of(entry)
            self.epoch, self.position = self.epoch if link is None else link.epoch, position
            if change is not None:
                self.add(change)
                changes.append(change)
        return changes

    def drop_before(self, watermark: int) -> list[UserId]:
        """Forgets the changes up to a timestamp, which all versions in use include; returns whose are forgotten."""
        known = {*self._flags, *self._erased}
        for flags in self._flags.values():
            for flag in [flag for flag, (timestamp_us, _) in flags.items() if timestamp_us <= watermark]:
                del flags[flag]
        self._flags = {user_id: flags for user_id, flags in self._flags.items() if flags}
        self._erased = {user_id: at for user_id, at in self._erased.items() if at > watermark}
        self.unread = {
            position: change
            for position, change in self.unread.items()
            if change is None or change.timestamp_us > watermark
        }
        return [UserId(user_id) for user_id in known - self._flags.keys() - self._erased.keys()]

    def add(self, change: FlagChange) -> None:
        """Adds a change whose place in the log does not matter."""
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
            link = Link.of(entries[0][1]) if entries else None
            before = link.after if link is not None else None if entries else self._head
            self.follows = before == self._hidden.epoch
        self._entries += entries
        if entries:
            self.position = entries[-1][0]
        self.is_read = not self.follows or len(entries) < READ_AT_ONCE

    def apply(self) -> list[FlagChange]:
        """Adds the entries to the set; returns their changes. The latest may have been removed from the log."""
        changes = self._hidden.take(self._entries)
        if number_of(self._head) > number_of(self._hidden.epoch) or not number_of(self._head):
            self._hidden.epoch = self._head
        return changes


def number_of(epoch: bytes) -> int:
    """How many changes there were up to an epoch, the lost ones included; 0 if it cannot be read."""
    return int(epoch[:20]) if epoch[:20].isdigit() else 0


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

    No version may be left whose cut is before `upto`. An entry that does not read back stays, unless the change
    presumed instead has a timestamp that is to be removed.
    """
    dropped, position = 0, STREAM_START
    while entries := store.stream_read(keys.hidden_log, position, READ_AT_ONCE):
        position = entries[-1][0]
        changes = [(at, read_change(entry)[0]) for at, entry in entries]
        dropped_positions = [
            at
            for at, change in changes
            if change is not None and change.timestamp_us <= max(upto, (erased or {}).get(change.user_id, 0))
        ]
        dropped += store.stream_delete(keys.hidden_log, dropped_positions)
    return dropped
