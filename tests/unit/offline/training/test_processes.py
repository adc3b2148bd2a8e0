"""Processes that train together: what they exchange, and that two come to what one comes to."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.schema.statistic_names import ALL_STATISTICS, STATISTICS
from offline.ranker.config import RankerConfig
from offline.training.processes import ALONE, Processes
from tests.support.graphs import ENCODERS, SMALL
from tests.support.offline.shared_work import (
    SHAPE,
    embeddings_by_call,
    embeddings_of,
    encoder_run,
    exchanged,
    losses_of_groups,
    ranker_run,
)
from tests.support.offline.two_processes import TwoProcesses

pytestmark = pytest.mark.usefixtures("one_thread")

EVERY_FRIEND = SMALL.model_copy(update={"epochs": 6, "fan_outs": (60, 60), "newcomer_share": 0.0})
"""no draw but that of the batches, which all processes draw alike"""


@pytest.mark.parametrize("count", [1, 2, 3, 8])
@pytest.mark.parametrize("n", [0, 1, 7, 8, 100])
def test_parts_follow_each_other_and_are_the_whole(count: int, n: int) -> None:
    parts = [np.arange(n)[Processes(rank, count).own(n)] for rank in range(count)]
    assert np.concatenate(parts).tolist() == list(range(n))
    assert max(map(len, parts)) == len(parts[0])
    assert sum(Processes(rank, count).weight(n) for rank in range(count)) == pytest.approx(count if n else 0)


def test_a_process_alone_has_everything_and_exchanges_nothing() -> None:
    rows = torch.arange(6.0).reshape(3, 2)
    assert ALONE.leads
    assert ALONE.whole(rows, 3) is ALONE.whole_to_learn(rows, 3) is ALONE.mean(rows) is rows
    assert ALONE.agreed(lambda: 7) == 7
    assert ALONE.weight(9) == 1.0
    ALONE.dismiss()


def test_what_two_processes_exchange(pair: TwoProcesses) -> None:
    first, second = pair.run(exchanged)
    for found in (first, second):
        assert found["agreed"]["rank"] == 0
        assert found["agreed"]["rows"].tolist() == [0, 1, 2]
        assert found["agreed"]["weights"].tolist() == [[1, 1], [1, 1]]
        assert [one.shape for one in found["nothing"]] == [(0,), (0, 3)]
        assert found["mean"] == 1.5
        for n in (0, 1, 5, 6):
            assert found[f"whole {n}"].tolist() == list(range(n))
    assert (first["weight 5"], second["weight 5"]) == (6 / 5, 4 / 5)
    # (1 + 2) * 2 x of each row x
    assert first["gradient"].tolist() == [0.0, 6.0]
    assert second["gradient"].tolist() == [12.0]


def test_two_processes_train_graphsage_as_one_does(pair: TwoProcesses) -> None:
    """Every step has the same batch, so without other draws losses and weights differ by rounding alone."""
    config = EVERY_FRIEND.model_copy(update={"batch_pairs": 33})
    (history, weights), (_, of_second) = pair.run(encoder_run, SHAPE, config)
    alone, expected = encoder_run(SHAPE, config, processes=ALONE)
    assert all(np.array_equal(weights[name], of_second[name]) for name in weights)
    np.testing.assert_allclose([line["loss"] for line in history], [line["loss"] for line in alone], rtol=1e-4)
    for name, tensor in expected.items():
        np.testing.assert_allclose(weights[name], tensor, atol=2e-3)
    assert history[-1]["loss"] < 0.9 * history[0]["loss"]


@pytest.mark.parametrize("loss", ["in_batch", "random_negatives"])
def test_with_draws_of_their_own_the_loss_of_two_is_that_of_one_within_noise(loss: str, pair: TwoProcesses) -> None:
    drawing = {"fan_outs": (6, 4), "newcomer_share": 0.12, "epochs": 6, "patience": 10, "loss": loss}
    config = SMALL.model_copy(update=drawing)
    runs, alone = pair.run(losses_of_groups, config, 3)[0], losses_of_groups(config, 3, processes=ALONE)
    np.testing.assert_allclose(runs, alone, rtol=0.05)


@pytest.mark.parametrize("name", [name for name in ENCODERS if name not in ("graphsage", "lightgcn")])
def test_every_encoder_trains_in_two_processes(name: str, pair: TwoProcesses) -> None:
    config = SMALL.model_copy(update={"epochs": 12})
    (history, weights), (_, of_second) = pair.run(encoder_run, ENCODERS[name], config)
    assert history[-1]["loss"] < history[0]["loss"]
    assert all(np.array_equal(weights[one], of_second[one]) for one in weights)


@pytest.mark.parametrize("n", [1, 50, 51])
def test_embeddings_by_rows_are_those_of_one_process(n: int, pair: TwoProcesses) -> None:
    first, second = pair.run(embeddings_of, n)
    assert np.array_equal(first, second)
    np.testing.assert_allclose(first, embeddings_of(n, processes=ALONE), atol=1e-6)


def test_a_call_of_rank_0_is_followed(pair: TwoProcesses) -> None:
    first, second = pair.run(embeddings_by_call, 30)
    assert second is None
    np.testing.assert_allclose(first, embeddings_of(30, processes=ALONE), atol=1e-6)


HEAD = RankerConfig(
    sparse_friends=0, epochs=3, batch_users=15, hardest=8, others=12, learning_rate=5e-3, linear_learning_rate=5e-3
)


@pytest.mark.parametrize(
    ("config", "columns"),
    [
        (HEAD, len(STATISTICS)),
        (HEAD.model_copy(update={"sparse_friends": 1e9}), len(STATISTICS)),
        (HEAD, len(ALL_STATISTICS)),
    ],
    ids=["head", "linear", "dated"],
)
def test_two_processes_train_the_ranker_as_one_does(config: RankerConfig, columns: int, pair: TwoProcesses) -> None:
    """All draw the same candidates, so metrics and differences between scores differ by rounding alone."""
    (metrics, weights, scores), (of_second, others, _) = pair.run(ranker_run, config, columns)
    assert metrics == of_second
    assert all(np.array_equal(weights[name], others[name]) for name in weights)
    of_one, _, expected = ranker_run(config, columns, processes=ALONE)
    assert metrics == pytest.approx(of_one, abs=2e-3)
    assert metrics["head_ndcg20"] > metrics["prior_ndcg20"] + 0.05
    np.testing.assert_allclose(scores, expected, atol=0.02 * float(expected.std()))


def test_a_state_of_one_process_is_gone_on_from_by_two(pair: TwoProcesses, tmp_path: Path) -> None:
    """The finished run's state gives the same weights without a further step."""
    config = EVERY_FRIEND.model_copy(update={"epochs": 3})
    history, weights = encoder_run(SHAPE, config, tmp_path / "encoder", processes=ALONE)
    for resumed, others in pair.run(encoder_run, SHAPE, config, tmp_path / "encoder"):
        assert resumed == history
        assert all(np.array_equal(weights[name], others[name]) for name in weights)
    _, _, scores = ranker_run(HEAD, len(STATISTICS), tmp_path / "ranker", processes=ALONE)
    for _, _, others in pair.run(ranker_run, HEAD, len(STATISTICS), tmp_path / "ranker"):
        np.testing.assert_allclose(others, scores, atol=1e-5)
