"""Sorting candidates by score."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled

Hashes = TypeVar("Hashes", NDArray[np.uint64], np.uint64)

_DIGITS = 4
_BITS = 8
_VALUES = 1 << _BITS
"""a float32 is sorted by _DIGITS digits of _BITS bits"""


def mixed(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of the input moves every bit of the output.

    Of uint64, an array or one alone.
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


_mixed = compiled()(mixed)


@compiled()
def best_first(scores: NDArray[np.float32], places: NDArray[np.int32]) -> bool:
    """Sorts `places` (k,) of the `scores` (m,), 0 or more, by falling score; returns whether two score the same.

    Equals keep their order. A radix sort from the last digit (Hollerith 1887).
    """
    k = len(places)
    keys = ~scores.view(np.uint32)
    counts = np.zeros((_DIGITS, _VALUES), dtype=np.int32)
    for at in range(k):
        key = keys[places[at]]
        for digit in range(_DIGITS):
            counts[digit, (key >> np.uint32(_BITS * digit)) & np.uint32(_VALUES - 1)] += 1
    source, target = places, np.empty(k, dtype=np.int32)
    for digit in range(_DIGITS):
        before = 0
        for value in range(_VALUES):
            count = counts[digit, value]
            counts[digit, value] = before
            before += count
        for at in range(k):
            place = source[at]
            value = (keys[place] >> np.uint32(_BITS * digit)) & np.uint32(_VALUES - 1)
            target[counts[digit, value]] = place
            counts[digit, value] += 1
        source, target = target, source
    tied = False
    for at in range(1, k):
        tied |= scores[places[at]] == scores[places[at - 1]]
    return tied


@compiled()
def order_ties(
    scores: NDArray[np.float32],
    places: NDArray[np.int32],
    rows: NDArray[np.uint32],
    hashes: NDArray[np.uint32],
    own: int,
) -> None:
    """Puts those of the sorted `places` (k,) who score the same into the viewer's own order.

    The order is that of a hash of two id hashes: `own`, the viewer's, and the candidate's, from `hashes` (n,) by row;
    `rows` (m,) are the candidates.
    """
    keys = np.empty(len(places), dtype=np.uint64)
    first = 0
    for at in range(len(places)):
        place = places[at]
        if scores[place] != scores[places[first]]:
            first = at
        key = _mixed(np.uint64(own) << np.uint64(32) | np.uint64(hashes[np.int64(rows[place])]))
        slot = at  # insertion sort: seldom more than a few are equal
        while slot > first and keys[slot - 1] > key:
            keys[slot], places[slot] = keys[slot - 1], places[slot - 1]
            slot -= 1
        keys[slot], places[slot] = key, place
