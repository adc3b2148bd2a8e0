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
from offline.evaluation.report import (
    RATIO_LIMIT,
    SYSTEM,
    Promised,
    Report,
    Retraining,
    difference,
    hits_of,
    judge_lists,
)
from offline.evaluation.system import Candidates, KeptCandidates, Ranked, rank
from offline.features.graph_features import GraphFeatures, People, compute_graph_features
from offline.features.temporal_graph import EdgeSplit
from offline.night.candidates import CandidateBuild
from offline.night.config import NightConfig
from offline.night.context import NightContext
from offline.night.former import WeightsPlan
from offline.night.model_bundle import ModelBundle
from offline.night.retraining.label_window import label_share, oldest_label
from offline.ranker.calibration import outcome_weight, sampled_viewers
from offline.steps.stages import stage

LONGEST = 50
"""places of a list that are evaluated"""
PARTS_TRAINED = {"encoder": "sage", "ranker": "ranker"}
"""what a training makes, and how its metrics begin"""


def evaluate(
    night: NightContext,
    bundle: ModelBundle,
    split: EdgeSplit,
    moment: int,
    directory: Path,
    plan: WeightsPlan | None = None,
) -> Report:
    """The report on a sample of users with hidden friendships, when `split.kept`, as of `moment`, is all that is known.

    `bundle` was read from a directory; `directory` takes index and embeddings. Lists are compared by links alone; what
    they show of whom, and promise, is what is served, with the bundle's heads of outcomes. If the `plan` replaces
    weights, the lists of these are judged beside.
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
    retrained = None
    if plan is not None and plan.reason is not None and plan.replaced is not None:
        with stage("before", viewers=len(viewers)):
            before = _lists_before(night, plan.replaced, system, people, viewers, directory / "before")
        retrained = _retraining(plan.reason, bundle, judged, split.hidden, viewers, lists[SYSTEM], before)
    update = {
        "retraining": retrained,
        "exposure": found,
        "promised": promised,
        "parts": known,
        "groups": groups,
        "friendships_kept": kept,
    }
    return judged.model_copy(update=update)


def _lists_before(
    night: NightContext,
    former: ModelBundle,
    system: "CandidateSystem",
    people: People,
    viewers: NDArray[np.int64],
    directory: Path,
) -> NDArray[np.int32] | None:
    """The lists (u, LONGEST) that the weights before give `viewers` (u,); None if these do not read this dataset."""
    seen, encoder = system.graph_features, former.embedder
    if former.ranker is not None and former.ranker.config.viewer_inputs != seen.statistics.shape[1]:
        return None
    people = replace(people, profile=former.encoder.encode(night.snapshot.profiles))
    reference = former.reference(night.snapshot.vocabulary)
    features = compute_graph_features(seen.graph, people, reference, known=seen)
    if getattr(encoder.config, "inputs", None) != features.inputs.shape[1]:
        return None
    before = CandidateSystem.seeing(night, former, features, people, viewers, directory)
    return before.ranked(viewers, LONGEST).rows


def _retraining(
    reason: str,
    bundle: ModelBundle,
    judged: Report,
    hidden: Graph,
    viewers: NDArray[np.int64],
    lists: NDArray[np.int32],
    before: NDArray[np.int32] | None,
) -> Retraining:
    """What the training of a bundle changed in the lists (u, LONGEST) of `viewers` (u,)."""
    warm = {part: bundle.training.metrics.get(f"{name}_warm") == 1 for part, name in PARTS_TRAINED.items()}
    quality = None if before is None else judge_lists(hidden, viewers, {SYSTEM: before}).methods
    return Retraining(
        reason=reason,
        warm=warm,
        before=(quality or {}).get(SYSTEM, {}).get(RATIO_LIMIT),
        after=judged.methods.get(SYSTEM, {}).get(RATIO_LIMIT),
        gain=None if before is None else difference(hidden, viewers, lists, before),
    )


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
        oldest = oldest_label(split.kept, config.split)
        weight = label_share(split.kept, config.split, oldest, parts=2) / config.split.judged_share
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
    graph_features: GraphFeatures

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
        features = night.graph_features(graph, people, reference, directory)
        return cls.seeing(night, bundle, features, people, viewers, directory)

    @classmethod
    def seeing(
        cls,
        night: NightContext,
        bundle: ModelBundle,
        graph_features: GraphFeatures,
        people: People,
        viewers: NDArray[np.int64],
        directory: Path,
    ) -> "CandidateSystem":
        """The same, of a graph whose features are known."""
        builder = night.candidates(bundle.embedder, bundle.prerank_weights, bundle.training.towers)
        view = builder.build(graph_features, people, viewers, directory)
        ranker = bundle.served_ranker().with_outcomes(None)
        return cls(KeptCandidates(view.generator), ranker, EvaluationTables.of(view), view.generator, graph_features)

    def baselines_of_jobs(self, viewers: NDArray[np.int64], limit: int) -> dict[str, NDArray[np.int32]]:
        """The lists (u, limit) of baselines that Spark makes for `viewers` (u,), if candidates come from there."""
        return self.generator.baseline_lists(viewers, limit) if isinstance(self.generator, BaselineJobs) else {}

    def ranked(self, viewers: NDArray[np.int64], kept: int) -> Ranked:
        """The `kept` best candidates of `viewers` (u,)."""
        return rank(self.candidates, self.ranker, self.tables, viewers, kept)

    def ablated(self, viewers: NDArray[np.int64], length: int) -> dict[str, NDArray[np.int32]]:
        """By part left out, the `length` best candidates of `viewers` (u,)."""
        return ablated_lists(self.candidates, self.ranker, self.tables, viewers, length)
