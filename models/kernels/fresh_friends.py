"""What new friends of one viewer tell of her candidates: mutual friends, allocation, paths of length three, walks."""

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float32s
from models.kernels.graph_walks import RESTART
from models.kernels.numba_cache import compiled

ON = np.float32(1 - RESTART)
STOP = np.float32(RESTART)
NEAR = np.float32(0.5)
"""share of the walks of three steps and more that are taken to end where those of two do"""


@compiled(fastmath=True)
def spread_from_friends(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    friends: NDArray[np.int32],
    viewer: int,
    rows: NDArray[np.uint32],
    places: NDArray[np.int32],
    most_edges: int,
    common: Float32s,
    allocation: Float32s,
    paths: Float32s,
    walks: Float32s,
) -> None:
    """Adds what comes to each candidate through these friends (f,) of the graph.

    `rows` (m,) are the candidates, and `places` (n,) their places, -1 for all other rows. `common` (m,) counts the
    friends who know the candidate, `allocation` sums 1 / degree of these, `paths` sums 1 / sqrt(degree(a)
    degree(b)) over the paths friend a - b - candidate, and `walks` is the mass of each friend's personalised
    PageRank after one and two steps; what walks on ends there too by NEAR, and else as the degrees are. A viewer in
    the graph is skipped as b, and so is a row b that would exceed `most_edges` edges in all.
    """
    edges, total = 0, np.float32(max(len(indices), 1))
    for friend in friends:
        start, end = indptr[friend], indptr[friend + 1]
        if start == end:
            continue
        share = np.float32(1.0) / np.float32(end - start)
        root = np.sqrt(share)
        for at in range(start, end):
            middle = indices[at]
            place = places[middle]
            if place >= 0:
                common[place] += np.float32(1.0)
                allocation[place] += share
                walks[place] += STOP * ON * share
            degree = indptr[middle + 1] - indptr[middle]
            if middle == viewer or edges + degree > most_edges:
                continue
            edges += degree
            inverse = np.float32(1.0) / np.float32(degree)
            path, walk = root * np.sqrt(inverse), (STOP + NEAR * ON) * ON * ON * share * inverse
            for further in range(indptr[middle], indptr[middle + 1]):
                place = places[indices[further]]
                if place >= 0:
                    paths[place] += path
                    walks[place] += walk
    for place in range(len(rows)):
        degree = indptr[np.int64(rows[place]) + 1] - indptr[np.int64(rows[place])]
        walks[place] += len(friends) * (np.float32(1) - NEAR) * ON * ON * ON * np.float32(degree) / total
