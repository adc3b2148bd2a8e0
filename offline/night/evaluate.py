"""The evaluation step of a night: the lists that the service would show, on friendships that nothing has seen."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.candidates.generator import CandidateGenerator
from models.graph import Graph
from models.ranker.ranker import Ranker
from offline.evaluation.ablation import ablated_lists
from offline.evaluation.baselines import baseline_lists
from offline.evaluation.report import SYSTEM, Report, judge_lists
from offline.evaluation.system import Ranked, rank
from offline.features.graph_features import People, SpectralReference, compute_graph_features
from offline.night.candidates import CandidateBuild, build_candidates
from offline.night.config import NightConfig
from offline.night.model_bundle import ModelBundle
from offline.ranker.train import candidate_vectors

LONGEST = 50
"""people of a list that are judged"""


@dataclass(frozen=True)
class EvaluationTables:
    """What scoring reads of everybody, before it is a version's tables."""

    candidate_vectors: NDArray[np.float32]
    tower_inputs: NDArray[np.float16]
    statistics: NDArray[np.float32]

    @classmethod
    def of(cls, bundle: ModelBundle, view: CandidateBuild) -> "EvaluationTables":
        """The candidate tower's output beside what it read."""
        n = view.graph_features.graph.n
        if bundle.ranker is None:
            vectors = np.zeros((n, 1), np.float32)
        else:
            vectors = candidate_vectors(bundle.ranker, torch.from_numpy(view.tower_inputs)).numpy()
        return cls(vectors, view.tower_inputs.astype(np.float16), view.graph_features.statistics)


def ranked(
    graph: Graph,
    people: People,
    bundle: ModelBundle,
    reference: SpectralReference,
    users: NDArray[np.int64],
    model_directory: Path,
    directory: Path,
    config: NightConfig,
    kept: int,
) -> Ranked:
    """The `kept` best candidates of `users` (u,) when `graph` is all that is known; `directory` holds what it takes."""
    judged = CandidateSystem.of(graph, people, bundle, reference, users, model_directory, directory, config)
    return judged.ranked(users, kept)


@dataclass(frozen=True)
class CandidateSystem:
    """The system as it is judged: candidates and scores when one graph is all that is known."""

    generator: CandidateGenerator
    ranker: Ranker
    tables: EvaluationTables

    @classmethod
    def of(
        cls,
        graph: Graph,
        people: People,
        bundle: ModelBundle,
        reference: SpectralReference,
        users: NDArray[np.int64],
        model_directory: Path,
        directory: Path,
        config: NightConfig,
    ) -> "CandidateSystem":
        """The system for `users` (u,); `directory` holds what it takes."""
        graph_features = compute_graph_features(graph, people, reference)
        view = build_candidates(
            graph_features,
            people,
            bundle.embedder,
            bundle.prerank_weights,
            users,
            directory,
            config.candidates,
            config.index,
        )
        return cls(view.generator, Ranker.open(model_directory), EvaluationTables.of(bundle, view))

    def ranked(self, users: NDArray[np.int64], kept: int) -> Ranked:
        """The `kept` best candidates of `users` (u,)."""
        return rank(self.generator, self.ranker, self.tables, users, kept)

    def ablated(self, users: NDArray[np.int64], length: int) -> dict[str, NDArray[np.int32]]:
        """By part left out, the `length` best candidates of `users` (u,)."""
        return ablated_lists(self.generator, self.ranker, self.tables, users, length)


def evaluate(
    graph: Graph,
    held_out: Graph,
    people: People,
    bundle: ModelBundle,
    reference: SpectralReference,
    users: NDArray[np.int64],
    model_directory: Path,
    directory: Path,
    config: NightConfig,
) -> Report:
    """The report on `users` (u,), who have friendships in `held_out`, when `graph` is all that is known."""
    system = ranked(graph, people, bundle, reference, users, model_directory, directory, config, LONGEST)
    lists = {SYSTEM: system.rows}
    lists |= baseline_lists(graph, users, LONGEST, known=people.known, suggestible=people.suggestible)
    return judge_lists(held_out, users, lists)
