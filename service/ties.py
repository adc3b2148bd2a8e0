"""Equal scores stand in an order of their own for each viewer, whatever rows the night gave them."""

import numpy as np
from numpy.typing import NDArray

from models.vocabulary import Vocabulary

_ROWS_AT_ONCE = 1 << 16
_LONGEST_ID = 128


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every bit of the input moves every bit of the output."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


_MULTIPLIERS = _mixed(np.arange(1, _LONGEST_ID + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)


def id_hashes(vocabulary: Vocabulary) -> NDArray[np.uint32]:
    """(n,) uint32: a hash of the bytes of each user id, by row. No protection against chosen ids."""
    hashes = np.zeros(len(vocabulary), dtype=np.uint32)
    offsets = vocabulary.offsets
    for start in range(0, len(hashes), _ROWS_AT_ONCE):
        bounds = offsets[start : start + _ROWS_AT_ONCE + 1]
        text = vocabulary.text[bounds[0] : bounds[-1]]
        lengths = np.diff(bounds)
        begins = bounds[:-1] - bounds[0]
        place = np.arange(len(text)) - np.repeat(begins, lengths)
        terms = (text.astype(np.uint64) + np.uint64(1)) * _MULTIPLIERS[place % _LONGEST_ID]
        sums = _mixed(np.add.reduceat(terms, begins))
        hashes[start : start + len(lengths)] = (sums >> np.uint64(32)).astype(np.uint32)
    return hashes


def pair_hashes(viewer: int, candidates: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """(m,) uint64: a hash of the viewer's id hash and each candidate's."""
    return _mixed((np.uint64(viewer) << np.uint64(32)) | candidates.astype(np.uint64))
