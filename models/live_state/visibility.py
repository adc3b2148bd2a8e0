"""Who is hidden, and whose connections are: the changes of flags in their order, and the set that a process keeps.

Flags of a version stand in its tables. What changed since stands in one stream for all people, with an epoch that
rises with every change: a process that has followed up to an epoch reads nothing as long as the epoch stays.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from models.errors import CorruptRecordError, StoreUnavailableError
from models.schema.columns import Flag
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
"""how often a change is put behind somebody else's before the store counts as unavailable"""


@dataclass(frozen=True, slots=True)
class FlagChange:
    """What one acknowledged write did to a person's flags."""

    user_id: str
    timestamp_us: int
    """microseconds"""
    flags: Mapping[Flag, bool] = field(default_factory=dict)
    """the flags that were changed, and to what"""
    erased: bool = False
    """the person is to be shown to nobody, whatever the flags say, in versions whose cut is before the stamp"""

    def encode(self, epoch: int) -> bytes:
        """The change as it stands in the stream."""
        flags = {str(flag.name): value for flag, value in self.flags.items()}
        said = {
            "epoch": epoch,
            "user_id": self.user_id,
            "stamp": self.timestamp_us,
            "flags": flags,
            "erased": self.erased,
        }
        return orjson.dumps(said)

    @classmethod
    def decode(cls, entry: bytes) -> tuple[int, "FlagChange"]:
        """The epoch and the change of an entry of the stream. Raises CorruptRecordError where it is none."""
        try:
            said = orjson.loads(entry)
            flags = {Flag[name]: bool(value) for name, value in said["flags"].items()}
            change = cls(str(said["user_id"]), int(said["stamp"]), flags, bool(said["erased"]))
            return int(said["epoch"]), change
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptRecordError(f"a change of flags does not read back: {error!r}") from error


class HiddenSet:
    """All changes of flags up to an epoch; one thread or loop at a time."""

    def __init__(self) -> None:
        self.epoch = 0
        """how far it has followed"""
        self.position = STREAM_START
        """of the last entry read"""
        self._flags: dict[str, dict[Flag, tuple[int, bool]]] = {}
        self._erased: dict[str, int] = {}

    def expect(self, epoch: int) -> None:
        """Begins anew where the store's epoch is behind: it lost what the set had followed."""
        if epoch < self.epoch:
            self.epoch, self.position, self._flags, self._erased = 0, STREAM_START, {}, {}

    def read_up_to(self, epoch: int, at_end: bool) -> None:
        """Notes that the stream was read up to an epoch, where its end was reached: the last changes may be dropped."""
        if at_end:
            self.epoch = max(self.epoch, epoch)

    def __len__(self) -> int:
        return len({*self._flags, *self._erased})

    def take(self, entries: Iterable[tuple[str, bytes]]) -> list[FlagChange]:
        """Takes in entries of the stream; the changes in them. The later stamp stands, whatever the order."""
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
            timestamp_us, held = own.get(flag, (0, True))
            if (change.timestamp_us, not value) > (timestamp_us, not held):
                own[flag] = (change.timestamp_us, value)

    def knows(self, change: FlagChange) -> bool:
        """Whether this change, or a later one of the same flags, is in the set."""
        own = self._flags.get(change.user_id, {})
        told = all(own.get(flag, (0, True))[0] >= change.timestamp_us for flag in change.flags)
        return told and (not change.erased or self._erased.get(change.user_id, 0) >= change.timestamp_us)

    def over(self, user_id: str, base: int, cut: int) -> Flag:
        """The flags of a person who has `base` in a version with this cut.

        None where the person was erased since: whoever came back is another person, whom that version does not know.
        """
        if self.is_erased(user_id, cut):
            return Flag(0)
        flags = Flag(base)
        for flag, (timestamp_us, value) in self._flags.get(user_id, {}).items():
            if timestamp_us > cut:
                flags = flags | flag if value else flags & ~flag
        return flags

    def people(self, cut: int) -> list[str]:
        """Everybody whose flags may differ from those of a version with this cut, sorted."""
        changed = {
            one for one, own in self._flags.items() if any(timestamp_us > cut for timestamp_us, _ in own.values())
        }
        return sorted(changed | {one for one, timestamp_us in self._erased.items() if timestamp_us > cut})

    def is_erased(self, user_id: str, cut: int) -> bool:
        """Whether the person was erased after a cut, so that a version with it must not show what it has of them."""
        return self.erased_at(user_id) > cut

    def erased_at(self, user_id: str) -> int:
        """When the person was erased, microseconds; 0: never, or so long ago that the set says nothing of it."""
        return self._erased.get(user_id, 0)

    def erased(self) -> dict[str, int]:
        """Everybody in the set who was erased, and when, microseconds."""
        return dict(self._erased)


