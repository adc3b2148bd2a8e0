"""Atomic writes to several keys.

Most writes need no reading before: an `Extend` or an `Add` has the same effect whatever others write at the same time,
so that any number of clients may write to one key at once and none of them has to try again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class Outcome(IntEnum):
    """What became of a commit."""

    CONFLICT = 0
    """a guard or a fence did not hold: nothing was written"""
    APPLIED = 1
    REPEATED = 2
    """one of its identities was written within the days that `Once` looks at: nothing was written"""
    FULL = 3
    """a value would grow beyond the limit of an `Extend`: nothing was written"""


class Guard(NamedTuple):
    """What a key must hold for a commit to be applied."""

    key: str
    prefix: bytes | None
    """the first bytes of its value, at least one; None: the key does not exist"""
    length: int | None = None
    """of the value in bytes; None: any"""


class Fence(NamedTuple):
    """The key must hold a number below this one, or not exist."""

    key: str
    number: int


class Once(NamedTuple):
    """An identity that is written once: none of the records may hold it; applied, the first record does."""

    keys: tuple[str, ...]
    """records (SyncStore.fields), the current one first"""
    identity: bytes
    """ONCE_BYTES bytes"""


ONCE_BYTES = 8
"""of an identity; the first two name the field, whose value is a row of the others"""
ONCE_FIELD_BYTES = 2


class Write(NamedTuple):
    """A value to write."""

    key: str
    value: bytes
    ttl_s: float | None = None
    """None: never expires"""


class Extend(NamedTuple):
    """Bytes to add at the end of a value."""

    key: str
    data: bytes
    start: bytes = b""
    """what the value is before, if the key does not exist"""
    most_bytes: int = 0
    """the length beyond which the commit is FULL; 0: no limit"""
    unless_recent: bool = False
    """leaves the value as it is if its last RECENT_BYTES have the data"""


RECENT_BYTES = 1 << 16


class Replace(NamedTuple):
    """A value of which the first `upto` bytes are replaced; what was added behind them stays."""

    key: str
    upto: int
    value: bytes


class Add(NamedTuple):
    """A member to add to a set, or to remove from it."""

    key: str
    member: bytes


class Append(NamedTuple):
    """An entry to append to a stream."""

    key: str
    entry: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """Conditions, and what is applied in one step if all of them hold. All keys are in one slot of a cluster."""

    guards: Sequence[Guard] = ()
    fences: Sequence[Fence] = ()
    once: Sequence[Once] = ()
    extends: Sequence[Extend] = ()
    replaces: Sequence[Replace] = ()
    writes: Sequence[Write] = ()
    deletes: Sequence[str] = ()
    adds: Sequence[Add] = ()
    removes: Sequence[Add] = ()
    appends: Sequence[Append] = ()

    def __post_init__(self) -> None:
        if any(guard.prefix == b"" for guard in self.guards):
            raise ValueError("a guard compares at least one byte: an empty prefix always matches")
        if any(len(once.identity) != ONCE_BYTES for once in self.once):
            raise ValueError(f"an identity has {ONCE_BYTES} bytes")

    def keys(self) -> Iterator[str]:
        """All keys, each once an operation."""
        operations = (self.guards, self.fences, self.extends, self.replaces, self.writes, self.adds, self.removes)
        for several in operations:
            yield from (operation.key for operation in several)
        yield from (key for once in self.once for key in once.keys)
        yield from (append.key for append in self.appends)
        yield from self.deletes
