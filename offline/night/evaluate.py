"""The evaluation step of a night: the lists that the service would show, on friendships that nothing has seen."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.candidates.generator import CandidateGenerator
from models.graph import Graph
from models.ranker.ranker import Ranker
from models.version.towers import Towers
from offline.evaluation.ablation import ablated_lists, tower_lists
from offline.evaluation.baselines import baseline_lists
from offline.evaluation.report import SYSTEM, Report, difference, judge_lists
from offline.evaluation.system import Ranked, rank
from offline.features.graph_features import People, compute_graph_features
from offline.features.temporal_graph import EdgeSplit
from offline.night.candidates import CandidateBuild
from offline.night.context import NightContext
from offline.night.model_bundle import ModelBundle

LONGEST = 50
"""places of a list that are evaluated"""


def evaluate(night: NightContext, bundle: ModelBundle, split: EdgeSplit, moment: int, directory: Path) -> Report:
    """The report on a sample of users with hidden friendships, when `split.kept`, as of `moment`, is all that is known.

    `bundle` was read from a directory; `directory` takes index and embeddings.
    """
    people = night.history.before(moment, split.kept)
    with_outcome = np.flatnonzero((split.hidden.degrees > 0) & people.suggestible)
    drawn = np.random.default_rng(night.seed).permutation(with_outcome)[: night.config.split.judged_users]
    viewers, graph = np.sort(drawn).astype(np.int64), split.kept.graph
    system = CandidateSystem.of(night, bundle, graph, people, viewers, directory)
    lists = {SYSTEM: system.ranked(viewers, LONGEST).rows}
    lists |= baseline_lists(
        graph, viewers, LONGEST, known=people.known, suggestible=people.suggestible, late=people.late
    )
    report = judge_lists(split.hidden, viewers, lists)
    others = tower_lists(system.generator, system.ranker, system.tables, viewers, LONGEST)
    found = {name: difference(split.hidden, viewers, lists[SYSTEM], other) for name, other in others.items()}
    return report.model_copy(update={"parts": {name: one for name, one in found.items() if one is not None}})


@dataclass(frozen=True)
class EvaluationTables:
    """What scoring reads of every user, before it is a version's tables."""

    towers: Towers
    statistics: NDArray[np.float32]

    @classmethod
    def of(cls, view: CandidateBuild) -> "EvaluationTables":
        """The tables of a graph with its candidates."""
        return cls(view.candidate_inputs.towers, view.graph_features.statistics)


@dataclass(frozen=True)
class CandidateSystem:
    """The system as it is evaluated: candidates and scores when one graph is all that is known."""

    generator: CandidateGenerator
    ranker: Ranker
    tables: EvaluationTables

    @classmethod
    def of(
        cls,
        night: NightContext,
        bundle: ModelBundle,
        graph: Graph,
        people: People,
        viewers: NDArray[np.int64],
        directory: Path,
    ) -> "CandidateSystem":
        """The system for `viewers` (u,), by a bundle read from a directory; `directory` takes index and embeddings."""
        graph_features = compute_graph_features(graph, people, bundle.reference(night.snapshot.vocabulary))
        builder = night.candidates(bundle.embedder, bundle.prerank_weights, bundle.training.towers)
        view = builder.build(graph_features, people, viewers, directory)
        return cls(view.generator, bundle.served_ranker(), EvaluationTables.of(view))

    def ranked(self, viewers: NDArray[np.int64], kept: int) -> Ranked:
        """The `kept` best candidates of `viewers` (u,)."""
        return rank(self.generator, self.ranker, self.tables, viewers, kept)

    def ablated(self, viewers: NDArray[np.int64], length: int) -> dict[str, NDArray[np.int32]]:
        """By part left out, the `length` best candidates of `viewers` (u,)."""
        return ablated_lists(self.generator, self.ranker, self.tables, viewers, length)
