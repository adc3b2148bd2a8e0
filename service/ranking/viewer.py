"""The person a list is for, in the terms of one version, and what the ranker reads of them at the moment."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.features.user_statistics import befriended
from models.ranker.attribution import Explanation
from models.ranker.fresh_block import NOBODY, FreshBlocks
from models.ranker.outcome_heads import Blend
from models.ranker.product_feature import with_product
from models.ranker.ranker import PersonTables, ViewerInputs
from models.schema.pair_features import KEPT_FEATURES, PAIR_FEATURES
from models.schema.vocabulary import Row, UserId
from models.version.candidate_block import Block
from models.version.new_user_record import ProfileCodes
from models.version.tables import Tables
from service.ranking.viewer_state import Suggestion, ViewerState


@dataclass(frozen=True, slots=True)
class Viewer:
    """One viewer in one version."""

    user_id: UserId
    row: Row | None
    """None: the version does not know the viewer"""
    view: ViewerState | None = None
    """the viewer's live state; None: the viewer has no live record"""
    is_served: bool = True
    """False: erased, or deactivated"""
    codes: ProfileCodes | None = None
    """the profile of a viewer without a row, if it is known, or of one who changed it since the cut"""
    inputs: ViewerInputs | None = None
    """what scoring reads of a viewer without a row"""
    told: frozenset[str] = frozenset()
    """columns of the live profile that have a value, whether or not the version knows it"""
    contacts: tuple[Suggestion, ...] = ()
    """users in the viewer's contacts; whom the version does not know is not hidden"""
    newcomers: tuple[Suggestion, ...] = ()
    """users who are new and not hidden, for whom the viewer is a likely friend"""

    @property
    def graph_changed_at(self) -> int:
        """When the viewer's friends or profile last changed, microseconds; 0: not since the cut."""
        return 0 if self.view is None else self.view.graph_changed_at

    @property
    def can_have_candidates(self) -> bool:
        """Whether a viewer without a block has a profile or a friend that candidates can be generated from."""
        return self.codes is not None or (self.view is not None and len(self.view.friends) > 0)


class Scorer(Protocol):
    """The port of scoring: one probability a candidate, in the block's order."""

    def scores(
        self, tables: PersonTables, block: Block, context: str, inputs: ViewerInputs | None = None
    ) -> NDArray[np.float32]:
        """(m,) float32, 0-1; the others in the block set the level of a candidate's score, and with heads of outcomes
        who is among the best by links.

        `inputs` are those of a viewer whom the tables do not know as she is.
        """
        ...

    def blended(self, powers: Blend) -> "Scorer":
        """The same scorer with other powers of heads of outcomes; itself if it has no heads."""
        ...

    def explained(
        self, tables: PersonTables, block: Block, place: int, context: str, inputs: ViewerInputs | None = None
    ) -> Explanation:
        """What made the score of the candidate at a place of the block; `inputs` as in `scores`."""
        ...


def scorer_of(scorer: Scorer, blend: Blend) -> Scorer:
    """A scorer by these powers of heads of outcomes; itself without any."""
    return scorer.blended(blend) if blend else scorer


class ReadBlock(NamedTuple):
    """A viewer's block as the ranker reads it now, and what it reads of the viewer."""

    block: Block
    inputs: ViewerInputs | None
    """None: the viewer's row of the tables"""


class ViewerReader:
    """What the ranker of one version reads of viewers and their blocks now. One thread at a time."""

    def __init__(self, tables: Tables, *, keeps_codes: bool) -> None:
        self._tables = tables
        self._fresh = FreshBlocks(tables.graph, tables.towers)
        self._width = tables.towers.dimensions
        self.keeps_codes = keeps_codes
        """whether blocks hold all that the ranker reads, for cached lists and the exposure log to keep"""

    def read(self, block: Block, viewer: Viewer) -> ReadBlock:
        """A viewer's block with the friends made since, if there are any: features and order of candidates change.

        Raises CorruptRecordError if the viewer's query does not fit the towers.
        """
        view, tables, made = viewer.view, self._tables, None
        changed = view is not None and len(view.others) > 0 and view.graph_changed_at > block.made_at
        # with all features it is the worker's, of somebody with contacts, or was brought up to date before
        is_whole = len(block.codes) == len(PAIR_FEATURES) and block.made_at > 0
        is_stored = len(block.codes) == len(KEPT_FEATURES) or is_whole
        if view is not None and changed and is_stored:
            made = view.friends_made_since(block.made_at, tables.graph, viewer.row)
        inputs = self.inputs(viewer, made)
        query = None if inputs is None else inputs.query
        if view is not None and made is not None and len(made) and query is not None and len(query) == self._width:
            row = NOBODY if viewer.row is None else viewer.row
            block = self._fresh.block(block, made, len(view.friends) - len(made), query, row)
        elif self.keeps_codes:  # else the ranker adds the product by itself
            block = with_product(tables.towers, block, tables.towers.query(block.viewer) if query is None else query)
        return ReadBlock(block, inputs)

    def inputs(self, viewer: Viewer, made: NDArray[np.int32] | None = None) -> ViewerInputs | None:
        """What scoring reads of a viewer with the present friends; None if the tables hold it.

        `made` (f,) are the friends made since the inputs of a viewer without a row, None for none.
        """
        tables, view, row = self._tables, viewer.view, viewer.row
        graph, towers = tables.graph, tables.towers
        if row is None:
            known = viewer.inputs
            if known is None or made is None or not len(made) or len(known.query) != towers.dimensions:
                return known
            statistics = befriended(known.statistics, graph.degrees_of(made))
            return ViewerInputs(statistics, known.query + towers.fold_in(graph, made))
        if view is None or not len(view.others):
            return None
        added, removed = view.changed_friends(graph, row)
        if not len(added) and not len(removed):
            return None
        statistics = befriended(tables.statistics[row], graph.degrees_of(added), len(removed))
        return ViewerInputs(statistics, towers.changed(graph, row, added, removed))
