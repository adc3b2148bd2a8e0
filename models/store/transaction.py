"""Atomic writes to several keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Guard(NamedTuple):
    """What a key must hold for a commit to be applied."""

    key: str
    prefix: bytes | None
    """the first bytes of its value, at least one; None: the key does not exist"""


class Write(NamedTuple):
    """A value to write."""

    key: str
    value: bytes
    ttl_s: float | None = None
    """None: never expires"""


class Append(NamedTuple):
    """An entry to append to a stream."""

    key: str
    entry: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """Guards, and what is applied in one step if all of them hold. All keys are in one slot of a cluster."""

    guards: Sequence[Guard] = ()
    writes: Sequence[Write] = ()
    deletes: Sequence[str] = ()
    appends: Sequence[Append] = ()

    def __post_init__(self) -> None:
        if any(guard.prefix == b"" for guard in self.guards):
            raise ValueError("a guard compares at least one byte: an empty prefix always matches")

    @property
    def keys(self) -> list[str]:
        """All keys, in the order guards, writes, deletes, appends."""
        guarded = [guard.key for guard in self.guards]
        return [
            *guarded,
            *(write.key for write in self.writes),
            *self.deletes,
            *(append.key for append in self.appends),
        ]
