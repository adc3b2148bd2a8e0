"""The leading eigenpairs of a large sparse symmetric matrix, by products with whole panels of vectors.

Lanczos multiplies one vector at a time and orthogonalises it against all before: at a hundred thousand rows nearly all
its time goes there, on one processor.
"""

import numpy as np
from scipy.linalg import eigh, qr
from scipy.sparse import csr_array
from scipy.sparse.linalg import eigsh

from models.arrays import Float32s
from models.features.panel_product import PanelProduct
from models.kernels.sparse_product import PANEL

SPARE = 16
"""vectors more than asked for: the last of a subspace converge slowly"""
ROUNDS, DEGREE = 3, 10
"""filters applied, and the degree of each"""
LOWEST_MARGIN = 0.05
"""by which the estimate of the lowest eigenvalue is widened: the filter grows without bound beyond its interval"""


def leading_eigenpairs(matrix: csr_array, k: int, seed: int = 0, threads: int = 0) -> tuple[Float32s, Float32s]:
    """Eigenvalues (k,) and eigenvectors (n, k), both float32, the largest values first.

    `matrix` (n, n) float32 is symmetric with eigenvalues between -1 and 1. Chebyshev-filtered subspace iteration (Zhou,
    Saad 2007): a polynomial that is small on the unwanted eigenvalues, as estimated so far, is applied to a block of
    vectors, ROUNDS times. The same matrix, seed and number of rows give the same result, whatever the threads.
    """
    n = matrix.shape[0]
    width = -(-(k + SPARE) // PANEL) * PANEL
    product = PanelProduct(matrix, threads)
    random = np.random.default_rng(seed)
    lowest = -float(
        abs(eigsh(-matrix, k=1, which="LA", v0=random.standard_normal(n, dtype=np.float32), tol=1e-2)[0][0])
    )
    lowest = max(lowest - LOWEST_MARGIN, -1.0)
    vectors = random.standard_normal((n, width), dtype=np.float32)
    # the first filter leaves out what is below zero
    cut, values = 0.0, np.zeros(width, np.float32)
    for _ in range(ROUNDS):
        vectors = _filtered(product, vectors, lowest, cut)
        vectors, _ = qr(vectors, mode="economic", overwrite_a=True, check_finite=False)
        found, rotation = eigh(vectors.T @ product.of(vectors))
        vectors, values = vectors @ rotation[:, ::-1], found[::-1]
        cut = max(float(values[-1]), lowest + 0.1)
    return values[:k].astype(np.float32), np.ascontiguousarray(vectors[:, :k], dtype=np.float32)


def _filtered(product: PanelProduct, vectors: Float32s, low: float, high: float) -> Float32s:
    """The Chebyshev polynomial of degree DEGREE, at most 1 from `low` to `high`, of the matrix times (n, w).

    Scaled so that it is 1 at the eigenvalue 1, and no entry grows beyond float32.
    """
    centre, half = (high + low) / 2, (high - low) / 2
    first = half / (1 - centre)

    def multiply(before: Float32s) -> Float32s:
        scale, now = first, np.zeros_like(before)
        product.add(before, centre, scale / half, 0.0, now)
        for _ in range(DEGREE - 1):
            following = 1 / (2 / first - scale)
            product.add(now, centre, 2 * following / half, -scale * following, before)
            before, now, scale = now, before, following
        return now

    return product.on_panels(multiply, vectors)
