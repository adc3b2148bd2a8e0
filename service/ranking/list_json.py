"""The JSON of a list's first people, cut so that a part of it is served without parsing it."""

from collections.abc import Sequence
from dataclasses import dataclass

_DIGITS = tuple(b"%d" % position for position in range(101))


@dataclass(frozen=True, slots=True)
class Entries:
    """JSON of the first people of a list: `text` holds them in order with positions from 1, separated by commas.

    `ends[i]` is where entry i ends in the text (its comma left out), `places[i]` where its position begins.
    """

    text: bytes
    ends: Sequence[int]
    places: Sequence[int]

    def __len__(self) -> int:
        return len(self.ends)

    def first(self, count: int) -> bytes:
        """The first `count` entries with the commas between them."""
        return self.text[: self.ends[count - 1]] if count else b""

    def around_position(self, index: int) -> tuple[bytes, bytes]:
        """The text before and after the position of an entry."""
        begin = self.ends[index - 1] + 1 if index else 0
        place = self.places[index]
        return self.text[begin:place], self.text[place + len(str(index + 1)) : self.ends[index]]

    @classmethod
    def moved(cls, entries: Sequence[tuple["Entries", int]]) -> "Entries":
        """Entries of other lists, each by its list and its index there, in new positions."""
        return cls.joined([held.around_position(index) for held, index in entries])

    @classmethod
    def joined(cls, texts: Sequence[tuple[bytes, bytes]]) -> "Entries":
        """Entries from the texts before and after each one's position."""
        parts, ends, places, end = [], [], [], 0
        for position, (before, after) in enumerate(texts, 1):
            digits = _DIGITS[position] if position < len(_DIGITS) else b"%d" % position
            entry = before + digits + after
            parts.append(entry)
            places.append(end + len(before))
            end += len(entry) + 1
            ends.append(end - 1)
        return cls(b",".join(parts), ends, places)


NO_ENTRIES = Entries(b"", (), ())
