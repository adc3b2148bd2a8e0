"""Products of a sparse symmetric matrix with many vectors at once, a panel of them in one thread."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled
from models.kernels.prefetch import AHEAD, LINE, prefetch

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
    `result` is. Rows of `vectors` are added four at a time, so that the sums are read and written once for four, and
    those to come are asked for: together a fifth of the time.
    """
    exact = vectors.dtype.type
    shift, factor, kept = exact(centre), exact(by), exact(keep)
    total = np.empty(PANEL, vectors.dtype)
    edges, in_line = len(indices), LINE // vectors.itemsize
    for row in range(len(indptr) - 1):
        at, end = indptr[row], indptr[row + 1]
        for k in range(PANEL):
            total[k] = -shift * vectors[row, k]
        while at + 4 <= end:
            for ahead in range(at + AHEAD, min(at + AHEAD + 4, edges)):
                for k in range(0, PANEL, in_line):
                    prefetch(vectors, int(indices[ahead]), k)
            a, b, c, d = values[at], values[at + 1], values[at + 2], values[at + 3]
            one, two, three, four = indices[at], indices[at + 1], indices[at + 2], indices[at + 3]
            for k in range(PANEL):
                total[k] += a * vectors[one, k] + b * vectors[two, k] + c * vectors[three, k] + d * vectors[four, k]
            at += 4
        for last in range(at, end):
            value, other = values[last], indices[last]
            for k in range(PANEL):
                total[k] += value * vectors[other, k]
        for k in range(PANEL):
            result[row, k] = factor * total[k] + kept * result[row, k]
