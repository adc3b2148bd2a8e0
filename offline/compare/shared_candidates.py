"""Candidates of many viewers, made once, that every row's fusion learns from and is judged on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from models.candidates.generator import DEFAULT_PRERANK_WEIGHTS
from models.features.user_statistics import tower_statistics
from models.graph import Graph
from models.networks.graphsage import GraphSage, GraphSageConfig
from models.schema.pair_features import EMBEDDING
from offline.compare.shared_split import SharedSplit, View
from offline.features.temporal_graph import EdgeSplit
from offline.fusion.candidate_lists import CandidateLists
from offline.fusion.feedback import UNKNOWN, Outcome, logged
from offline.night.candidates import CandidateBuilder
from offline.night.train import extra_splits, viewers_of
from offline.ranker.training_lists import TrainingLists, training_lists
from offline.snapshot.snapshot import Interactions

MOST_LISTS = 1500
"""lists that a fusion learns from: as many with all their features take 200 MB"""
LEAST_LOGGED = 500
"""accepted suggestions among the lists from which the log tells what came of them; below, outcomes are simulated"""

Floats = NDArray[np.float32]
log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class SharedCandidates:
    """Lists of one or more views of the same people, without what an encoder says of them."""

    lists: TrainingLists
    views: tuple[View, ...]
    done: Interactions | None = None
    """what people did, where it tells what came of showing the candidates"""

    def of_encoder(self, embeddings: Sequence[Floats], at: NDArray[np.int64] | None = None) -> CandidateLists:
        """The lists, or those at some positions, with embeddings (n, d) of everybody in each of the views.

        The embeddings stand in the feature embedding_cosine, quantised as in a block, in the column of the encoder's
        product, and in what the towers read.
        """
        stacked = np.concatenate(embeddings)
        lists = with_cosines(self.lists if at is None else self.lists.take(at), stacked)
        people = [
            np.concatenate(
                [own, view.people.profile, view.people.activity, tower_statistics(view.graph_features.statistics)],
                axis=1,
            )
            for own, view in zip(embeddings, self.views, strict=True)
        ]
        statistics = np.concatenate([view.graph_features.statistics for view in self.views])
        made = CandidateLists.of(lists, np.concatenate(people), statistics, DEFAULT_PRERANK_WEIGHTS, stacked)
        if self.done is None:
            return made
        return replace(made, outcomes=logged(lists.users, lists.rows, self.done, len(embeddings[0])))


def with_cosines(lists: TrainingLists, embeddings: Floats) -> TrainingLists:
    """The lists with the inner products of these embeddings, stacked as the tables are, for embedding_cosine."""
    codes, low, step = lists.codes.copy(), lists.low.copy(), lists.step.copy()
    candidates, used = lists.at_candidates(), lists.in_use
    for at, viewer in enumerate(lists.at_viewers):
        values = embeddings[candidates[at, used[at]]] @ embeddings[viewer]
        if len(values):
            low[at, EMBEDDING] = values.min()
            step[at, EMBEDDING] = max(float(np.ptp(values)), 1e-6) / 255
            codes[at, EMBEDDING, used[at]] = np.rint((values - low[at, EMBEDDING]) / step[at, EMBEDDING])
    return replace(lists, codes=codes, low=low, step=step)


def training_candidates(split: SharedSplit, directory: Path, most: int = MOST_LISTS) -> SharedCandidates:
    """The lists that fusions learn from, with the outcomes that encoders have not seen; `directory` takes indexes.

    A graph with few viewers hides more of its friendships, each part alone, as a night does.
    """
    config = split.config.model_copy(update={"ranker": split.config.ranker.model_copy(update={"lists": most})})
    messages = split.trained.friendships
    hidings: list[EdgeSplit] = [split.outcomes, *extra_splits(split.known, messages, split.outcomes, config)]
    each = -(-most // len(hidings))
    views, lists = [], []
    for number, hiding in enumerate(hidings):
        view = split.view(hiding.kept, hiding.moment(split.judged.moment))
        viewers = viewers_of(hiding, view.people.suggestible, config, each)
        views.append(view)
        lists.append(_lists(split, view, viewers, hiding.hidden, directory / f"listed-{number}"))
    joined = TrainingLists.stacked(lists, split.snapshot.n)
    log.info("lists_made", lists=len(joined), friendships=int(joined.outcomes.sum()))
    outcomes = logged(joined.users, joined.rows, split.interactions, split.snapshot.n)
    known = int((outcomes == Outcome.ACCEPT).sum()) >= LEAST_LOGGED and bool((outcomes != UNKNOWN).any())
    return SharedCandidates(joined, tuple(views), split.interactions if known else None)


def evaluation_candidates(split: SharedSplit, directory: Path) -> SharedCandidates:
    """The candidates of everybody who is asked; `directory` takes the index."""
    lists = _lists(split, split.judged, split.sampled_viewers, split.hidden, directory / "judged")
    return SharedCandidates(lists, (split.judged,))


def _lists(split: SharedSplit, view: View, viewers: NDArray[np.int64], labels: Graph, directory: Path) -> TrainingLists:
    """Candidates that owe nothing to any row: the nearest by embedding are the nearest in the spectrum."""
    around = view.graph_features
    carried = (around.carried.start, around.carried.stop)
    shape = GraphSageConfig(inputs=around.inputs.shape[1], hidden=16, carried_columns=carried)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        beginning = GraphSage(shape)
    with torch.no_grad():
        beginning.joined.linear.bias.zero_()
        beginning.joined.linear.weight.zero_()
        width = min(carried[1] - carried[0], shape.outputs)
        beginning.joined.linear.weight[:width, carried[0] : carried[0] + width] = torch.eye(width)
    config = split.config
    builder = CandidateBuilder(beginning, DEFAULT_PRERANK_WEIGHTS, config.candidates, config.index)
    seen = builder.build(around, view.people, viewers, directory)
    return training_lists(seen.generator, viewers, labels, config.candidates.kept)
