"""The inputs of a model for a viewer and a candidate: pair features kept in a block, and inputs derived from them.

The candidate kernel computes the pair features, at night for all users and in the worker for one. A block keeps all but
the product of the towers, which models.ranker computes in a request from the viewer's present friends. `extra_inputs`
derives the others from a block and the version's statistics in training, models.kernels.ranker_head.gather in a
request.
"""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float32s
from models.schema.candidate_sources import NIGHTLY, Source
from models.schema.statistic_names import AGE_SCALE, ALL_STATISTICS, DATED_STATISTICS, LOG_DEGREE, STATISTICS

KEPT_FEATURES: Final = (
    "common_neighbours",
    "resource_allocation",
    "three_hops",
    "pagerank",
    "embedding_cosine",
    "affinity",
)
"""the features kept in a block, in this order, each already on the scale that is quantised"""

PAIR_FEATURES: Final = (*KEPT_FEATURES, "tower_product")
"""The features that the head reads on two scales. All but the last are kept; a request computes the product anew:

common_neighbours     ln(1 + number of mutual friends)
resource_allocation   ln(1 + 1,000 x sum over mutual friends of 1 / degree)
three_hops            ln(1 + 10,000 x degree-normalised paths of length three / sqrt(degree x degree))
pagerank              ln(1 + 1,000,000 x personalised PageRank of the candidate from the viewer)
embedding_cosine      cosine of the GraphSAGE embeddings
affinity              log-odds of friendship given the two profiles (models.features.profile_affinity)
tower_product         s ln(1 + 100 |x|), s the sign of x, the product of the viewer's query and the candidate's vector,
                      which estimates the friendship (models.version.towers)
"""

DEFAULT_PRERANK_WEIGHTS: Final[Float32s] = np.array([0.0, 0.5, 0.3, 1.0, 0.5, 0.5, 0.5, -0.4], dtype=np.float32)
"""pre-ranking weights: of PAIR_FEATURES, then of the candidate's ln(1 + friends)"""

ALLOCATION_SCALE: Final = 1e3
THREE_HOPS_SCALE: Final = 1e4
PAGERANK_SCALE: Final = 1e6
PRODUCT_SCALE: Final = 1e2
JACCARD_SCALE: Final = 50.0

MEASURES: Final[dict[str, Callable[[float], float]]] = {
    "common_neighbours": math.expm1,
    "resource_allocation": lambda kept: math.expm1(kept) / ALLOCATION_SCALE,
    "three_hops": lambda kept: math.expm1(kept) / THREE_HOPS_SCALE,
    "pagerank": lambda kept: math.expm1(kept) / PAGERANK_SCALE,
    "tower_product": lambda read: math.copysign(math.expm1(abs(read)) / PRODUCT_SCALE, read),
    "jaccard": lambda read: math.expm1(read) / JACCARD_SCALE,
    "log_position": math.expm1,
    "candidate_log_degree": math.expm1,
    "candidate_friends_log_degree": math.expm1,
    **{f"candidate_{name}": math.expm1 for name in DATED_STATISTICS if name.startswith("late")},
    "candidate_last_age": lambda read: math.expm1(read) / AGE_SCALE,
    "candidate_first_age": lambda read: math.expm1(read) / AGE_SCALE,
}
"""for features on a logarithmic scale, the inverse of the scale"""

COMMON, ALLOCATION, THREE_HOPS, PAGERANK, EMBEDDING, PROFILE_AFFINITY, PRODUCT = range(len(PAIR_FEATURES))

SOURCES_READ: Final = tuple(source for source in NIGHTLY if source is not Source.POPULAR_OF_LATE)
"""the sources with an indicator among the inputs; of one who is popular of late the statistics say more"""


def extra_input_names(statistics: int) -> tuple[str, ...]:
    """The head's inputs beside the kept features, in a version with this many statistics (WIDTHS).

    Jaccard similarity (1901) as ln(1 + 50 x mutual friends / friends of either), ln(1 + place in the block), the
    candidate's statistics, and one indicator a source.
    """
    persons = (f"candidate_{name}" for name in ALL_STATISTICS[:statistics])
    return "jaccard", "log_position", *persons, *(f"source_{str(source.name).lower()}" for source in SOURCES_READ)


EXTRA_INPUTS: Final = extra_input_names(len(STATISTICS))
"""those of a version without dates"""


def extra_inputs(
    common_neighbours: Float32s,
    candidate_statistics: Float32s,
    viewer_statistics: Float32s,
    sources: NDArray[np.uint8],
    places: NDArray[np.int64] | None = None,
) -> Float32s:
    """The extra inputs (..., m, x) float32 of a viewer's m candidates, in the order of the block.

    x are extra_input_names(s). `common_neighbours` (..., m) as kept, ln(1 + count); `candidate_statistics` (..., m, s)
    and `viewer_statistics` (..., s) from models.features.user_statistics; `sources` (..., m) source bits; `places`
    (..., m) positions in the block, None for the whole block in its order. models.kernels.ranker_head.gather computes
    the same in a request.
    """
    first_source = 2 + candidate_statistics.shape[-1]
    planes = np.empty((first_source + len(SOURCE_BITS), *common_neighbours.shape), dtype=np.float32)
    last = candidate_statistics.ndim - 1
    planes[2:first_source] = candidate_statistics.transpose(last, *range(last))
    mutual = np.expm1(common_neighbours)
    friends = np.exp(planes[2 + LOG_DEGREE])
    friends += np.exp(viewer_statistics[..., LOG_DEGREE, None]) - 2
    friends -= mutual
    np.maximum(friends, 1, out=friends)
    mutual *= np.float32(JACCARD_SCALE)
    mutual /= friends
    np.log1p(mutual, out=planes[0])
    planes[1] = LOG_POSITION[: common_neighbours.shape[-1]] if places is None else LOG_POSITION[places]
    planes[first_source:] = np.bitwise_and.outer(SOURCE_BITS, sources) != 0
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1))


LOG_POSITION: Final[Float32s] = np.log1p(np.arange(1 << 16)).astype(np.float32)
SOURCE_BITS: Final = np.array(SOURCES_READ, dtype=np.uint8)
"""their bits, in the order of the inputs"""
