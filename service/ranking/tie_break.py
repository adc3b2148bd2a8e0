"""The order of equal scores: by hashes of ids, so that it differs by viewer and not with the rows of a version."""

import numpy as np
from numpy.typing import NDArray

from models.schema.vocabulary import Vocabulary
from service.ranking.kernels.sorting import mixed

_ROWS_AT_ONCE = 1 << 16
_LONGEST_ID = 128
_MULTIPLIERS = mixed(np.arange(1, _LONGEST_ID + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)) | np.uint64(1)


def id_hashes(vocabulary: Vocabulary) -> NDArray[np.uint32]:
    """(n,) uint32: a hash of the bytes of each user id, by row. Not safe against chosen ids."""
    hashes = np.zeros(len(vocabulary), dtype=np.uint32)
    offsets = vocabulary.offsets
    for start in range(0, len(hashes), _ROWS_AT_ONCE):
        bounds = offsets[start : start + _ROWS_AT_ONCE + 1]
        text = vocabulary.text[bounds[0] : bounds[-1]]
        lengths = np.diff(bounds)
        begins = bounds[:-1] - bounds[0]
        place = np.arange(len(text)) - np.repeat(begins, lengths)
        terms = (text.astype(np.uint64) + np.uint64(1)) * _MULTIPLIERS[place % _LONGEST_ID]
        sums = mixed(np.add.reduceat(terms, begins))
        hashes[start : start + len(lengths)] = (sums >> np.uint64(32)).astype(np.uint32)
    return hashes
