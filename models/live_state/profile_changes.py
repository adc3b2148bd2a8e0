"""The live profile, as JSON: the columns written since the watermark, each with the timestamp of its last change."""

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
        """The profile as JSON."""
        return orjson.dumps(self.columns, option=orjson.OPT_SORT_KEYS)

    @classmethod
    def unpack(cls, packed: bytes | None) -> "LiveProfile":
        """The profile of these bytes; an empty one for None. Raises CorruptRecordError."""
        if packed is None:
            return cls()
        try:
            decoded = orjson.loads(packed)
            return cls({str(column): (int(change[0]), change[1]) for column, change in decoded.items()})
        except (orjson.JSONDecodeError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise CorruptRecordError(f"a live profile cannot be read: {error!r}") from error
