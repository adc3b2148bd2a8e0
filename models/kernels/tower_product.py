"""The product of the towers for one viewer: her query with the vectors of candidates, a byte an entry."""

import math

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float32s
from models.kernels.numba_cache import compiled
from models.kernels.prefetch import AHEAD, LINE, prefetch
from models.schema.pair_features import PRODUCT_SCALE

LEVELS = np.float32(8191)
"""largest entry of a quantised query: 384 products with a byte are then below 2^31"""
NARROWEST = np.float32(1e-30)
_CODES = 255


@compiled()
def quantised_query(query: Float32s, scales: Float32s) -> tuple[NDArray[np.int16], np.float32]:
    """A query (d,) times the table's scales, as integers (d,), and the unit in which they are."""
    largest = np.float32(0)
    for k in range(len(query)):
        largest = max(largest, abs(query[k] * scales[k]))
    whole = np.zeros(len(query), np.int16)
    if not largest > NARROWEST or not math.isfinite(largest):
        return whole, np.float32(0)
    for k in range(len(query)):
        whole[k] = np.int16(np.rint(query[k] * scales[k] / largest * LEVELS))
    return whole, largest / LEVELS


@compiled()
def product_at(codes: NDArray[np.int8], row: int, query: NDArray[np.int16]) -> np.int32:
    """The sum of products of a row of the table (n, d) with a quantised query (d,)."""
    total = np.int32(0)
    for k in range(len(query)):
        total += np.int32(codes[row, k]) * np.int32(query[k])
    return total


@compiled(fastmath=True)
def tower_products(
    rows: NDArray[np.uint32],
    codes: NDArray[np.int8],
    query: Float32s,
    scales: Float32s,
    products: Float32s,
    sizes: Float32s,
) -> None:
    """Writes the products of a query (d,) with the vectors of `rows` (m,) into `products` (m,), and PRODUCT_SCALE times
    their absolute values into `sizes` (m,), of which the caller takes ln(1 + x).
    """
    whole, unit = quantised_query(query, scales)
    d, m = len(whole), len(rows)
    for place in range(min(AHEAD, m)):
        for k in range(0, d, LINE):
            prefetch(codes, int(rows[place]), k)
    for place in range(m):
        if place + AHEAD < m:
            for k in range(0, d, LINE):
                prefetch(codes, int(rows[place + AHEAD]), k)
        product = np.float32(product_at(codes, int(rows[place]), whole)) * unit
        products[place] = product
        sizes[place] = np.float32(PRODUCT_SCALE) * abs(product)


@compiled()
def join_product(
    block: NDArray[np.uint8],
    products: Float32s,
    sizes: Float32s,
    low: Float32s,
    high: Float32s,
    joined: NDArray[np.uint8],
) -> None:
    """Writes a block's codes (F, m) and those of one feature more into `joined` (F + 1, m).

    The feature is `sizes` (m,) with the signs of `products` (m,), on 256 levels between its extremes, which go to the
    last places of `low` and `high` (F + 1,), as models.version.candidate_block.quantise does it.
    """
    features, m = block.shape
    for feature in range(features):
        for place in range(m):
            joined[feature, place] = block[feature, place]
    if m == 0:
        return
    lowest, highest = np.float32(math.inf), np.float32(-math.inf)
    for place in range(m):
        if products[place] < 0:
            sizes[place] = -sizes[place]
        lowest, highest = min(lowest, sizes[place]), max(highest, sizes[place])
    width = highest - lowest
    by = np.float32(_CODES) / (width if width > NARROWEST else np.float32(1))
    for place in range(m):
        joined[features, place] = np.uint8(np.rint((sizes[place] - lowest) * by))
    low[features], high[features] = lowest, highest
