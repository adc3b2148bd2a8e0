"""The recall of an index against brute force, of as many users as it takes to tell whether it suffices."""

import faiss
import numpy as np
from numpy.typing import NDArray

from models.candidates.ann_index import VectorIndex

AT_ONCE = 1_000
"""users compared before it is asked whether they suffice"""
SURE = 4.0
"""standard errors that the recall of those compared must be away from the least that is wanted"""
AS_NEAR = 1e-6


class RecallSample:
    """Users, and the inner product of each with the k-th nearest of all, which brute force finds once for every index.

    Any row as near as the k-th nearest, within AS_NEAR, counts as found: equal vectors are interchangeable.
    """

    def __init__(self, embeddings: NDArray[np.float32], rows: NDArray[np.int64], k: int) -> None:
        """`rows` (s,) of `embeddings` (n, d), the first of them first compared; k is n if there are fewer."""
        self._embeddings = embeddings
        self._parts = [np.sort(rows[start : start + AT_ONCE]) for start in range(0, len(rows), AT_ONCE)]
        self._k = min(k, len(embeddings))
        self._least: list[NDArray[np.float32]] = []

    def recall(self, index: VectorIndex, wanted: float | None = None) -> float:
        """The share of the k nearest that an index finds, 0-1: of all users of the sample.

        Of fewer, if these show that it is above or below the recall that is wanted. 0 if there are none.
        """
        shares = np.empty(0)
        for number in range(len(self._parts)):
            shares = np.append(shares, self._shares(index, number))
            error = shares.std() / np.sqrt(len(shares))
            if wanted is not None and abs(shares.mean() - wanted) > SURE * error:
                break
        return float(shares.mean()) if len(shares) else 0.0

    def _shares(self, index: VectorIndex, number: int) -> NDArray[np.float64]:
        """(s,) the share of its k nearest that the index finds for each user of one part."""
        queries = np.ascontiguousarray(self._embeddings[self._parts[number]])
        if number == len(self._least):
            table = np.ascontiguousarray(self._embeddings)
            exact, _ = faiss.knn(queries, table, self._k, metric=faiss.METRIC_INNER_PRODUCT)
            self._least.append(exact[:, -1])
        rows, _ = index.search(queries, self._k)
        is_found = index.products(queries, rows) >= self._least[number][:, None] - AS_NEAR
        shares: NDArray[np.float64] = is_found.mean(axis=1)
        return shares
