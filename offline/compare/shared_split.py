"""The data that all rows of a comparison share: one dataset, split once for training and evaluation."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from models.features.profile_encoder import ProfileEncoder
from models.graph import Graph
from offline.encoders.config import Part
from offline.encoders.inputs import GraphInputs, ProfileTargets, edge_attributes, graph_inputs, user_keys
from offline.evaluation.baselines import BASELINES, baseline_lists
from offline.evaluation.full_ranking import FullRanking
from offline.features.graph_features import GraphFeatures, People, SpectralReference, compute_graph_features
from offline.features.temporal_graph import EdgeSplit, Friendships, UserHistory, user_history
from offline.night.backtest import active_people, known_and_hidden, sample
from offline.night.config import NightConfig
from offline.snapshot.snapshot import Interactions, Snapshot, write_snapshot

LONGEST = 50
"""evaluated positions of a list"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class View:
    """Users and friendships at one time."""

    friendships: Friendships
    people: People
    graph_features: GraphFeatures
    cutoff: int
    """interactions from this time on are not visible, seconds since 1970"""


@dataclass(frozen=True)
class SharedSplit:
    """One dataset split for every row and seed; depends on neither.

    Three growing graphs: encoders pass messages over `trained` and learn its `labels`; fusions know these and learn
    `outcomes`; in `evaluated` these are known too, and `hidden` is what everything is evaluated on.
    """

    snapshot: Snapshot
    user_history: UserHistory
    config: NightConfig
    hidden: Graph
    sampled_viewers: NDArray[np.int64]
    """(u,) rows whose lists are evaluated"""
    labels: Graph
    outcomes: EdgeSplit
    known: Friendships
    trained: View
    evaluated: View
    reference: SpectralReference
    keys: NDArray[np.int64]
    """(n,) of GraphInputs"""
    interactions: Interactions
    targets: ProfileTargets
    has_time: bool
    """whether friendships have dates"""

    @classmethod
    def of(
        cls,
        data: Path,
        held_out: Path | None,
        home: Path,
        config: NightConfig,
        users: int,
        started_at: datetime | None = None,
    ) -> "SharedSplit":
        """The split of a dataset directory, with at most `users` users evaluated; `home` holds the snapshot.

        Splits as `pymk evaluate` does. `started_at` is the time of the export if the dataset has none. Raises
        DatasetError if the dataset or the file cannot be used.
        """
        # edge splits: hidden from all, from fusions, from encoders
        snapshot = write_snapshot(data, home / "snapshot", started_at=started_at or datetime.now(UTC))
        known, hidden, cutoff = known_and_hidden(snapshot, held_out, config.split.seed)
        history = user_history(snapshot, ProfileEncoder.fit(snapshot.profiles, config.text_model))
        split = config.split
        outcomes = known.split_edges(split.labels_of(known.count), split.seed + 1)
        labels = outcomes.kept.split_edges(split.labels_of(outcomes.kept.count), split.seed + 2)
        # views of the graph at each split
        trained_at = labels.moment(outcomes.moment(cutoff))
        trained = _view(labels.kept, history, trained_at, None)
        reference = SpectralReference.of(trained.graph_features)
        sampled_viewers = sample(np.flatnonzero((hidden.degrees > 0) & active_people(snapshot)), users)
        log.info(
            "comparison_split",
            users=snapshot.n,
            known=known.count,
            messages=labels.kept.count,
            labels=len(labels.hidden.indices) // 2,
            hidden=len(hidden.indices) // 2,
            judged=len(sampled_viewers),
        )
        return cls(
            snapshot=snapshot,
            user_history=history,
            config=config,
            hidden=hidden,
            sampled_viewers=sampled_viewers,
            labels=labels.hidden,
            outcomes=outcomes,
            known=known,
            trained=trained,
            evaluated=_view(known, history, cutoff, reference),
            reference=reference,
            keys=user_keys(snapshot.vocabulary),
            interactions=snapshot.interactions(),
            targets=ProfileTargets.of(snapshot.profiles),
            has_time=known.dates is not None,
        )

    def view(self, friendships: Friendships, cutoff: int) -> View:
        """Another view, with its spectral coordinates aligned to those of `trained`."""
        return _view(friendships, self.user_history, cutoff, self.reference)

    def inputs(self, view: View, parts: tuple[Part, ...]) -> GraphInputs:
        """The encoder inputs of a view."""
        attributes = edge_attributes(view.friendships, self.interactions, view.cutoff)
        return graph_inputs(view.graph_features, view.people, parts, self.keys, attributes)

    def full_ranking(self, embeddings: NDArray[np.float32], limit: int = LONGEST) -> NDArray[np.int32]:
        """(u, limit) int32: the best of all rows for each sampled viewer by inner product of embeddings (n, d).

        -1 past the last.
        """
        graph, people = self.evaluated.friendships.graph, self.evaluated.people
        ranking = FullRanking(graph, people.known, people.suggestible, limit)
        lists, every_row = np.full((len(self.sampled_viewers), limit), -1, np.int32), np.arange(graph.n, dtype=np.int32)
        for start in range(0, len(self.sampled_viewers), 256):
            scores = embeddings[self.sampled_viewers[start : start + 256]] @ embeddings.T
            for at, row_scores in enumerate(scores, start):
                best = ranking.best(int(self.sampled_viewers[at]), every_row, row_scores, above=-np.inf)
                lists[at, : len(best)] = best
        return lists

    def baselines(self) -> dict[str, NDArray[np.int32]]:
        """Lists (u, LONGEST) int32 of each baseline."""
        people = self.evaluated.people
        return baseline_lists(
            self.evaluated.friendships.graph,
            self.sampled_viewers,
            LONGEST,
            known=people.known,
            suggestible=people.suggestible,
            methods=BASELINES,
        )


def _view(friendships: Friendships, history: UserHistory, cutoff: int, reference: SpectralReference | None) -> View:
    people = history.before(cutoff, friendships)
    return View(friendships, people, compute_graph_features(friendships.graph, people, reference), cutoff)
