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
    People,
    Reference,
    Surroundings,
    survey,
)
from offline.features.temporal_graph import (
    Friendships,
    Parted,
    Population,
    population,
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
    surroundings: Surroundings
    moment: int
    """what is done from then on is not seen, seconds since 1970"""


@dataclass(frozen=True)
class Ground:
    """One dataset for every row and seed: nothing of it depends on either.

    Three views of growing graphs: `trained` is what encoders pass messages over, its `labels` what they learn; in
    `listed` these are known, and its `outcomes` are what fusions learn; in `judged` these are known too, and `hidden`
    is what everything is judged on.
    """

    snapshot: Snapshot
    population: Population
    config: NightConfig
    hidden: Graph
    asked: NDArray[np.int64]
    """(u,) rows whose lists are judged"""
    labels: Graph
    outcomes: Parted
    known: Friendships
    trained: View
    judged: View
    reference: Reference
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
    ) -> "Ground":
        """The ground of a dataset directory, at most `users` people judged; `home` takes the snapshot.

        Parted as `pymk evaluate` parts it. `started_at` is the moment of the export where the dataset tells none.
        Raises DatasetError where dataset or file cannot be used.
        """
        snapshot = write_snapshot(data, home / "snapshot", started_at=started_at or datetime.now(UTC))
        known, hidden, moment = known_and_hidden(snapshot, held_out, config.split.seed)
        everybody = population(snapshot, ProfileEncoder.fit(snapshot.profiles, config.text_model))
        split = config.split
        outcomes = known.parted(split.labels_of(known.count), split.seed + 1)
        labels = outcomes.kept.parted(split.labels_of(outcomes.kept.count), split.seed + 2)
        trained_at = labels.moment(outcomes.moment(moment))
        trained = _view(labels.kept, everybody, trained_at, None)
        reference = Reference.of(trained.surroundings)
        asked = sample(np.flatnonzero((hidden.degrees > 0) & active_people(snapshot)), users)
        log.info(
            "comparison_ground",
            users=snapshot.n,
            known=known.count,
            messages=labels.kept.count,
            labels=len(labels.hidden.indices) // 2,
            hidden=len(hidden.indices) // 2,
            judged=len(asked),
        )
        return cls(
            snapshot=snapshot,
            population=everybody,
            config=config,
            hidden=hidden,
            asked=asked,
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
        return _view(friendships, self.population, moment, self.reference)

    def inputs(self, view: View, parts: tuple[Part, ...]) -> GraphInputs:
        """A view as encoders read it."""
        attributes = edge_attributes(view.friendships, self.interactions, view.moment)
        return graph_inputs(view.surroundings, view.people, parts, self.keys, attributes)

    def full_ranking(self, embeddings: NDArray[np.float32], limit: int = LONGEST) -> NDArray[np.int32]:
        """(u, limit) int32: the best of everybody for each of the asked by inner product of embeddings (n, d).

        -1 where there are fewer.
        """
        graph, people = self.judged.friendships.graph, self.judged.people
        ranking = FullRanking(graph, people.known, people.suggestible, limit)
        lists, everybody = np.full((len(self.asked), limit), -1, np.int32), np.arange(graph.n, dtype=np.int32)
        for start in range(0, len(self.asked), 256):
            scores = embeddings[self.asked[start : start + 256]] @ embeddings.T
            for at, row in enumerate(scores, start):
                best = ranking.best(int(self.asked[at]), everybody, row, above=-np.inf)
                lists[at, : len(best)] = best
        return lists

    def baselines(self) -> dict[str, NDArray[np.int32]]:
        """By classic method (u, LONGEST) int32."""
        people = self.judged.people
        return baseline_lists(
            self.judged.friendships.graph,
            self.asked,
            LONGEST,
            known=people.known,
            suggestible=people.suggestible,
            methods=BASELINES,
        )


def _view(friendships: Friendships, everybody: Population, moment: int, reference: Reference | None) -> View:
    people = everybody.before(moment, friendships)
    return View(friendships, people, survey(friendships.graph, people, reference), moment)
