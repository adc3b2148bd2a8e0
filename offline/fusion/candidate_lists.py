"""The candidate lists that every fusion is trained on and scores."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.schema.pair_features import PAIR_FEATURES, extra_input_names
from models.schema.statistic_names import ALL_STATISTICS, STATISTICS
from offline.fusion.config import PRODUCT
from offline.ranker.training_lists import TrainingLists


def pair_input_names(statistics: int) -> tuple[str, ...]:
    """The columns before it: the inputs of the ranker's head, in its order, with this many statistics (WIDTHS)."""
    return (
        *PAIR_FEATURES,
        *(f"relative_{name}" for name in PAIR_FEATURES),
        *extra_input_names(statistics),
        *(f"viewer_{name}" for name in ALL_STATISTICS[:statistics]),
    )


PAIR_INPUTS = pair_input_names(len(STATISTICS))
"""those columns if friendships have no dates"""


@dataclass(frozen=True)
class RankerInputs:
    """The ranker's inputs: the lists as blocks hold them, and all users' statistics."""

    lists: TrainingLists
    statistics: NDArray[np.float32]
    """(g n, s), of all users in each of the g graphs of the lists"""
    prior: NDArray[np.float32]
    """(p,) pre-ranking weights, from which training starts"""


@dataclass(frozen=True)
class CandidateLists:
    """The candidates of L viewers, C positions each, best by pre-ranking first.

    A million positions of the 31 columns of `of` take 130 MB: choose the lists before calling it.
    """

    features: NDArray[np.float32]
    """(L, C, F) heuristics and scores, sources as 0 or 1; meaningless if not `valid`"""
    labels: NDArray[np.bool_]
    """(L, C) did the candidate become a friend?"""
    valid: NDArray[np.bool_]
    """(L, C) positions that hold a candidate"""
    names: list[str]
    """(F,) names of the columns; PRODUCT is the encoder's"""
    viewers: NDArray[np.int64]
    """(L,) rows; a viewer's lists stay on one side of a validation split"""
    friends_made: NDArray[np.int64]
    """(L,) all held-out friendships of the viewer, found or not"""
    ranker: RankerInputs | None = None
    """inputs of the fusion two_tower; the others need none"""
    outcomes: NDArray[np.int8] | None = None
    """(L, C) outcome of showing each candidate (offline.fusion.feedback.Outcome), for fusions trained on outcomes;
    None: simulated from the labels"""

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
            ranker = RankerInputs(ranker.lists.take(at), ranker.statistics, ranker.prior)
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
        """(k,) the positions of the names that exist, in the given order."""
        return np.array([self.names.index(name) for name in names if name in self.names], dtype=np.int64)

    @classmethod
    def of(
        cls,
        lists: TrainingLists,
        statistics: NDArray[np.float32],
        prior: NDArray[np.float32],
        embeddings: NDArray[np.float32] | None = None,
    ) -> "CandidateLists":
        """The ranker's training lists as every fusion reads them.

        The columns are those of `pair_input_names`, and PRODUCT if there are `embeddings` (g n, d), stacked like
        `statistics`.
        """
        features, names = lists.pair_inputs(statistics), list(pair_input_names(statistics.shape[1]))
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
            RankerInputs(lists, statistics, prior),
        )
