"""The live profile: the columns that were put since the floor, each with the stamp of its last change, as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from models.errors import CorruptRecordError


@dataclass(slots=True)
class LiveProfile:
    """A person's columns that were put; the later stamp stands, whatever the order."""

    columns: dict[str, tuple[int, Any]] = field(default_factory=dict)
    """by column: when, microseconds, and the value as it came; None was cleared"""

    def put(self, columns: Mapping[str, Any], timestamp_us: int) -> None:
        """Takes in a change."""
        for column, value in columns.items():
            if timestamp_us >= self.columns.get(column, (0, None))[0]:
                self.columns[column] = (timestamp_us, value)

    def over(self, stored: Mapping[str, Any], cut: int) -> dict[str, Any]:
        """The profile of a person who has `stored` in a version with this cut; empty columns are left out."""
        return {column: value for column, value in {**stored, **self.since(cut)}.items() if value is not None}

    def since(self, cut: int) -> dict[str, Any]:
        """The columns that were changed after a cut, and to what; None was cleared."""
        return {column: value for column, (timestamp_us, value) in self.columns.items() if timestamp_us > cut}

    def drop_before(self, watermark: int) -> None:
        """Forgets the changes up to a stamp that every version's cut has reached."""
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
            said = orjson.loads(packed)
            return cls({str(column): (int(change[0]), change[1]) for column, change in said.items()})
        except (orjson.JSONDecodeError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise CorruptRecordError(f"a live profile does not read back: {error!r}") from error
