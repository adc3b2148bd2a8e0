"""The choice of the towers' shape by validation, on the friendships hidden from the first graph of the lists."""

import numpy as np
import structlog
from numpy.typing import NDArray

from models.arrays import Float32s
from models.features.towers import TowerShape
from models.graph import Graph
from models.schema.pair_features import DEFAULT_PRERANK_WEIGHTS, PAIR_FEATURES, PRODUCT, PRODUCT_SCALE
from models.schema.statistic_names import LOG_DEGREE
from offline.evaluation.metrics import ndcg_of_lists
from offline.night.candidates import CandidateBuild
from offline.night.config import NightConfig
from offline.ranker.training_lists import TrainingLists, training_lists

log = structlog.get_logger(__name__)


def chosen_towers(build: CandidateBuild, viewers: NDArray[np.int64], hidden: Graph, config: NightConfig) -> TowerShape:
    """The dimensions with which the lists are best, in the order of the pre-ranking score or in that of the product
    alone: the more of the two, since neither order may lose by the choice.

    The lists are the candidates of `viewers`, judged by the NDCG@20 of the friendships in `hidden`. A tie goes to the
    fewer dimensions. Those beyond the spectrum's are one choice.
    """
    ranker, known = config.ranker, build.candidate_inputs.spectral.shape[1]
    choices = sorted({min(one, known) for one in ranker.tower_dimensions})
    if len(choices) == 1 or not len(viewers):
        return TowerShape(dimensions=choices[-1])
    drawn = np.random.default_rng(config.split.seed).permutation(viewers)[: ranker.tower_lists]
    lists = training_lists(build.generator, np.sort(drawn), hidden, config.candidates.kept)
    quality = {one: _quality(build, lists, TowerShape(dimensions=one)) for one in choices}
    chosen = max(max(choices, key=lambda one: quality[one][order]) for order in range(2))
    told = {str(one): [round(ndcg, 4) for ndcg in by_order] for one, by_order in quality.items()}
    log.info("towers_chosen", dimensions=chosen, of=told)
    return TowerShape(dimensions=chosen)


def _quality(build: CandidateBuild, lists: TrainingLists, shape: TowerShape) -> tuple[float, float]:
    """NDCG@20 of the lists by the pre-ranking score with the product of such towers, and by the product alone."""
    towers = build.with_towers(shape).candidate_inputs.towers
    degrees = build.graph_features.statistics[:, LOG_DEGREE]
    both = np.full((2, *lists.rows.shape), -np.inf, np.float32)
    weights = DEFAULT_PRERANK_WEIGHTS
    for at, viewer in enumerate(lists.users.tolist()):
        m = int(lists.counts[at])
        rows = lists.rows[at, :m]
        values = lists.codes[at, :, :m] * lists.step[at, :, None] + lists.low[at, :, None]
        product = towers.codes[rows].astype(np.float32) @ (towers.query(viewer) * towers.scales)
        values[PRODUCT] = on_its_scale(product)
        both[0, at, :m] = weights[: len(PAIR_FEATURES)] @ values + weights[-1] * degrees[rows]
        both[1, at, :m] = product
    prerank, alone = (ndcg_of_lists(scores, lists.outcomes, lists.friends_made).mean() for scores in both)
    return float(prerank), float(alone)


def on_its_scale(product: Float32s) -> Float32s:
    """Products (m,) on the scale of the feature."""
    return np.asarray(np.sign(product) * np.log1p(PRODUCT_SCALE * np.abs(product)), dtype=np.float32)
