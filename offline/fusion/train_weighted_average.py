"""Trains the single weight of a weighted average."""

import numpy as np
import torch
from structlog.typing import FilteringBoundLogger

from models.networks.fusion.weighted_average import WeightedAverage, WeightedAverageConfig
from offline.fusion.candidate_lists import CandidateLists
from offline.fusion.config import PRODUCT, WeightedAverageFusion
from offline.fusion.fusion import Fusion
from offline.fusion.train_network import mean_ndcg, prerank_weights, sample, split_lists

FALLBACK_PRODUCT = "embedding_cosine"
"""the column used instead of PRODUCT if that is missing"""


def train_weighted_average(
    config: WeightedAverageFusion, lists: CandidateLists, *, seed: int, log: FilteringBoundLogger
) -> Fusion:
    """The average whose share gives the highest NDCG@20 on the lists, by grid search.

    Raises ValueError if fewer than two viewers have a friendship in their list, or no column is a product.
    """
    random = np.random.default_rng(seed)
    training, validation = split_lists(lists, config.validation_share, random)
    product = PRODUCT if PRODUCT in lists.names else FALLBACK_PRODUCT
    if product not in lists.names:
        raise ValueError(f"a weighted average needs the column {PRODUCT} or {FALLBACK_PRODUCT}, not {lists.names}")
    rows = sample(training, random)
    weights = prerank_weights(lists.names, rows.std(dim=0).numpy())
    weights[lists.names.index(product)] = 0
    shape = WeightedAverageConfig(
        inputs=len(lists.names), product=lists.names.index(product), cheap=tuple(weights.tolist())
    )
    model = WeightedAverage(shape)
    model.fit(rows)
    fusion = Fusion(model.eval(), shape, lists.names)
    ndcg_of = {}
    for share in np.linspace(0, 1, config.tried).tolist():
        _set(model, share)
        ndcg_of[share] = mean_ndcg(fusion, training)
    best = max(ndcg_of, key=lambda share: ndcg_of[share])
    _set(model, best)
    metrics = {
        "product_share": best,
        "training_ndcg20": ndcg_of[best],
        "ndcg20": mean_ndcg(fusion, validation),
        "lists": float(len(training)),
    }
    log.info("fusion_averaged", **{name: round(value, 4) for name, value in metrics.items()})
    return Fusion(model, shape, lists.names, metrics)


@torch.no_grad()
def _set(model: WeightedAverage, share: float) -> None:
    model.share.fill_(share)
