"""Learning the one number of a weighted average."""

import numpy as np
import torch
from structlog.typing import FilteringBoundLogger

from models.networks.fusion.weighted_average import WeightedAverage, WeightedAverageConfig
from offline.fusion.candidate_lists import PRODUCT, CandidateLists
from offline.fusion.config import WeightedAverageFusion
from offline.fusion.fusion import Fusion
from offline.fusion.train_network import (
    prerank_weights,
    sample,
    split_lists,
    validated,
)

OTHERWISE = "embedding_cosine"
"""the column that stands in for PRODUCT where there is none"""


def train_weighted_average(
    config: WeightedAverageFusion, lists: CandidateLists, *, seed: int, log: FilteringBoundLogger
) -> Fusion:
    """The average whose share puts the friendships of the lists first, by NDCG@20: of one number every value is tried.

    Raises ValueError where fewer than two viewers have a friendship in their list, or none of the columns is a product.
    """
    random = np.random.default_rng(seed)
    training, validation = split_lists(lists, config.validation_share, random)
    product = PRODUCT if PRODUCT in lists.names else OTHERWISE
    if product not in lists.names:
        raise ValueError(f"a weighted average needs the column {PRODUCT} or {OTHERWISE}, and there is {lists.names}")
    rows = sample(training, random)
    cheap = prerank_weights(lists.names, rows.std(dim=0).numpy())
    cheap[lists.names.index(product)] = 0
    described = WeightedAverageConfig(
        inputs=len(lists.names), product=lists.names.index(product), cheap=tuple(cheap.tolist())
    )
    model = WeightedAverage(described)
    model.fit(rows)
    fusion = Fusion(model.eval(), described, lists.names)
    reached = {}
    for share in np.linspace(0, 1, config.tried).tolist():
        _set(model, share)
        reached[share] = validated(fusion, training)
    best = max(reached, key=lambda share: reached[share])
    _set(model, best)
    told = {
        "product_share": best,
        "training_ndcg20": reached[best],
        "ndcg20": validated(fusion, validation),
        "lists": float(len(training)),
    }
    log.info("fusion_averaged", **{name: round(value, 4) for name, value in told.items()})
    return Fusion(model, described, lists.names, told)


@torch.no_grad()
def _set(model: WeightedAverage, share: float) -> None:
    model.share.fill_(share)
