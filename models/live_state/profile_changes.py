"""The live profile: the columns written since the watermark, each with the timestamp of its last change.

One JSON object a line: the first has the columns when the profile was last rewritten, each further one the columns of a
later change.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from models.errors import CorruptRecordError


@dataclass(slots=True)
class LiveProfile:
    """A user's changed columns. The later timestamp wins, in any order of changes."""

    columns: dict[str, tuple[int, Any]] = field(default_factory=dict)
    """by column: the timestamp in microseconds and the value as received; None: cleared"""

    def put(self, columns: Mapping[str, Any], timestamp_us: int) -> None:
        """Adds a change."""
        for column, value in columns.items():
            if timestamp_us >= self.columns.get(column, (0, None))[0]:
                self.columns[column] = (timestamp_us, value)

    def over(self, stored: Mapping[str, Any], cut: int) -> dict[str, Any]:
        """The profile of a user who has `stored` in a version with this cut; empty columns are left out."""
        return {column: value for column, value in {**stored, **self.since(cut)}.items() if value is not None}

    def since(self, cut: int) -> dict[str, Any]:
        """The columns changed after a cut, with their values; None: cleared."""
        return {column: value for column, (timestamp_us, value) in self.columns.items() if timestamp_us > cut}

    def drop_before(self, watermark: int) -> None:
        """Removes the changes up to a timestamp, which every version includes."""
        self.columns = {column: change for column, change in self.columns.items() if change[0] > watermark}

    def pack(self) -> bytes:
        """The profile as one line."""
        return orjson.dumps(self.columns, option=orjson.OPT_SORT_KEYS)

    @staticmethod
    def line(columns: Mapping[str, Any], timestamp_us: int) -> bytes:
        """The line that a change adds to a packed profile."""
        return b"\n" + orjson.dumps({column: (timestamp_us, value) for column, value in columns.items()})

    @classmethod
    def unpack(cls, packed: bytes | None) -> "LiveProfile":
        """The profile of these bytes; an empty one for None. Raises CorruptRecordError."""
        if packed is None:
            return cls()
        profile = cls()
        try:
            for line in packed.split(b"\n"):
                for column, (timestamp_us, value) in orjson.loads(line).items():
                    profile.put({str(column): value}, int(timestamp_us))
        except (orjson.JSONDecodeError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise CorruptRecordError(f"a live profile cannot be read: {error!r}") from error
        return profile


EMPTY = LiveProfile().pack()
"""what a packed profile is before the first change"""
