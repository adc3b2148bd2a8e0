"""The user ids of a version and their rows."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable
from functools import cached_property
from typing import NewType

import numpy as np
import orjson
from numpy.typing import NDArray

UserId = NewType("UserId", str)
"""A user's id in the API: 1-128 bytes of UTF-8."""

Row = NewType("Row", int)
"""A user's number inside one version: 0 to n-1, in the order of the sorted ids."""


SPAN = 64
"""rows from one cached id to the next"""


class Vocabulary:
    """The sorted user ids of a version in two arrays that can be memory-mapped.

    `text` is (bytes,) uint8, the UTF-8 ids without a separator; `offsets` is (n + 1,) int64, the start of each. Looking
    an id up is a binary search, so no process holds a dictionary of all ids.
    """

    def __init__(self, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        self.text = text
        self.offsets = offsets
        self._bytes = text.data
        self._starts = offsets.data

    @classmethod
    def from_ids(cls, user_ids: Iterable[str]) -> "Vocabulary":
        """The vocabulary of these ids, sorted by their UTF-8 bytes, without duplicates."""
        encoded = sorted({user_id.encode() for user_id in user_ids})
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(one) for one in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def user_id(self, row: int) -> UserId:
        """The id of a row. Raises IndexError outside 0 to n-1."""
        if not 0 <= row < len(self):
            raise IndexError(row)
        return UserId(bytes(self._bytes[self._starts[row] : self._starts[row + 1]]).decode())

    def row(self, user_id: str) -> Row | None:
        """The row of an id, or None if the version lacks it."""
        wanted, text, starts = user_id.encode(), self._bytes, self._starts
        low = (bisect_right(self._every_span_id, wanted) - 1) * SPAN
        if low < 0:
            return None
        high = min(low + SPAN, len(self))
        while low < high:
            middle = (low + high) // 2
            if bytes(text[starts[middle] : starts[middle + 1]]) < wanted:
                low = middle + 1
            else:
                high = middle
        if low < len(self) and text[starts[low] : starts[low + 1]] == wanted:
            return Row(low)
        return None

    def rows(self, user_ids: Iterable[str]) -> NDArray[np.int32]:
        """The rows of many ids, (k,) int32; -1 if the version lacks one."""
        found = (self.row(user_id) for user_id in user_ids)
        return np.fromiter((-1 if row is None else row for row in found), dtype=np.int32)

    @cached_property
    def as_json(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The ids as JSON strings without their quotation marks: (bytes,) uint8 and (n + 1,) offsets.

        Views of the text itself unless an id needs escapes.
        """
        text = self.text
        if not len(text) or bool(text.min() >= ord(" ") and (text != ord('"')).all() and (text != ord("\\")).all()):
            return text, self.offsets
        written = [orjson.dumps(user_id)[1:-1] for user_id in self.user_ids()]
        starts = np.zeros(len(written) + 1, dtype=np.int64)
        np.cumsum([len(one) for one in written], out=starts[1:])
        starts.setflags(write=False)  # like the offsets of a version, which are mapped
        return np.frombuffer(b"".join(written), dtype=np.uint8), starts

    @cached_property
    def longest_json(self) -> int:
        """Bytes of the longest id as JSON."""
        starts = self.as_json[1]
        return int((starts[1:] - starts[:-1]).max()) if len(self) else 0

    def prepare(self) -> None:
        """Computes the caches that the first lookup would otherwise compute: one pass over the text."""
        self._every_span_id, self.longest_json  # noqa: B018  # fills the cached properties

    def user_ids(self) -> list[UserId]:
        """All ids in the order of their rows."""
        return [self.user_id(row) for row in range(len(self))]

    @cached_property
    def _every_span_id(self) -> list[bytes]:
        """Every SPAN-th id, cached: most steps of a search compare with these instead of slicing the text."""
        return [bytes(self._bytes[self._starts[row] : self._starts[row + 1]]) for row in range(0, len(self), SPAN)]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of ids and offsets: equal if and only if every row has the same id."""
        digest = hashlib.sha256(np.ascontiguousarray(self.offsets, dtype="<i8").tobytes())
        digest.update(np.ascontiguousarray(self.text).tobytes())
        return digest.hexdigest()
