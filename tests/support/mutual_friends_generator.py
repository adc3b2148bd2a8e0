"""The plainest maker of candidates, by mutual friends alone: needs no numeric library but NumPy and no file."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from models.live_state.neighbourhood import Neighbourhood
from models.schema.candidate_sources import Source
from models.schema.columns import Flag
from models.schema.pair_features import ALLOCATION, COMMON, PAIR_FEATURES
from models.version.candidate_block import Block, quantise
from models.version.new_user_record import OUTSIDE, Newcomer, ProfileCodes
from models.version.tables import Tables


class MutualFriendsGenerator:
    """models.candidate_refresh.refresher.Maker for trying out what is around it: friends of friends, or else the
    popular."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def block(self, row: int) -> Block:
        """Friends of friends by the tables."""
        tables = self._tables
        return self.overlay(row, Neighbourhood(tables.graph.neighbours(row), tables.forbidden.neighbours(row)), None)

    def overlay(self, row: int, around: Neighbourhood, profile: Mapping[str, Any] | None) -> Block:
        """Friends of these friends."""
        return self._found(row, around, np.array([row], np.int32))

    def newcomer(self, around: Neighbourhood, profile: Mapping[str, Any], timestamp_us: int) -> Newcomer:
        """Friends of these friends, or the popular; statistics and tower inputs are zero."""
        tables = self._tables
        return Newcomer(
            timestamp_us=timestamp_us,
            statistics=np.zeros(tables.statistics.shape[1], np.float32),
            tower_inputs=np.zeros(tables.tower_inputs.shape[1], np.float16),
            codes=ProfileCodes.of(profile, tables),
            friends=around.friends,
            block=self._found(OUTSIDE, around, np.zeros(0, np.int32)),
        )

    def _found(self, viewer: int, around: Neighbourhood, oneself: np.ndarray[Any, np.dtype[np.int32]]) -> Block:
        tables = self._tables
        near = [tables.graph.neighbours(friend) for friend in around.friends.tolist()]
        mutual = np.bincount(np.concatenate([np.zeros(0, np.int32), *near]), minlength=tables.n)
        source = Source.FRIENDS_OF_FRIENDS if mutual.any() else Source.POPULAR
        if not mutual.any():
            mutual[tables.popular] = 1
        shown = np.uint8(Flag.DISCOVERABLE | Flag.ACTIVE)
        mutual[(tables.flags & shown) != shown] = 0
        mutual[np.concatenate([around.friends, around.known, oneself])] = 0
        rows = np.flatnonzero(mutual)
        rows = rows[np.argsort(-mutual[rows], kind="stable")]
        values = np.zeros((len(PAIR_FEATURES), len(rows)), np.float32)
        values[COMMON] = values[ALLOCATION] = np.log1p(mutual[rows])
        return quantise(viewer, rows.astype(np.uint32), np.full(len(rows), source, np.uint8), values)
