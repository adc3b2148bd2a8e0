"""Writes to several keys that happen together or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Guard(NamedTuple):
    """What a key must hold for a commit to be made."""

    key: str
    beginning: bytes | None
    """the first bytes of its value, at least one; None: the key does not exist"""


class Write(NamedTuple):
    """A value to be written."""

    key: str
    value: bytes
    ttl_s: float | None = None
    """None: never expires"""


class Append(NamedTuple):
    """An entry to be put at the end of a stream."""

    key: str
    entry: bytes


@dataclass(frozen=True, slots=True)
class Commit:
    """Guards that must all hold, and what is done in one step where they do. All keys are of one slot of a cluster."""

    guards: Sequence[Guard] = ()
    writes: Sequence[Write] = ()
    deletes: Sequence[str] = ()
    appends: Sequence[Append] = ()

    def __post_init__(self) -> None:
        if any(guard.beginning == b"" for guard in self.guards):
            raise ValueError("every value begins with nothing: a guard compares at least one byte")

    @property
    def keys(self) -> list[str]:
        """All keys, in the order guards, writes, deletes, appends."""
        guarded = [guard.key for guard in self.guards]
        return [*guarded, *(one.key for one in self.writes), *self.deletes, *(one.key for one in self.appends)]
