"""Made-up candidate lists whose best fusion is obvious."""

from collections.abc import Callable

import numpy as np
import structlog

from offline.fusion.candidate_lists import CandidateLists
from offline.fusion.config import PRODUCT

LOG = structlog.get_logger()
NAMES = ["resource_allocation", "pagerank", "affinity", PRODUCT, "candidate_log_degree"]
GOOD, SECOND, THIRD, ENCODER, DEGREE = range(len(NAMES))
Rule = Callable[[np.ndarray], np.ndarray]
"""how much a viewer likes each candidate (L, C), of features (L, C, F)"""


def lists(count: int, rule: Rule, *, friends: int = 3, places: int = 40, seed: int = 0) -> CandidateLists:
    """Lists of standard normal features, the `friends` candidates the rule likes most being friends; some shorter."""
    random = np.random.default_rng(seed)
    features = random.standard_normal((count, places, len(NAMES)), dtype=np.float32)
    valid = np.arange(places)[None, :] < random.integers(places // 2, places + 1, size=(count, 1))
    liked = np.where(valid, rule(features), -np.inf)
    labels = np.argsort(np.argsort(-liked, axis=1), axis=1) < friends
    return CandidateLists(
        features, labels & valid, valid, list(NAMES), np.arange(count) // 2, np.full(count, friends, np.int64)
    )


def by_product(features: np.ndarray) -> np.ndarray:
    """The encoder alone is right."""
    return np.asarray(features[..., ENCODER])


def by_switch(features: np.ndarray) -> np.ndarray:
    """The encoder is right about people with many friends, resource allocation about the others: no average can."""
    return np.asarray(np.where(features[..., DEGREE] > 0, features[..., ENCODER], features[..., GOOD]))
