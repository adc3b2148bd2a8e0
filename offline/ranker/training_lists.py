"""What the ranker learns from: the candidates of many viewers, and which of them became friends."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from models.candidates.generator import CandidateGenerator
from models.graph import Graph
from models.schema.pair_features import COMMON, PAIR_FEATURES, extra_inputs
from offline.ranker.config import RankerConfig


class Purpose(IntEnum):
    """What the friendships of a list were hidden for."""

    ORDINARY = 0
    """to learn from: of all users alike"""

    NEWCOMERS = 1
    """to learn from: all, or nearly all, friendships of a few users"""

    CALIBRATION = 2
    """to turn scores into probabilities only"""


@dataclass(frozen=True)
class TrainingLists:
    """Candidates of U viewers in the quantised form of a block, so that training sees what serving sees: the kept
    features, and the product of the towers, which a request computes.

    `users` (U,) rows; `rows` (U, m) and `sources` (U, m); `codes` (U, F, m) uint8 with `low` and `step` (U, F);
    `counts` (U,) candidates in use; `outcomes` (U, m) whether a candidate became a friend; `friends_made` (U,) how many
    the viewer made in all, found or not; `offset` (U,) the first row of a list's graph in the tables of all graphs
    stacked, which `at_viewers` and `at_candidates` index; `purpose` (U,) uint8, a Purpose; `outcome_weight` (U,) how
    many unknown friendships an outcome represents (offline.ranker.calibration.outcome_weight).
    """

    users: NDArray[np.int64]
    rows: NDArray[np.uint32]
    sources: NDArray[np.uint8]
    codes: NDArray[np.uint8]
    low: NDArray[np.float32]
    step: NDArray[np.float32]
    counts: NDArray[np.int64]
    outcomes: NDArray[np.bool_]
    friends_made: NDArray[np.int64]
    offset: NDArray[np.int64]
    purpose: NDArray[np.uint8]
    outcome_weight: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.users)

    @property
    def in_use(self) -> NDArray[np.bool_]:
        """(U, m) bool: places that hold a candidate."""
        return np.arange(self.rows.shape[1])[None, :] < self.counts[:, None]

    @property
    def at_viewers(self) -> NDArray[np.int64]:
        """(U,) row of each viewer in the stacked tables."""
        return self.users + self.offset

    def at_candidates(self, places: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """(U, m) rows of the candidates in the stacked tables; only of `places` (U, k) if given."""
        rows = self.rows if places is None else np.take_along_axis(self.rows, places, axis=1)
        return rows.astype(np.int64) + self.offset[:, None]

    def take(self, at: NDArray[np.int64]) -> "TrainingLists":
        """The lists at these positions."""
        return TrainingLists(**{name: getattr(self, name)[at] for name in self.__dataclass_fields__})

    @classmethod
    def stacked(cls, parts: Sequence["TrainingLists"], n: int) -> "TrainingLists":
        """The lists of several graphs of n users each, whose tables are stacked in the same order."""
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__}
        joined["offset"] = np.concatenate([part.offset + at * n for at, part in enumerate(parts)])
        return cls(**joined)

    def pair_inputs(
        self, statistics: NDArray[np.float32], places: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """(U, m, p) float32 of the head's inputs in the order of RankerHead, unscaled.

        Of all places, or only of `places` (U, k). `statistics` are those of all graphs stacked.
        """
        rows, sources, codes = self.at_candidates(places), self.sources, self.codes
        if places is not None:
            sources = np.take_along_axis(sources, places, axis=1)
            codes = np.take_along_axis(codes, places[:, None, :], axis=2)
        values = codes * self.step[:, :, None] + self.low[:, :, None]
        viewer = statistics[self.at_viewers]
        parts = [
            values.transpose(0, 2, 1),
            (codes * np.float32(1 / 255)).transpose(0, 2, 1),
            extra_inputs(values[:, COMMON], statistics[rows], viewer, sources, places),
            np.broadcast_to(viewer[:, None, :], (*rows.shape, viewer.shape[1])),
        ]
        return np.concatenate(parts, axis=2).astype(np.float32, copy=False)

    def sampled_places(
        self, hardest: int, others: int, random: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Places (U, k) of each list to score in a step, and what to add to their scores, -inf for an unused place.

        Every friendship, the `hardest` first candidates without one, and `others` drawn from the rest, each of which
        represents its share of them.
        """
        other = self.in_use & ~self.outcomes
        rank = np.cumsum(other, axis=1)  # of each candidate without friendship, from 1
        hard = other & (rank <= hardest)
        easy = other & ~hard
        # a friendship first, then the hardest, then the others in an order drawn for this step
        order = np.where(easy, 2 + random.random(other.shape, dtype=np.float32), np.float32(3))
        order[hard], order[self.outcomes] = 1, 0
        size = min(int(self.outcomes.sum(axis=1).max()) + hardest + others, self.rows.shape[1])
        places = np.argpartition(order, size - 1, axis=1)[:, :size]
        taken = np.take_along_axis(order, places, axis=1)
        rest = easy.sum(axis=1)
        among = np.take_along_axis(easy, places, axis=1)
        drawn = np.minimum(rest, others)
        # a list with few friendships has room for more of the others than wanted: the last of them are not used
        surplus = among & (_rank_in_rows(taken, among) >= drawn[:, None])
        weight = np.log(np.maximum(rest, 1) / np.maximum(drawn, 1)).astype(np.float32)
        weights = np.where(among, weight[:, None], np.float32(0))
        weights[(taken >= 3) | surplus] = -np.inf
        return places, weights


