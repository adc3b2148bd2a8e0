"""Products of a sparse symmetric matrix with many vectors, a panel of them at a time in each thread."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from models.kernels.sparse_product import PANEL, add_product

Floats = TypeVar("Floats", NDArray[np.float32], NDArray[np.float64])


class PanelProduct:
    """Products with one matrix (n, n) float32, as exact as the vectors are."""

    def __init__(self, matrix: csr_array, threads: int = 0) -> None:
        """`threads` 0: one per core."""
        self._matrix = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data
        self._threads = threads or cpu_count() or 1

    def of(self, vectors: Floats) -> Floats:
        """The matrix times `vectors` (n, w)."""

        def multiply(panel: Floats) -> Floats:
            result = np.zeros_like(panel)
            self.add(panel, 0.0, 1.0, 0.0, result)
            return result

        return self.on_panels(multiply, vectors)

    def add(self, panel: Floats, centre: float, by: float, keep: float, result: Floats) -> None:
        """Replaces `result` (n, PANEL) by `by` x (A - centre) `panel` + `keep` x `result`."""
        add_product(*self._matrix, panel, centre, by, keep, result)

    def on_panels(self, work: Callable[[Floats], Floats], vectors: Floats) -> Floats:
        """What `work` makes of each (n, PANEL) of `vectors` (n, w), side by side; the last is filled up with zeros."""
        made = np.empty_like(vectors)

        def one(start: int) -> None:
            columns = vectors[:, start : start + PANEL]
            panel = np.zeros((len(vectors), PANEL), vectors.dtype)
            panel[:, : columns.shape[1]] = columns
            made[:, start : start + PANEL] = work(panel)[:, : columns.shape[1]]

        with ThreadPoolExecutor(self._threads) as executor:
            list(executor.map(one, range(0, vectors.shape[1], PANEL)))
        return made
