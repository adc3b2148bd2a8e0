"""The codes of profile values in one version: each is found by binary search among the sorted values of its column."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import groupby, islice
from operator import itemgetter, lt

from models.errors import ArtefactError

MISSING = -1
"""the code of a value that the version does not have"""

_second = itemgetter(1)


class CategoricalCodes:
    """The codes of one categorical column, whose values are numbered in their order.

    Writers of versions sort values by their UTF-8 bytes, which is the order of Python's strings. Values in another
    order are found through a dictionary, which takes some hundred bytes a value.
    """

    def __init__(self, values: Sequence[str]) -> None:
        self._values = values
        self._unsorted = None if _is_rising(values) else _places(values)

    def code(self, value: str) -> int:
        """The code of a value, MISSING if the column does not have it."""
        if self._unsorted is not None:
            return self._unsorted.get(value, MISSING)
        at = bisect_left(self._values, value)
        return at if at < len(self._values) and self._values[at] == value else MISSING


class SetCodes:
    """The codes of one multi-valued column: those from `start` up to `end` of all multi-valued columns' values."""

    def __init__(self, pairs: Sequence[tuple[str, str]], start: int, end: int) -> None:
        self.start = start
        self.end = end
        self._pairs = pairs
        own = [value for _, value in islice(pairs, start, end)]
        self._unsorted = None if _is_rising(own) else _places(own)

    def codes(self, values: Iterable[str]) -> list[int]:
        """The codes of those values that the column has, in the order given."""
        return [code for value in values if (code := self._code(value)) != MISSING]

    def _code(self, value: str) -> int:
        if self._unsorted is not None:
            place = self._unsorted.get(value, MISSING)
            return place if place == MISSING else self.start + place
        at = bisect_left(self._pairs, value, self.start, self.end, key=_second)
        return at if at < self.end and self._pairs[at][1] == value else MISSING


class ValueCodes:
    """The codes of all columns' values. Holds no copy of sorted values; the constructor reads each once.

    Raises ArtefactError if the values of a multi-valued column are not side by side.
    """

    def __init__(
        self, categorical: Iterable[tuple[str, Sequence[str]]], multi_values: Sequence[tuple[str, str]]
    ) -> None:
        """`categorical` are the columns in the order of their codes; `multi_values` as in Tables."""
        columns = list(categorical)
        self.places = {column: at for at, (column, _) in enumerate(columns)}
        """by categorical column: its place among a profile's codes"""
        self.categorical = [CategoricalCodes(values) for _, values in columns]
        self.sets: dict[str, SetCodes] = {}
        start = 0
        for column, pairs in groupby(multi_values, itemgetter(0)):
            end = start + sum(1 for _ in pairs)
            if column in self.sets:
                raise ArtefactError(f"the values of the column {column} are not side by side")
            self.sets[column] = SetCodes(multi_values, start, end)
            start = end


def _is_rising(values: Sequence[str]) -> bool:
    return all(map(lt, values, islice(values, 1, None)))


def _places(values: Sequence[str]) -> dict[str, int]:
    """The first place of each value."""
    return {value: place for place, value in reversed(list(enumerate(values)))}