def epoch_of(value: bytes | None) -> int:
    """The epoch that the value of Keys.hidden_epoch stands for."""
    return 0 if value is None else int(value)


async def append_change(store: AsyncStore, keys: Keys, change: FlagChange) -> int:
    """Writes a change for everybody to follow; the epoch from which on it is known.

    Harmless where it was written before. Raises StoreUnavailableError where others keep coming in between.
    """
    for _ in range(ATTEMPTS):
        held = await store.get(keys.hidden_epoch)
        if (await store.commit([_appended(keys, held, change)]))[0]:
            return epoch_of(held) + 1
    raise StoreUnavailableError(_CROWDED)


def append_change_blocking(store: SyncStore, keys: Keys, change: FlagChange) -> int:
    """The same as `append_change` for the worker."""
    for _ in range(ATTEMPTS):
        held = store.get(keys.hidden_epoch)
        if store.commit([_appended(keys, held, change)])[0]:
            return epoch_of(held) + 1
    raise StoreUnavailableError(_CROWDED)


class _News:
    """What a set is about to take in: all of it or, where a read fails half-way, nothing, so that whoever is told of
    the changes misses none."""

    def __init__(self, hidden: HiddenSet) -> None:
        self.epoch, self.position = hidden.epoch, hidden.position
        self._hidden = hidden
        self._entries: list[tuple[str, bytes]] = []
        self._read_to = 0

    def read(self, entries: Sequence[tuple[str, bytes]], wanted: int) -> None:
        """Adds a piece of the stream; its end is reached where the piece is not full."""
        self._entries += entries
        if entries:
            self.position = entries[-1][0]
            self.epoch = max(self.epoch, FlagChange.decode(entries[-1][1])[0])
        if len(entries) < READ_AT_ONCE:
            self.epoch = self._read_to = max(self.epoch, wanted)

    def taken(self) -> list[FlagChange]:
        """Takes everything in; the changes."""
        changes = self._hidden.take(self._entries)
        self._hidden.read_up_to(self._read_to, bool(self._read_to))
        return changes


async def follow(store: AsyncStore, keys: Keys, hidden: HiddenSet, epoch: int) -> list[FlagChange]:
    """Brings a set to an epoch that was read in the store; the changes that this took, which may be repeats.

    An epoch that is behind the set's is that of a store that lost its data: the set is then read anew.
    """
    hidden.expect(epoch)
    news = _News(hidden)
    while news.epoch < epoch:
        news.read(await store.stream_read(keys.hidden_log, news.position, READ_AT_ONCE), epoch)
    return news.taken()


def follow_blocking(store: SyncStore, keys: Keys, hidden: HiddenSet) -> list[FlagChange]:
    """The same as `follow` for the worker and the night, up to the epoch that the store has."""
    epoch = epoch_of(store.get(keys.hidden_epoch))
    hidden.expect(epoch)
    news = _News(hidden)
    while news.epoch < epoch:
        news.read(store.stream_read(keys.hidden_log, news.position, READ_AT_ONCE), epoch)
    return news.taken()


def forget_blocking(store: SyncStore, keys: Keys, upto: int, erased: Mapping[str, int] | None = None) -> int:
    """Drops the changes up to a stamp that the cut of every version has reached, and those of `erased` people, of each
    up to a stamp.

    How many were dropped. Call it only once no version is left whose cut is before the stamp.
    """
    dropped, position = 0, STREAM_START
    while entries := store.stream_read(keys.hidden_log, position, READ_AT_ONCE):
        position = entries[-1][0]
        changes = [(at, FlagChange.decode(entry)[1]) for at, entry in entries]
        doomed = [
            at for at, change in changes if change.timestamp_us <= max(upto, (erased or {}).get(change.user_id, 0))
        ]
        dropped += store.stream_delete(keys.hidden_log, doomed)
    return dropped


_CROWDED = "The store takes too many changes of flags at a time; try again."


def _appended(keys: Keys, held: bytes | None, change: FlagChange) -> Commit:
    """Puts a change behind the epoch `held`, whose digits are always as many: no epoch is the beginning of another."""
    epoch = epoch_of(held) + 1
    return Commit(
        guards=[Guard(keys.hidden_epoch, held)],
        writes=[Write(keys.hidden_epoch, b"%020d" % epoch)],
        appends=[Append(keys.hidden_log, change.encode(epoch))],
    )
