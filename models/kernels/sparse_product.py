"""Products of a sparse symmetric matrix with many vectors at once, a panel of them in one thread."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled

PANEL = 32
"""vectors of a panel: two cache lines of a row, and few enough for the cache to hold a panel of a hundred thousand"""

Panel = NDArray[np.float32] | NDArray[np.float64]


@compiled(fastmath=True)
def add_product(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    values: NDArray[np.float32],
    vectors: Panel,
    centre: float,
    by: float,
    keep: float,
    result: Panel,
) -> None:
    """Replaces `result` (n, PANEL) by `by` x (A - centre) `vectors` + `keep` x `result`.

    A is (n, n), its rows `indices[indptr[row] : indptr[row + 1]]` with `values`; `vectors` (n, PANEL), as exact as
    `result` is.
    """
    exact = vectors.dtype.type
    shift, factor, kept = exact(centre), exact(by), exact(keep)
    total = np.empty(PANEL, vectors.dtype)
    for row in range(len(indptr) - 1):
        for k in range(PANEL):
            total[k] = -shift * vectors[row, k]
        for at in range(indptr[row], indptr[row + 1]):
            value, other = values[at], indices[at]
            for k in range(PANEL):
                total[k] += value * vectors[other, k]
        for k in range(PANEL):
            result[row, k] = factor * total[k] + kept * result[row, k]
