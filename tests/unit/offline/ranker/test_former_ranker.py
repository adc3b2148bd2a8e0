"""A ranker that begins with a former one, where that does better than the prior."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.arrays import Float32s
from models.networks.ranker_head import RankerHead, RankerHeadConfig
from models.schema.pair_features import PAIR_FEATURES
from models.schema.statistic_names import DATED_STATISTICS, STATISTICS
from offline.ranker.config import RankerConfig
from offline.ranker.train import TrainedRanker, train_ranker
from offline.ranker.training_lists import TrainingLists
from tests.support.offline.shared_work import training_lists

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = RankerConfig(sparse_friends=0, epochs=8, batch_users=16, hardest=8, others=12, learning_rate=5e-3)
FEW = CONFIG.model_copy(update={"epochs": 1, "learning_rate": 1e-6})
"""next to no training: what it ends with is what it began with"""
LISTS = training_lists(120)
STATISTICS_OF_ALL = np.abs(np.random.default_rng(1).normal(size=(200, len(STATISTICS)))).astype(np.float32)
DATED = np.abs(np.random.default_rng(1).normal(size=(200, len(STATISTICS) + len(DATED_STATISTICS)))).astype(np.float32)
PRIOR = np.zeros(len(PAIR_FEATURES) + 1, np.float32)


class Log:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said = list[tuple[str, dict[str, Any]]]()

    def info(self, event: str, **said: Any) -> None:
        self.said.append((event, said))


def trained(
    config: RankerConfig,
    former: RankerHead | None,
    state: Path | None = None,
    lists: TrainingLists = LISTS,
    statistics: Float32s = STATISTICS_OF_ALL,
) -> tuple[TrainedRanker, Log]:
    log = Log()
    return train_ranker(lists, statistics, PRIOR, config, former, log=log, state=state), log  # type: ignore[arg-type]


def test_it_begins_where_the_former_one_ended() -> None:
    former, _ = trained(CONFIG, None)
    anew, _ = trained(FEW, None)
    warm, log = trained(FEW, former.model)
    said = dict(log.said)["warm_start"]
    assert said["kept"]
    assert said["former"] > said["own"] + 0.05
    assert (anew.metrics["warm"], warm.metrics["warm"]) == (0.0, 1.0)
    assert warm.metrics["head_ndcg20"] >= former.metrics["head_ndcg20"] - 1e-6
    assert warm.metrics["head_ndcg20"] > anew.metrics["head_ndcg20"] + 0.05


def test_a_former_one_that_does_worse_than_the_prior_is_left_out() -> None:
    former, _ = trained(CONFIG, None)
    with torch.no_grad():
        for weights in (former.model.past.weight, former.model.last.weight):
            weights.neg_()
    anew, _ = trained(CONFIG, None)
    begun, log = trained(CONFIG, former.model)
    assert dict(log.said)["warm_start"]["kept"] is False
    assert begun.metrics["warm"] == 0
    same = begun.model.state_dict()
    assert all(torch.equal(one, same[name]) for name, one in anew.model.state_dict().items())


def test_one_of_another_shape_or_beside_a_linear_ranker_is_not_tried() -> None:
    former, _ = trained(CONFIG, None)
    other = RankerHead(RankerHeadConfig(pair_features=PAIR_FEATURES, extra_inputs=1, viewer_inputs=1))
    linear = FEW.model_copy(update={"sparse_friends": 1e6})
    for config, beginning in ((FEW, other), (linear, former.model)):
        begun, log = trained(config, beginning)
        assert "warm_start" not in dict(log.said)
        assert begun.metrics["warm"] == 0


def test_of_dated_friendships_the_former_one_stays_where_few_new_ones_fit_worse() -> None:
    former, _ = trained(CONFIG, None, statistics=DATED)
    assert former.metrics["warm"] == 0
    anew, _ = trained(CONFIG, None, lists=training_lists(12), statistics=DATED)
    stays, log = trained(CONFIG, former.model, lists=training_lists(12), statistics=DATED)
    said = dict(log.said)["warm_start"]
    assert said["kept"]
    assert said["former"] > said["own"]
    assert (anew.metrics["warm"], stays.metrics["warm"]) == (0.0, 1.0)
    assert stays.metrics["head_ndcg20"] == pytest.approx(said["former"], abs=1e-4)
    assert torch.equal(stays.model.past.weight, former.model.past.weight)
    # one that knows a world that is over does not
    with torch.no_grad():
        former.model.past.weight.neg_()
    begun, log = trained(CONFIG, former.model, lists=training_lists(12), statistics=DATED)
    assert dict(log.said)["warm_start"]["kept"] is False
    assert torch.equal(begun.model.past.weight, anew.model.past.weight)


def test_a_run_does_not_resume_from_one_that_began_otherwise(tmp_path: Path) -> None:
    former, _ = trained(CONFIG, None, tmp_path)
    _, log = trained(CONFIG, former.model, tmp_path)
    assert "ranker_resumed" not in dict(log.said)
    assert dict(log.said)["ranker_epoch"]["epoch"] >= 1
