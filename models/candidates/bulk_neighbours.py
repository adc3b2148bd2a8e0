"""The nearest neighbours of many users at once, from an inverted file: a graph index finds them one user after another.

HNSW is for one vector at a time, and the five hundred nearest of a user cost it a millisecond. Where a large part of
all users asks, an inverted file (Jegou, Douze, Schmid 2011) compares whole groups of vectors, for a tenth of that.
"""

from collections.abc import Iterator

import faiss
import numpy as np
from numpy.typing import NDArray

MANY = 30_000
"""users who ask at once, from which on an inverted file is made for them"""
LISTS_BY_ROOT = 4
"""lists of the inverted file, by the square root of the users"""
TRAINED_BY_LIST = 40
"""users drawn for each list, to place it"""
LOOKED_AT = (8, 16, 32, 64, 128, 256)
"""lists compared with a user: the first of these that reaches the recall"""
SAMPLE = 500
"""users whose neighbours are compared with brute force"""
BLOCK = 4_096

Floats = NDArray[np.float32]


def bulk_neighbours(
    table: Floats, rows: NDArray[np.int64], k: int, recall_least: float, seed: int = 0
) -> Iterator[NDArray[np.int32]]:
    """Yields the k nearest of each of `rows` (u,) in blocks (b, k) int32, excluding itself, nearest first, -1 for none.

    `table` (n, d) float32 has rows of length one. Of the k nearest at least `recall_least` are found, or what the
    largest of LOOKED_AT finds.
    """
    index = _inverted_file(table, seed)
    sample = np.sort(np.random.default_rng(seed).permutation(rows)[:SAMPLE])
    exact, _ = faiss.knn(table[sample], table, min(k, len(table)), metric=faiss.METRIC_INNER_PRODUCT)
    for looked_at in LOOKED_AT:
        index.nprobe = min(looked_at, index.nlist)
        products, _ = index.search(table[sample], min(k, len(table)))
        if (products >= exact[:, -1:] - 1e-6).mean() >= recall_least:
            break
    for start in range(0, len(rows), BLOCK):
        block = rows[start : start + BLOCK]
        _, found = index.search(table[block], k + 1)
        others = np.argsort(found == block[:, None], axis=1, kind="stable")[:, :k]
        yield np.take_along_axis(found, others, axis=1).astype(np.int32)


def _inverted_file(table: Floats, seed: int) -> faiss.IndexIVFFlat:
    """The rows of a table in lists of rows that are near each other."""
    n, d = table.shape
    lists = max(round(LISTS_BY_ROOT * n**0.5), 1)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(d), d, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.seed, index.cp.niter = seed + 1, 8
    drawn = np.sort(np.random.default_rng(seed).permutation(n)[: TRAINED_BY_LIST * lists])
    index.train(np.ascontiguousarray(table[drawn]))
    for start in range(0, n, 16 * BLOCK):
        index.add(np.ascontiguousarray(table[start : start + 16 * BLOCK]))
    return index