def _rank_in_rows(values: NDArray[np.float32], among: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(U, k) rank of each value, ascending, in its row among those of `among`; meaningless elsewhere."""
    return np.argsort(np.argsort(np.where(among, values, np.inf), axis=1), axis=1)


def training_lists(
    generator: CandidateGenerator,
    users: NDArray[np.int64],
    labels: Graph,
    kept: int,
    *,
    purpose: Purpose = Purpose.ORDINARY,
    outcome_weight: float = 1.0,
) -> TrainingLists:
    """The candidates of these rows, at most `kept` each, with the friendships of `labels` as outcomes."""
    shape, features = (len(users), kept), len(PAIR_FEATURES)
    lists = TrainingLists(
        users=users,
        rows=np.zeros(shape, np.uint32),
        sources=np.zeros(shape, np.uint8),
        codes=np.zeros((len(users), features, kept), np.uint8),
        low=np.zeros((len(users), features), np.float32),
        step=np.zeros((len(users), features), np.float32),
        counts=np.zeros(len(users), np.int64),
        outcomes=np.zeros(shape, np.bool_),
        friends_made=labels.degrees[users].astype(np.int64),
        offset=np.zeros(len(users), np.int64),
        purpose=np.full(len(users), purpose, np.uint8),
        outcome_weight=np.full(len(users), outcome_weight, np.float32),
    )
    at = 0
    for pools in generator.batches(users):
        for block in pools.blocks(features):
            m = len(block)
            lists.rows[at, :m], lists.sources[at, :m], lists.codes[at, :, :m] = block.rows, block.sources, block.codes
            lists.low[at], lists.step[at], lists.counts[at] = block.low, block.step, m
            lists.outcomes[at, :m] = labels.contains(block.viewer, block.rows)
            at += 1
    return lists


def validation_split(
    lists: TrainingLists,
    useful: NDArray[np.int64],
    config: RankerConfig,
    random: np.random.Generator,
    *,
    only_first: bool = False,
) -> tuple[TrainingLists, TrainingLists]:
    """The lists at `useful` to validate with and to learn from; a viewer's lists stay together.

    With `only_first`, lists of the first graph alone validate: the last window, whose friendships the encoder has not
    read, and which is most like what comes.
    """
    viewers = random.permutation(np.unique(lists.users[useful]))
    if len(viewers) == 1:
        return lists.take(useful[:1]), lists.take(useful[1:])
    share = min(config.validation_share, config.validation_lists / len(useful))
    held = np.isin(lists.users[useful], viewers[: max(int(len(viewers) * share), 1)])
    validation = held & (lists.offset[useful] == 0) if only_first else held
    validation = validation if validation.any() else held
    return lists.take(useful[validation]), lists.take(random.permutation(useful[~held]))
