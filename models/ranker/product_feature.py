"""The product of the towers as one pair feature more of a block, on the same 256 levels as the others."""

import numpy as np

from models.arrays import Float32s
from models.errors import CorruptRecordError
from models.kernels.tower_product import join_product, tower_products
from models.schema.pair_features import KEPT_FEATURES, PAIR_FEATURES
from models.version.candidate_block import Block
from models.version.towers import Towers


def with_product(towers: Towers, block: Block, query: Float32s) -> Block:
    """A block of the kept features with the product of the towers as one feature more; another one as it is.

    Raises CorruptRecordError if the query (d,) has another length than the table's vectors.
    """
    if len(block.codes) != len(KEPT_FEATURES):
        return block
    if len(query) != towers.dimensions:  # the kernels check no bounds
        raise CorruptRecordError(f"a query of {len(query)} dimensions, not {towers.dimensions}")
    m, features = len(block), len(PAIR_FEATURES)
    products, sizes = np.empty(m, np.float32), np.empty(m, np.float32)
    tower_products(block.rows, towers.codes, query, towers.scales, products, sizes)
    np.log1p(sizes, out=sizes)
    codes = np.empty((features, m), np.uint8)
    low, high = np.zeros(features, np.float32), np.zeros(features, np.float32)
    low[: len(block.low)], high[: len(block.high)] = block.low, block.high
    join_product(block.codes, products, sizes, low, high, codes)
    return Block(block.viewer, block.rows, block.sources, codes, low, high)
