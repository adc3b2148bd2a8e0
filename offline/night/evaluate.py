"""The evaluation step of a night: the lists that the service would show, on friendships that nothing has seen."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import structlog
from numpy.typing import NDArray

from models.candidates.generator import CandidateGenerator
from models.graph import Graph
from models.ranker.ranker import Ranker
from models.schema.profiles import CategoricalColumn, Profiles
from models.version.towers import Towers
from offline.evaluation.ablation import ablated_lists, tower_lists
from offline.evaluation.baselines import RESOURCE_ALLOCATION, baseline_lists
from offline.evaluation.exposure import Column, GroupReport, exposure, group_report
from offline.evaluation.outcomes.friendships import recall_ratio
from offline.evaluation.report import RATIO_LIMIT, SYSTEM, Promised, Report, difference, hits_of, judge_lists
from offline.evaluation.system import Candidates, KeptCandidates, Ranked, rank
from offline.features.graph_features import People
from offline.features.temporal_graph import EdgeSplit
from offline.night.candidates import CandidateBuild
from offline.night.config import NightConfig
from offline.night.context import NightContext
from offline.night.model_bundle import ModelBundle
from offline.ranker.calibration import outcome_weight, sampled_viewers
from offline.steps.stages import stage

LONGEST = 50
"""places of a list that are evaluated"""


def evaluate(night: NightContext, bundle: ModelBundle, split: EdgeSplit, moment: int, directory: Path) -> Report:
    """The report on a sample of users with hidden friendships, when `split.kept`, as of `moment`, is all that is known.

    `bundle` was read from a directory; `directory` takes index and embeddings. Lists are compared by links alone; what
    they show of whom, and promise, is what is served, with the bundle's heads of outcomes.
    """
    people = night.history.before(moment, split.kept)
    with_outcome = np.flatnonzero((split.hidden.degrees > 0) & people.suggestible)
    drawn = np.random.default_rng(night.seed).permutation(with_outcome)[: night.config.split.judged_users]
    viewers, graph = np.sort(drawn).astype(np.int64), split.kept.graph
    anybody = viewers
    if split.cut is None:
        anybody = sampled_viewers(graph, people.suggestible, night.config.split.judged_users, night.seed)
    system = CandidateSystem.of(night, bundle, graph, people, np.union1d(viewers, anybody), directory)
    with stage("lists", viewers=len(viewers)):
        lists = {SYSTEM: system.ranked(viewers, LONGEST).rows}
    with stage("baselines", viewers=len(viewers)):
        lists |= baseline_lists(
            graph,
            viewers,
            LONGEST,
            known=people.known,
            suggestible=people.suggestible,
            late=people.late,
            given=system.baselines_of_jobs(viewers, LONGEST),
        )
    served, rows, kept = system, lists[SYSTEM], None
    if bundle.outcomes is not None:  # the order that is served
        served = replace(system, ranker=system.ranker.with_outcomes(bundle.outcomes))
        rows = served.ranked(viewers, LONGEST).rows
        kept = recall_ratio(split.hidden, viewers, rows, lists[SYSTEM])
    shown = {SYSTEM: rows[:, :RATIO_LIMIT], RESOURCE_ALLOCATION: lists[RESOURCE_ALLOCATION][:, :RATIO_LIMIT]}
    found = {name: exposure(rows, graph.degrees, people.suggestible) for name, rows in shown.items()}
    promised = _promised(served, split, anybody, night.config)
    others = tower_lists(system.candidates, system.ranker, system.tables, viewers, LONGEST)
    parts = {name: difference(split.hidden, viewers, lists[SYSTEM], other) for name, other in others.items()}
    judged = judge_lists(split.hidden, viewers, lists)
    known = {name: one for name, one in parts.items() if one is not None}
    groups = None
    if night.group_column:
        hits = hits_of(split.hidden, viewers, shown[SYSTEM])
        groups = compared_groups(night.snapshot.profiles, night.group_column, shown[SYSTEM], hits, people.suggestible)
    update = {"exposure": found, "promised": promised, "parts": known, "groups": groups, "friendships_kept": kept}
    return judged.model_copy(update=update)


def compared_groups(
    profiles: Profiles,
    name: str,
    shown: NDArray[np.int32],
    hits: NDArray[np.bool_],
    suggestible: NDArray[np.bool_],
) -> GroupReport | None:
    """The groups of a column in lists (U, k), -1 for an empty position, of which `hits` (U, k) became friendships.

    None, with a warning, if the column is missing or not categorical; None if it has fewer than two groups.
    """
    column = profiles.columns.get(name)
    if not isinstance(column, CategoricalColumn):
        known = sorted(one for one, other in profiles.columns.items() if isinstance(other, CategoricalColumn))
        structlog.get_logger().warning("groups_not_compared", column=name, categorical=known)
        return None
    n, listed = len(suggestible), shown >= 0
    times = np.bincount(shown[listed], minlength=n).astype(np.float64)
    came = np.bincount(shown[listed & hits], minlength=n).astype(np.float64)
    codes = np.where(suggestible, column.codes, -1).astype(np.int64)
    return group_report(Column(name, column.values, codes), times, came, times)


def _promised(system: "CandidateSystem", split: EdgeSplit, viewers: NDArray[np.int64], config: NightConfig) -> Promised:
    """What the probabilities of shown candidates promise to `viewers` (u,), and what came of them.

    A held-out friendship represents as many as the probabilities are of: those not known of the whole graph, or, with
    dates, those of a window like the one that training calibrated on, of viewers who made a friend in it.
    """
    ranked = system.ranked(viewers, RATIO_LIMIT)
    shown = ranked.rows >= 0
    if split.cut is None:
        weight = outcome_weight(split)
    else:
        weight = config.split.labels_of(split.kept.count) / config.split.judged_share
    came = hits_of(split.hidden, viewers, ranked.rows)[shown].sum()
    promised = float(ranked.scores[shown].astype(np.float64).sum())
    return Promised(pairs=int(shown.sum()), promised=promised, came=float(came) * weight, weight=weight)


@runtime_checkable
class BaselineJobs(Protocol):
    """Where lists of some baselines come from."""

    def baseline_lists(self, users: NDArray[np.int64], limit: int) -> dict[str, NDArray[np.int32]]:
        """By baseline the first `limit` rows for each of `users` (u,), -1 past the last."""


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

    candidates: Candidates
    ranker: Ranker
    tables: EvaluationTables
    generator: CandidateGenerator

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
        """The system for `viewers` (u,), by links alone, of a bundle read from a directory; `directory` takes index and
        embeddings.
        """
        reference = bundle.reference(night.snapshot.vocabulary)
        graph_features = night.graph_features(graph, people, reference, directory)
        builder = night.candidates(bundle.embedder, bundle.prerank_weights, bundle.training.towers)
        view = builder.build(graph_features, people, viewers, directory)
        ranker = bundle.served_ranker().with_outcomes(None)
        return cls(KeptCandidates(view.generator), ranker, EvaluationTables.of(view), view.generator)

    def baselines_of_jobs(self, viewers: NDArray[np.int64], limit: int) -> dict[str, NDArray[np.int32]]:
        """The lists (u, limit) of baselines that Spark makes for `viewers` (u,), if candidates come from there."""
        return self.generator.baseline_lists(viewers, limit) if isinstance(self.generator, BaselineJobs) else {}

    def ranked(self, viewers: NDArray[np.int64], kept: int) -> Ranked:
        """The `kept` best candidates of `viewers` (u,)."""
        return rank(self.candidates, self.ranker, self.tables, viewers, kept)

    def ablated(self, viewers: NDArray[np.int64], length: int) -> dict[str, NDArray[np.int32]]:
        """By part left out, the `length` best candidates of `viewers` (u,)."""
        return ablated_lists(self.candidates, self.ranker, self.tables, viewers, length)
