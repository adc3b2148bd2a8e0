"""What every fusion learns from and scores: the candidates of many viewers, each a row of numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.schema.pair_features import EXTRA_INPUTS, PAIR_FEATURES
from models.schema.statistic_names import STATISTICS
from offline.ranker.training_lists import TrainingLists

PRODUCT = "encoder_product"
"""the column that holds the encoder's dot product"""

PAIR_INPUTS = (
    *PAIR_FEATURES,
    *(f"relative_{name}" for name in PAIR_FEATURES),
    *EXTRA_INPUTS,
    *(f"viewer_{name}" for name in STATISTICS),
)
"""the columns that come before it: what the ranker's head reads, in its order"""


@dataclass(frozen=True)
class RankerInputs:
    """What the two-tower ranker reads beside the features: the lists as blocks keep them, and everybody's rows."""

    lists: TrainingLists
    people: NDArray[np.float32]
    """(g n, k) inputs of the towers, of everybody in each of the g graphs that the lists were made in"""
    statistics: NDArray[np.float32]
    """(g n, s)"""
    prior: NDArray[np.float32]
    """(p,) weights of the cheap score, where its training begins"""


@dataclass(frozen=True)
class CandidateLists:
    """The candidates of L viewers, C places each, best by the cheap score first.

    A million places of the 33 columns of `of` take 130 MB: choose the lists before they are put together.
    """

    features: NDArray[np.float32]
    """(L, C, F) heuristics and scores, sources as 0 or 1; of no meaning where not `valid`"""
    labels: NDArray[np.bool_]
    """(L, C) whether the candidate became a friend"""
    valid: NDArray[np.bool_]
    """(L, C) places that hold a candidate"""
    names: list[str]
    """(F,) what the columns are called; PRODUCT is the encoder's"""
    viewers: NDArray[np.int64]
    """(L,) a viewer's lists stay on one side of a validation"""
    friends_made: NDArray[np.int64]
    """(L,) friendships the viewer made in all, found or not"""
    ranker: RankerInputs | None = None
    """what the fusion two_tower needs; the others do without"""
    outcomes: NDArray[np.int8] | None = None
    """(L, C) what came of showing each candidate (offline.fusion.feedback.Outcome), for the fusions that learn from
    outcomes; None: simulated from the labels"""

    def __post_init__(self) -> None:
        lists, places, columns = self.features.shape
        shapes = (self.labels.shape, self.valid.shape, self.viewers.shape, self.friends_made.shape)
        if shapes != ((lists, places), (lists, places), (lists,), (lists,)) or len(self.names) != columns:
            raise ValueError(f"lists of {self.features.shape} features do not fit {shapes} and {len(self.names)} names")

    def __len__(self) -> int:
        return len(self.features)

    def take(self, at: NDArray[np.int64]) -> "CandidateLists":
        """The lists at these positions."""
        ranker = self.ranker
        if ranker is not None:
            ranker = RankerInputs(ranker.lists.take(at), ranker.people, ranker.statistics, ranker.prior)
        return CandidateLists(
            self.features[at],
            self.labels[at],
            self.valid[at],
            self.names,
            self.viewers[at],
            self.friends_made[at],
            ranker,
            None if self.outcomes is None else self.outcomes[at],
        )

    def columns(self, names: Sequence[str]) -> NDArray[np.int64]:
        """(k,) where those of the names that exist stand, in the order asked for."""
        return np.array([self.names.index(name) for name in names if name in self.names], dtype=np.int64)

    @classmethod
    def of(
        cls,
        lists: TrainingLists,
        people: NDArray[np.float32],
        statistics: NDArray[np.float32],
        prior: NDArray[np.float32],
        embeddings: NDArray[np.float32] | None = None,
    ) -> "CandidateLists":
        """The lists of the ranker's training as every fusion reads them.

        The columns are those of PAIR_INPUTS, and PRODUCT where `embeddings` (g n, d), stacked as `people` and
        `statistics` are, say what the encoder makes of everybody.
        """
        features, names = lists.pair_inputs(statistics), list(PAIR_INPUTS)
        if embeddings is not None:
            candidates = lists.at_candidates()
            product = np.stack(
                [embeddings[at] @ embeddings[viewer] for at, viewer in zip(candidates, lists.at_viewers, strict=True)]
            )
            features = np.concatenate([features, product[:, :, None]], axis=2)
            names.append(PRODUCT)
        return cls(
            np.ascontiguousarray(features, dtype=np.float32),
            lists.outcomes,
            lists.in_use,
            names,
            lists.users,
            lists.friends_made,
            RankerInputs(lists, people, statistics, prior),
        )
