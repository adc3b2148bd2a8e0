"""The choice of the towers' shape by validation, on the friendships hidden from the first graph of the lists."""

import numpy as np
import structlog
from numpy.typing import NDArray

from models.features.towers import TowerShape
from models.graph import Graph
from models.schema.pair_features import DEFAULT_PRERANK_WEIGHTS, PAIR_FEATURES, PRODUCT, PRODUCT_SCALE
from models.schema.statistic_names import LOG_DEGREE
from offline.evaluation.metrics import ndcg_of_lists
from offline.night.candidates import CandidateBuild
from offline.night.config import NightConfig
from offline.ranker.starting_weights import beats
from offline.ranker.training_lists import TrainingLists, training_lists

Floats = NDArray[np.float32]
log = structlog.get_logger(__name__)


def chosen_towers(build: CandidateBuild, viewers: NDArray[np.int64], hidden: Graph, config: NightConfig) -> TowerShape:
    """The fewest dimensions that the best ones do not beat by more than a standard error of the paired difference.

    The lists are the candidates of `viewers`, judged by the NDCG@20 of the friendships in `hidden`, in the order of the
    pre-ranking score and in that of the product alone; neither may be beaten. Dimensions beyond the spectrum's are one
    choice.
    """
    ranker, known = config.ranker, build.candidate_inputs.spectral.shape[1]
    choices = sorted({min(one, known) for one in ranker.tower_dimensions})
    if len(choices) == 1 or not len(viewers):
        return TowerShape(dimensions=choices[-1])
    drawn = np.random.default_rng(config.split.seed).permutation(viewers)[: ranker.tower_lists]
    lists = training_lists(build.generator, np.sort(drawn), hidden, config.candidates.kept)
    quality = {one: _quality(build, lists, TowerShape(dimensions=one)) for one in choices}
    chosen = choices[0]
    for order in range(2):
        best = max((quality[one][order] for one in choices), key=lambda ndcg: float(ndcg.mean()))
        least = next(one for one in choices if not beats(best, quality[one][order], 1.0))
        chosen = max(chosen, least)
    told = {str(one): [round(float(ndcg.mean()), 4) for ndcg in by_order] for one, by_order in quality.items()}
    log.info("towers_chosen", dimensions=chosen, of=told)
    return TowerShape(dimensions=chosen)


def _quality(
    build: CandidateBuild, lists: TrainingLists, shape: TowerShape
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(U,) NDCG@20 of the lists by the pre-ranking score with the product of such towers, and by the product alone."""
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
    prerank, alone = (ndcg_of_lists(scores, lists.outcomes, lists.friends_made) for scores in both)
    return prerank, alone


def on_its_scale(product: Floats) -> Floats:
    """Products (m,) on the scale of the feature."""
    return np.asarray(np.sign(product) * np.log1p(PRODUCT_SCALE * np.abs(product)), dtype=np.float32)
