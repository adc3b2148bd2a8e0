"""The person a list is for, in the terms of one version, and what the ranker reads of them at the moment."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.features.user_statistics import befriended
from models.ranker.fresh_block import NOBODY, FreshBlocks
from models.ranker.ranker import ViewerInputs, with_product
from models.schema.pair_features import KEPT_FEATURES
from models.schema.vocabulary import Row, UserId
from models.version.candidate_block import Block
from models.version.new_user_record import ProfileCodes
from models.version.tables import Tables
from service.ranking.viewer_state import ViewerState


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

    @property
    def profile(self) -> Row | ProfileCodes | None:
        """The row whose profile is the viewer's, or the profile itself; None if neither is known."""
        return self.row if self.codes is None else self.codes

    @property
    def graph_changed_at(self) -> int:
        """When the viewer's friends or profile last changed, microseconds; 0: not since the cut."""
        return 0 if self.view is None else self.view.graph_changed_at

    @property
    def can_have_candidates(self) -> bool:
        """Whether a viewer without a block has a profile or a friend that candidates can be generated from."""
        return self.codes is not None or (self.view is not None and len(self.view.friends) > 0)


class ViewerReader:
    """What the ranker of one version reads of viewers and their blocks now. One thread at a time."""

    def __init__(self, tables: Tables, *, keeps_codes: bool) -> None:
        self._tables = tables
        self._fresh = FreshBlocks(tables.graph, tables.towers)
        self.keeps_codes = keeps_codes
        """whether blocks hold all that the ranker reads, for cached lists and the exposure log to keep"""

    def present(self, block: Block, viewer: Viewer) -> Block:
        """A viewer's block with the friends made since; the same block if it knows them all.

        The features and the order of the candidates change, and all pair features are in it then.
        """
        view, tables = viewer.view, self._tables
        if view is None or view.graph_changed_at <= block.made_at or len(block.codes) != len(KEPT_FEATURES):
            return block
        made = view.friends_made_since(block.made_at, tables.graph, viewer.row)
        inputs = self.inputs(viewer, made)
        if not len(made) or inputs is None or len(inputs.query) != tables.towers.dimensions:
            return block  # the ranker says what is wrong with a query
        row = NOBODY if viewer.row is None else viewer.row
        return self._fresh.block(block, made, len(view.friends) - len(made), inputs.query, row)

    def block(self, block: Block, viewer: Viewer) -> Block:
        """A viewer's block as the ranker reads it now: with the friends made since, and, to be recorded, the product.

        Raises CorruptRecordError if the viewer's query does not fit the towers.
        """
        block = self.present(block, viewer)
        if not self.keeps_codes:
            return block  # the ranker adds the product by itself
        inputs = self.inputs(viewer)
        query = self._tables.towers.query(block.viewer) if inputs is None else inputs.query
        return with_product(self._tables.towers, block, query)

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
        if view is None:
            return None
        added, removed = view.changed_friends(graph, row)
        if not len(added) and not len(removed):
            return None
        statistics = befriended(tables.statistics[row], graph.degrees_of(added), len(removed))
        return ViewerInputs(statistics, towers.changed(graph, row, added, removed))
