"""The order of one input in place of a ranker, where there is too little to learn from."""

import numpy as np
import torch
from numpy.typing import NDArray
from structlog.typing import FilteringBoundLogger

from models.networks.ranker_head import RankerHead, RankerHeadConfig
from models.schema.pair_features import PAIR_FEATURES, extra_input_names
from offline.evaluation.metrics import ndcg_of_lists
from offline.ranker.config import RankerConfig
from offline.ranker.starting_weights import LEAST_EVIDENCE, ONE_INPUT, beats, order_by
from offline.ranker.train import TrainedRanker, _Run
from offline.ranker.training_lists import Purpose, TrainingLists

FALLBACK = "resource_allocation"


def best_single_input(
    lists: TrainingLists,
    statistics: NDArray[np.float32],
    config: RankerConfig,
    *,
    log: FilteringBoundLogger,
) -> TrainedRanker | None:
    """The order of the classic score that beats resource allocation by `config.evidence_errors`, calibrated.

    None if none does, or if fewer than LEAST_EVIDENCE lists hold a friendship. Nothing is trained but the calibration,
    so that every list with a friendship may evaluate it; `statistics` are those for train_ranker.
    """
    useful = np.flatnonzero(lists.outcomes.any(axis=1) & (lists.purpose == Purpose.ORDINARY))
    if len(useful) < LEAST_EVIDENCE:
        return None
    # a network that scores by one input alone
    torch.manual_seed(config.seed)
    names = [*PAIR_FEATURES, *PAIR_FEATURES, *extra_input_names(statistics.shape[1])]
    shape = RankerHeadConfig(
        pair_features=PAIR_FEATURES,
        extra_inputs=len(extra_input_names(statistics.shape[1])),
        viewer_inputs=statistics.shape[1],
    )
    evaluated = lists.take(useful)
    run = _Run(RankerHead(shape), evaluated, evaluated, statistics, config, np.random.default_rng(config.seed))
    # which input that is
    found: dict[str, NDArray[np.float64]] = {}
    for name in (name for name in ONE_INPUT if name in names):
        order_by(run.model, names.index(name))
        found[name] = ndcg_of_lists(run.scores(evaluated), evaluated.outcomes, evaluated.friends_made)
    best = max(found, key=lambda name: float(found[name].mean()))
    if best == FALLBACK or not beats(found[best], found[FALLBACK], config.evidence_errors):
        return None
    order_by(run.model, names.index(best))
    run.model.eval()
    calibrating = lists.take(np.flatnonzero(lists.purpose == Purpose.CALIBRATION))
    if not calibrating.outcomes.any():
        calibrating = evaluated
    run.model.calibration.copy_(torch.from_numpy(run.calibration(calibrating)))
    ndcg, fallback = float(found[best].mean()), float(found[FALLBACK].mean())
    log.info("ranker_is_one_input", best=best, ndcg20=round(ndcg, 4), resource_allocation=round(fallback, 4))
    return TrainedRanker(run.model, {"best_input_ndcg20": ndcg, f"replaced_by_{best}": 1.0})
