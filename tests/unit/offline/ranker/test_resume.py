"""A ranker whose training is killed goes on, and ends as if nothing had been."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.features.towers import TowerShape
from models.schema.pair_features import PAIR_FEATURES
from models.schema.statistic_names import STATISTICS
from offline.ranker.config import RankerConfig
from offline.ranker.ranker_lists import FILE_NAME, RankerLists
from offline.ranker.train import TrainedRanker, train_ranker
from offline.training.resume import FILE_NAME as STATE
from tests.support.offline.shared_work import training_lists

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = RankerConfig(sparse_friends=0, epochs=5, batch_users=16, hardest=8, others=12, learning_rate=5e-3)
LISTS = training_lists(120)
STATISTICS_OF_ALL = np.abs(np.random.default_rng(1).normal(size=(200, len(STATISTICS)))).astype(np.float32)


class KilledError(Exception):
    """Stands for SIGKILL after an epoch, before its state is written."""


class Log:
    """Keeps what is said, and kills at one epoch."""

    def __init__(self, killed_at: int | None = None) -> None:
        self.killed_at, self.said = killed_at, list[tuple[str, dict[str, Any]]]()

    def info(self, event: str, **said: Any) -> None:
        self.said.append((event, said))
        if event == "ranker_epoch" and said["epoch"] == self.killed_at:
            raise KilledError

    def epochs(self) -> list[int]:
        return [said["epoch"] for event, said in self.said if event == "ranker_epoch"]


def trained(log: Log, state: Path | None = None, config: RankerConfig = CONFIG) -> TrainedRanker:
    prior = np.zeros(len(PAIR_FEATURES) + 1, np.float32)
    return train_ranker(LISTS, STATISTICS_OF_ALL, prior, config, log=log, state=state)  # type: ignore[arg-type]


def equal(one: TrainedRanker, other: TrainedRanker) -> bool:
    weights = other.model.state_dict()
    return all(torch.equal(tensor, weights[name]) for name, tensor in one.model.state_dict().items())


@pytest.mark.parametrize("epoch", [2, 5])
def test_a_run_killed_in_an_epoch_ends_with_the_same_weights(epoch: int, tmp_path: Path) -> None:
    whole = trained(Log())
    with pytest.raises(KilledError):
        trained(Log(epoch), tmp_path)
    log = Log()
    resumed = trained(log, tmp_path)
    assert log.epochs() == list(range(epoch, 6))
    assert equal(whole, resumed)
    assert whole.metrics == resumed.metrics


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    first, log = trained(Log(), tmp_path), Log()
    assert equal(first, trained(log, tmp_path))
    assert log.epochs() == []


def test_a_run_of_other_dials_or_a_damaged_state_begins_anew(tmp_path: Path) -> None:
    trained(Log(), tmp_path)
    log = Log()
    trained(log, tmp_path, CONFIG.model_copy(update={"seed": 1}))
    assert log.epochs() == [1, 2, 3, 4, 5]
    file = tmp_path / STATE
    file.write_bytes(file.read_bytes()[:-20])
    log = Log()
    trained(log, tmp_path, CONFIG.model_copy(update={"seed": 1}))
    assert log.epochs() == [1, 2, 3, 4, 5]


def test_lists_are_kept_for_the_encoder_that_made_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder, other = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    assert RankerLists.kept(tmp_path, encoder) is None
    RankerLists(LISTS, STATISTICS_OF_ALL, TowerShape(dimensions=128)).keep(tmp_path, encoder)
    found = RankerLists.kept(tmp_path, encoder)
    assert found is not None
    assert found.towers == TowerShape(dimensions=128)
    assert np.array_equal(found.statistics, STATISTICS_OF_ALL)
    for name, array in vars(LISTS).items():
        assert np.array_equal(getattr(found.lists, name), array)
        assert getattr(found.lists, name).dtype == array.dtype
    assert RankerLists.kept(tmp_path, other) is None
    (tmp_path / FILE_NAME).write_bytes((tmp_path / FILE_NAME).read_bytes()[:1000])
    assert RankerLists.kept(tmp_path, encoder) is None
