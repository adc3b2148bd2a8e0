"""What two processes of a test do together."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.graph import Graph
from models.networks.config import GraphSageConfig
from models.networks.graphsage import GraphSage, embed_everybody
from models.schema.pair_features import PAIR_FEATURES, PROFILE_AFFINITY
from offline.encoders.config import TrainingConfig
from offline.encoders.embed import embedded
from offline.encoders.trainer import RunOutput, train_encoder
from offline.ranker.config import RankerConfig
from offline.ranker.train import train_ranker
from offline.ranker.training_lists import TrainingLists
from offline.training.processes import Processes
from tests.support.graphs import LOG, inputs, shaped, two_cliques

SHAPE: dict[str, object] = {"name": "graphsage", "hidden": 16, "outputs": 16}


def encoder_run(
    encoder: dict[str, object], config: TrainingConfig, state: Path | None = None, *, processes: Processes
) -> tuple[list[dict[str, float]], dict[str, NDArray[Any]]]:
    """History and weights of an encoder of two cliques; rank 0 alone keeps a state in the directory `state`."""
    torch.set_num_threads(1)
    read, labels = two_cliques(size=20)
    output = RunOutput(LOG, state=state if processes.leads else None)
    run = train_encoder(read, labels, shaped(encoder, read), config, seed=3, output=output, processes=processes)
    return run.history, {name: tensor.numpy() for name, tensor in run.model.state_dict().items()}


def losses_of_groups(config: TrainingConfig, seeds: int, *, processes: Processes) -> list[float]:
    """By seed the mean loss of the epochs of a GraphSAGE of 50 groups of twelve friends each, some hidden."""
    torch.set_num_threads(1)
    a, b = np.triu_indices(12, 1)
    of_group = 12 * np.arange(50)[:, None]
    left, right = (of_group + a).ravel(), (of_group + b).ravel()
    hidden = np.random.default_rng(1).random(len(left)) < 0.3
    features = np.random.default_rng(2).normal(size=(600, 8)).astype(np.float32)
    read = inputs(Graph.from_pairs(600, left[~hidden], right[~hidden]), features)
    found = []
    for seed in range(seeds):
        shape, labels = shaped(SHAPE, read), (left[hidden], right[hidden])
        run = train_encoder(read, labels, shape, config, seed=seed, output=RunOutput(LOG), processes=processes)
        found.append(float(np.mean([line["loss"] for line in run.history])))
    return found


def training_lists(users: int, people: int = 200, places: int = 40) -> TrainingLists:
    """Lists of random candidates who are friends if their profile affinity is high; some are shorter than others."""
    random = np.random.default_rng(0)
    shape, features = (users, places), len(PAIR_FEATURES)
    codes = random.integers(0, 256, (users, features, places)).astype(np.uint8)
    counts = random.integers(places // 2, places + 1, users)
    outcomes = (codes[:, PROFILE_AFFINITY] > 230) & (np.arange(places) < counts[:, None])
    outcomes[:, 0] = True
    return TrainingLists(
        users=random.integers(people, size=users),
        rows=random.integers(people, size=shape).astype(np.uint32),
        sources=random.integers(1, 64, shape).astype(np.uint8),
        codes=codes,
        low=np.zeros((users, features), np.float32),
        step=np.full((users, features), 1 / 255, np.float32),
        counts=counts,
        outcomes=outcomes,
        friends_made=outcomes.sum(axis=1).astype(np.int64),
        offset=np.zeros(users, np.int64),
        purpose=np.zeros(users, np.uint8),
        outcome_weight=np.ones(users, np.float32),
    )


def ranker_run(
    config: RankerConfig, columns: int, state: Path | None = None, *, processes: Processes
) -> tuple[dict[str, float], dict[str, NDArray[Any]], NDArray[np.float32]]:
    """Metrics and weights of a ranker of such lists, with so many statistics, and its scores of the candidates, of
    which each list's have the mean 0; rank 0 alone keeps a state."""
    torch.set_num_threads(1)
    lists = training_lists(170)
    statistics = np.abs(np.random.default_rng(1).normal(size=(200, columns))).astype(np.float32)
    prior = np.zeros(len(PAIR_FEATURES) + 1, np.float32)
    kept = state if processes.leads else None
    trained = train_ranker(lists, statistics, prior, config, state=kept, processes=processes)
    with torch.no_grad():
        scores = trained.model(torch.from_numpy(lists.pair_inputs(statistics))).numpy()
    weights = {name: tensor.numpy() for name, tensor in trained.model.state_dict().items()}
    return trained.metrics, weights, scores - scores.mean(axis=1, keepdims=True)


def embeddings_of(n: int, *, processes: Processes) -> NDArray[np.float32]:
    """Embeddings of a random graph of n users by an untrained GraphSAGE."""
    encoder, features, graph = _untrained(n)
    rows = embed_everybody(encoder, torch.from_numpy(features), graph, batch=7, shards=processes)
    return rows.numpy()


def embeddings_by_call(n: int, *, processes: Processes) -> NDArray[np.float32] | None:
    """The same as rank 0 of a night has them made; None in the process that follows."""
    if not processes.leads:
        processes.follow()
        return None
    rows = embedded(*_untrained(n), processes=processes)
    processes.dismiss()
    return rows


def _untrained(n: int) -> tuple[GraphSage, NDArray[np.float32], Graph]:
    random = np.random.default_rng(5)
    graph = Graph.from_pairs(n, *random.integers(n, size=(2, 4 * n)))
    torch.manual_seed(0)
    encoder = GraphSage(GraphSageConfig(inputs=6, hidden=8, outputs=8, structural_columns=(4, 6))).eval()
    return encoder, random.normal(size=(n, 6)).astype(np.float32), graph


def exchanged(*, processes: Processes) -> dict[str, Any]:
    """What the exchanges come to, by name."""
    rank, found = processes.rank, dict[str, Any]()
    found["agreed"] = processes.agreed(lambda: {"rank": rank, "rows": np.arange(3), "weights": torch.ones(2, 2)})
    found["nothing"] = processes.agreed(lambda: (np.zeros(0), torch.zeros(0, 3)))
    found["mean"] = float(processes.mean(torch.tensor(float(rank + 1))))
    for n in (0, 1, 5, 6):
        own = processes.own(n)
        found[f"whole {n}"] = processes.whole(torch.arange(n)[own], n)
        found[f"weight {n}"] = processes.weight(n)

    # of the sum of squares of three rows, each process weighing all of them by its number
    rows = torch.arange(3.0)[processes.own(3)].requires_grad_()
    whole: Tensor = processes.whole_to_learn(rows, 3)
    loss: Tensor = (rank + 1) * whole.square().sum()
    torch.autograd.backward(loss)
    found["gradient"] = rows.grad
    return found
