"""The leading eigenpairs of a large sparse symmetric matrix, by products with whole panels of vectors.

Lanczos multiplies one vector at a time and orthogonalises it against all before: at a hundred thousand rows nearly all
its time goes there, on one processor.
"""

from concurrent.futures import ThreadPoolExecutor
from os import cpu_count

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, qr
from scipy.sparse import csr_array
from scipy.sparse.linalg import eigsh

from models.kernels.sparse_product import PANEL, add_product

Floats = NDArray[np.float32]

SPARE = 16
"""vectors more than asked for: the last of a subspace converge slowly"""
ROUNDS, DEGREE = 3, 10
"""filters applied, and the degree of each"""
LOWEST_MARGIN = 0.05
"""by which the estimate of the lowest eigenvalue is widened: the filter grows without bound beyond its interval"""


def leading_eigenpairs(matrix: csr_array, k: int, seed: int = 0, threads: int = 0) -> tuple[Floats, Floats]:
    """Eigenvalues (k,) and eigenvectors (n, k), both float32, the largest values first.

    `matrix` (n, n) float32 is symmetric with eigenvalues between -1 and 1. Chebyshev-filtered subspace iteration (Zhou,
    Saad 2007): a polynomial that is small on the unwanted eigenvalues, as estimated so far, is applied to a block of
    vectors, ROUNDS times. The same matrix, seed and number of rows give the same result, whatever the threads.
    """
    n = matrix.shape[0]
    width = -(-(k + SPARE) // PANEL) * PANEL
    product = _Product(matrix, threads or cpu_count() or 1)
    random = np.random.default_rng(seed)
    lowest = -float(
        abs(eigsh(-matrix, k=1, which="LA", v0=random.standard_normal(n, dtype=np.float32), tol=1e-2)[0][0])
    )
    lowest = max(lowest - LOWEST_MARGIN, -1.0)
    vectors = random.standard_normal((n, width), dtype=np.float32)
    # the first filter leaves out what is below zero
    cut, values = 0.0, np.zeros(width, np.float32)
    for _ in range(ROUNDS):
        vectors = product.filtered(vectors, lowest, cut)
        vectors, _ = qr(vectors, mode="economic", overwrite_a=True, check_finite=False)
        found, rotation = eigh(vectors.T @ product.of(vectors))
        vectors, values = vectors @ rotation[:, ::-1], found[::-1]
        cut = max(float(values[-1]), lowest + 0.1)
    return values[:k].astype(np.float32), np.ascontiguousarray(vectors[:, :k], dtype=np.float32)


class _Product:
    """Products with a matrix, panel by panel in threads."""

    def __init__(self, matrix: csr_array, threads: int) -> None:
        self._matrix = matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32), matrix.data
        self._threads = threads

    def of(self, vectors: Floats) -> Floats:
        """The matrix times `vectors` (n, w)."""
        made = np.empty_like(vectors)

        def multiply(start: int) -> None:
            panel, result = self._panel(vectors, start), np.zeros((len(vectors), PANEL), np.float32)
            add_product(*self._matrix, panel, 0.0, 1.0, 0.0, result)
            made[:, start : start + PANEL] = result

        self._on_panels(multiply, vectors.shape[1])
        return made

    def filtered(self, vectors: Floats, low: float, high: float) -> Floats:
        """The Chebyshev polynomial of degree DEGREE, at most 1 from `low` to `high`, of the matrix times (n, w).

        Scaled so that it is 1 at the eigenvalue 1, and no entry grows beyond float32.
        """
        centre, half = (high + low) / 2, (high - low) / 2
        first = half / (1 - centre)
        made = np.empty_like(vectors)

        def multiply(start: int) -> None:
            scale = first
            before = self._panel(vectors, start)
            now = np.zeros_like(before)
            add_product(*self._matrix, before, centre, scale / half, 0.0, now)
            for _ in range(DEGREE - 1):
                following = 1 / (2 / first - scale)
                add_product(*self._matrix, now, centre, 2 * following / half, -scale * following, before)
                before, now, scale = now, before, following
            made[:, start : start + PANEL] = now

        self._on_panels(multiply, vectors.shape[1])
        return made

    def _on_panels(self, work, width: int) -> None:  # type: ignore[no-untyped-def]
        with ThreadPoolExecutor(self._threads) as executor:
            list(executor.map(work, range(0, width, PANEL)))

    @staticmethod
    def _panel(vectors: Floats, start: int) -> Floats:
        return np.ascontiguousarray(vectors[:, start : start + PANEL])
