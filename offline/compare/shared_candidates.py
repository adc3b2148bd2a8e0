"""Candidate lists of many viewers, built once, on which every row's fusion is trained and evaluated."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from models.arrays import Float32s
from models.features.towers import TowerShape
from models.graph import Graph
from models.networks.config import GraphSageConfig
from models.networks.graphsage import GraphSage
from models.schema.pair_features import DEFAULT_PRERANK_WEIGHTS, EMBEDDING
from offline.compare.shared_split import SharedSplit, View
from offline.features.temporal_graph import EdgeSplit
from offline.fusion.candidate_lists import CandidateLists
from offline.fusion.feedback import UNKNOWN, Outcome, logged
from offline.night.candidates import CandidateBuilder
from offline.night.train import extra_splits, viewers_of
from offline.ranker.training_lists import TrainingLists, training_lists
from offline.snapshot.snapshot import Interactions

MOST_LISTS = 1500
"""lists that a fusion is trained on: this many take 200 MB with all features"""
LEAST_LOGGED = 500
"""accepted suggestions among the lists from which logged outcomes are used; below, outcomes are simulated"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class SharedCandidates:
    """Lists of one or more views of the same users, without the encoder's features."""

    lists: TrainingLists
    views: tuple[View, ...]
    interactions: Interactions | None = None
    """the interactions with outcomes of shown candidates, or None to simulate outcomes"""

    def of_encoder(self, embeddings: Sequence[Float32s], at: NDArray[np.int64] | None = None) -> CandidateLists:
        """The lists, or those at some positions, with all users' embeddings (n, d) in each of the views.

        The embeddings fill the feature embedding_cosine, quantised as in a block, and the column of the encoder's
        product.
        """
        stacked = np.concatenate(embeddings)
        lists = with_cosines(self.lists if at is None else self.lists.take(at), stacked)
        statistics = np.concatenate([view.graph_features.statistics for view in self.views])
        built = CandidateLists.of(lists, statistics, DEFAULT_PRERANK_WEIGHTS, stacked)
        if self.interactions is None:
            return built
        return replace(built, outcomes=logged(lists.users, lists.rows, self.interactions, len(embeddings[0])))


def with_cosines(lists: TrainingLists, embeddings: Float32s) -> TrainingLists:
    """The lists with embedding_cosine from the inner products of these embeddings, stacked as the tables are."""
    codes, low, step = lists.codes.copy(), lists.low.copy(), lists.step.copy()
    at_candidates, used = lists.at_candidates(), lists.in_use
    for at, viewer in enumerate(lists.at_viewers):
        values = embeddings[at_candidates[at, used[at]]] @ embeddings[viewer]
        if len(values):
            low[at, EMBEDDING] = values.min()
            step[at, EMBEDDING] = max(float(np.ptp(values)), 1e-6) / 255
            codes[at, EMBEDDING, used[at]] = np.rint((values - low[at, EMBEDDING]) / step[at, EMBEDDING])
    return replace(lists, codes=codes, low=low, step=step)


def training_candidates(split: SharedSplit, directory: Path, most: int = MOST_LISTS) -> SharedCandidates:
    """The lists to train fusions on, with outcomes that encoders have not seen; `directory` holds indexes.

    A graph with few viewers hides more edge splits, each separately, as a night does.
    """
    config = split.config.model_copy(update={"ranker": split.config.ranker.model_copy(update={"lists": most})})
    messages = split.trained.friendships
    edge_splits: list[EdgeSplit] = [split.outcomes, *extra_splits(split.known, messages, split.outcomes, config)]
    each = -(-most // len(edge_splits))
    views, lists = [], []
    for number, edges in enumerate(edge_splits):
        view = split.view(edges.kept, edges.moment(split.evaluated.cutoff))
        viewers = viewers_of(edges, view.people.suggestible, config, each)
        views.append(view)
        lists.append(_lists(split, view, viewers, edges.hidden, directory / f"listed-{number}"))
    joined = TrainingLists.stacked(lists, split.snapshot.n)
    log.info("candidate_lists_built", lists=len(joined), friendships=int(joined.outcomes.sum()))
    outcomes = logged(joined.users, joined.rows, split.interactions, split.snapshot.n)
    known = int((outcomes == Outcome.ACCEPT).sum()) >= LEAST_LOGGED and bool((outcomes != UNKNOWN).any())
    return SharedCandidates(joined, tuple(views), split.interactions if known else None)


def evaluation_candidates(split: SharedSplit, directory: Path) -> SharedCandidates:
    """The candidates of all sampled viewers; `directory` holds the index."""
    lists = _lists(split, split.evaluated, split.sampled_viewers, split.hidden, directory / "evaluated")
    return SharedCandidates(lists, (split.evaluated,))


def _lists(split: SharedSplit, view: View, viewers: NDArray[np.int64], labels: Graph, directory: Path) -> TrainingLists:
    """Candidates that depend on no row: the nearest by embedding are the nearest in the spectrum."""
    features = view.graph_features
    carried = (features.carried.start, features.carried.stop)
    shape = GraphSageConfig(inputs=features.inputs.shape[1], hidden=16, carried_columns=carried)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = GraphSage(shape)
    with torch.no_grad():
        encoder.joined.linear.bias.zero_()
        encoder.joined.linear.weight.zero_()
        width = min(carried[1] - carried[0], shape.outputs)
        encoder.joined.linear.weight[:width, carried[0] : carried[0] + width] = torch.eye(width)
    config = split.config
    builder = CandidateBuilder(encoder, DEFAULT_PRERANK_WEIGHTS, config.candidates, config.index, TowerShape())
    candidates = builder.build(features, view.people, viewers, directory)
    return training_lists(candidates.generator, viewers, labels, config.candidates.kept)
