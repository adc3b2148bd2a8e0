"""What all rows of a comparison share: one dataset, parted once, as it is trained on and as it is judged."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from models.features.profile_encoder import ProfileEncoder
from models.graph import Graph
from offline.encoders.inputs import (
    GraphInputs,
    Part,
    ProfileTargets,
    edge_attributes,
    graph_inputs,
    user_keys,
)
from offline.evaluation.baselines import BASELINES, baseline_lists
from offline.evaluation.full_ranking import FullRanking
from offline.features.graph_features import (
    GraphFeatures,
    People,
    SpectralReference,
    compute_graph_features,
)
from offline.features.temporal_graph import (
    EdgeSplit,
    Friendships,
    UserHistory,
    user_history,
)
from offline.night.backtest import active_people, known_and_hidden, sample
from offline.night.config import NightConfig
from offline.snapshot.snapshot import Interactions, Snapshot, write_snapshot

LONGEST = 50
"""places of a list that are judged"""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class View:
    """The people and friendships of one moment."""

    friendships: Friendships
    people: People
    graph_features: GraphFeatures
    moment: int
    """what is done from then on is not seen, seconds since 1970"""


@dataclass(frozen=True)
class SharedSplit:
    """One dataset for every row and seed: nothing of it depends on either.

    Three views of growing graphs: `trained` is what encoders pass messages over, its `labels` what they learn; in
    `listed` these are known, and its `outcomes` are what fusions learn; in `judged` these are known too, and `hidden`
    is what everything is judged on.
    """

    snapshot: Snapshot
    user_history: UserHistory
    config: NightConfig
    hidden: Graph
    sampled_viewers: NDArray[np.int64]
    """(u,) rows whose lists are judged"""
    labels: Graph
    outcomes: EdgeSplit
    known: Friendships
    trained: View
    judged: View
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
        """The ground of a dataset directory, at most `users` people judged; `home` takes the snapshot.

        Parted as `pymk evaluate` parts it. `started_at` is the moment of the export where the dataset tells none.
        Raises DatasetError where dataset or file cannot be used.
        """
        snapshot = write_snapshot(data, home / "snapshot", started_at=started_at or datetime.now(UTC))
        known, hidden, moment = known_and_hidden(snapshot, held_out, config.split.seed)
        everybody = user_history(snapshot, ProfileEncoder.fit(snapshot.profiles, config.text_model))
        split = config.split
        outcomes = known.split_edges(split.labels_of(known.count), split.seed + 1)
        labels = outcomes.kept.split_edges(split.labels_of(outcomes.kept.count), split.seed + 2)
        trained_at = labels.moment(outcomes.moment(moment))
        trained = _view(labels.kept, everybody, trained_at, None)
        reference = SpectralReference.of(trained.graph_features)
        sampled_viewers = sample(np.flatnonzero((hidden.degrees > 0) & active_people(snapshot)), users)
        log.info(
            "comparison_ground",
            users=snapshot.n,
            known=known.count,
            messages=labels.kept.count,
            labels=len(labels.hidden.indices) // 2,
            hidden=len(hidden.indices) // 2,
            judged=len(sampled_viewers),
        )
        return cls(
            snapshot=snapshot,
            user_history=everybody,
            config=config,
            hidden=hidden,
            sampled_viewers=sampled_viewers,
            labels=labels.hidden,
            outcomes=outcomes,
            known=known,
            trained=trained,
            judged=_view(known, everybody, moment, reference),
            reference=reference,
            keys=user_keys(snapshot.vocabulary),
            interactions=snapshot.interactions(),
            targets=ProfileTargets.of(snapshot.profiles),
            has_time=known.dates is not None,
        )

    def view(self, friendships: Friendships, moment: int) -> View:
        """Another view, its spectrum turned to that of `trained`."""
        return _view(friendships, self.user_history, moment, self.reference)

    def inputs(self, view: View, parts: tuple[Part, ...]) -> GraphInputs:
        """A view as encoders read it."""
        attributes = edge_attributes(view.friendships, self.interactions, view.moment)
        return graph_inputs(view.graph_features, view.people, parts, self.keys, attributes)

    def full_ranking(self, embeddings: NDArray[np.float32], limit: int = LONGEST) -> NDArray[np.int32]:
        """(u, limit) int32: the best of everybody for each of the asked by inner product of embeddings (n, d).

        -1 where there are fewer.
        """
        graph, people = self.judged.friendships.graph, self.judged.people
        ranking = FullRanking(graph, people.known, people.suggestible, limit)
        lists, everybody = np.full((len(self.sampled_viewers), limit), -1, np.int32), np.arange(graph.n, dtype=np.int32)
        for start in range(0, len(self.sampled_viewers), 256):
            scores = embeddings[self.sampled_viewers[start : start + 256]] @ embeddings.T
            for at, variant in enumerate(scores, start):
                best = ranking.best(int(self.sampled_viewers[at]), everybody, variant, above=-np.inf)
                lists[at, : len(best)] = best
        return lists

    def baselines(self) -> dict[str, NDArray[np.int32]]:
        """By classic method (u, LONGEST) int32."""
        people = self.judged.people
        return baseline_lists(
            self.judged.friendships.graph,
            self.sampled_viewers,
            LONGEST,
            known=people.known,
            suggestible=people.suggestible,
            methods=BASELINES,
        )


def _view(friendships: Friendships, everybody: UserHistory, moment: int, reference: SpectralReference | None) -> View:
    people = everybody.before(moment, friendships)
    return View(friendships, people, compute_graph_features(friendships.graph, people, reference), moment)
