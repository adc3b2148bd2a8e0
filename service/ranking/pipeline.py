"""From a candidate block to the list that its viewer is shown: score, rules, order. Neither HTTP nor a store."""

import zlib
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.ranker.attribution import Explanation
from models.ranker.ranker import PersonTables, ViewerInputs
from models.schema.vocabulary import Vocabulary
from models.version.candidate_block import Block
from models.version.tables import Tables
from service.ranking.cached_list import CachedList, CacheKey
from service.ranking.cold_start import ColdStart
from service.ranking.filters import (
    EXCLUDED,
    HIDING,
    FilterMasks,
    apply_filters,
)
from service.ranking.json_encoder import JsonEncoder
from service.ranking.kernels.sorting import best_first, settle
from service.ranking.list_json import NO_ENTRIES, Entries
from service.ranking.ranked_list import RankedList
from service.ranking.reasons import nameable_friends
from service.ranking.rerank import Reranker, RerankSettings
from service.ranking.tie_break import id_hashes
from service.ranking.trace import Trace
from service.ranking.user_flags import UserFlags
from service.ranking.viewer import Viewer

KEPT = 150
"""people of a ranked list that is kept, whatever the limit"""
DEEPEST = 200
"""people ranked for the deepest page: limit 100 and 100 excluded"""


_NONE = np.uint16(0)


class Scorer(Protocol):
    """What scoring offers: one probability a candidate, in the block's order."""

    def scores(
        self, tables: PersonTables, block: Block, context: str, inputs: ViewerInputs | None = None
    ) -> NDArray[np.float32]:
        """(m,) float32, 0-1; each candidate's is its own, whoever else is in the block.

        `inputs` are those of a viewer whom the tables do not know.
        """
        ...

    def explained(
        self, tables: PersonTables, block: Block, place: int, context: str, inputs: ViewerInputs | None = None
    ) -> Explanation:
        """What made the score of the candidate at a place of the block; `inputs` as `scores` takes them."""
        ...


class Ranking:
    """Ranks and encodes with one version's tables and ranker. One thread at a time."""

    def __init__(self, tables: Tables, scorer: Scorer, settings: RerankSettings) -> None:
        self.tables = tables
        self.now = UserFlags(tables)
        self.soft = Reranker(tables, settings)
        self.encoder = JsonEncoder(tables)
        self._verdicts = FilterMasks(tables)
        self._cold_start = ColdStart(tables)
        self._scorer = scorer
        self._hashes = id_hashes(tables.vocabulary)

    def ranked(self, block: Block, context: str, viewer: Viewer, trace: Trace) -> RankedList:
        """Everybody of a block whom no hard rule forbids, best first; soft rules are not applied."""
        return self.judged(block, context, viewer, trace, passing=_NONE)[0]

    def judged(
        self, block: Block, context: str, viewer: Viewer, trace: Trace, passing: np.uint16 = HIDING
    ) -> tuple[RankedList, RankedList]:
        """What `ranked` has, and the same with those who hide at the moment: a kept list may see them come back.

        `passing` are the rules that the second passes over.
        """
        scores = self.scores(block, context, viewer)
        trace.stage("rank")
        judged = self._judged(viewer, block.rows, scores, block.sources, trace, passing)
        trace.stage("rules")
        return judged

    def cold(self, viewer: Viewer, trace: Trace) -> RankedList:
        """The popular in the viewer's groups and the network whom no hard rule forbids, best first.

        Without a row and a profile: of the network.
        """
        rows, scores, bits = self._cold_start.candidates(viewer.profile)
        trace.stage("rank")
        listed, _ = self._judged(viewer, rows, scores, bits, trace, _NONE)
        trace.stage("rules")
        return listed

    def scores(self, block: Block, context: str, viewer: Viewer) -> NDArray[np.float32]:
        """(m,) float32, 0-1: the scores of a viewer's block before any rule."""
        if viewer.row is None:
            return self._scorer.scores(self.tables, block, context, viewer.inputs)
        return self._scorer.scores(self.tables, block, context)

    def explained(self, block: Block, place: int, context: str, viewer: Viewer) -> Explanation:
        """What made the score of the candidate at a place of a viewer's block."""
        return self._scorer.explained(self.tables, block, place, context, viewer.inputs)

    def verdicts(self, viewer: Viewer, rows: NDArray[np.uint32]) -> NDArray[np.uint16]:
        """(m,) uint16 of service.ranking.filters.Rule bits: the hard rules that forbid each candidate (m,) now."""
        return self._verdicts.of(viewer.row, rows, self.now.flags, viewer.view)

    def friends(self, viewer: Viewer) -> NDArray[np.int32]:
        """Rows of the viewer's connections who may be named and counted to her now, ascending."""
        return nameable_friends(self.tables, viewer.row, self.now.flags, viewer.view)

    def state(self, viewer: Viewer) -> CacheKey:
        """What a list of the viewer depends on now, but for the friends of its entries."""
        view = viewer.view
        soft = zlib.crc32(b"%d" % self.now.exposure, self.soft.identity)
        if view is None:
            return CacheKey(self.now.epoch, soft=soft)
        return CacheKey(self.now.epoch, view.revision, view.relation_version, soft)

    def allowed(self, listed: RankedList, viewer: Viewer, excluded: NDArray[np.int32], trace: Trace) -> RankedList:
        """Those of a list whom no hard rule forbids now, less the rows excluded (k,)."""
        verdicts = self.verdicts(viewer, listed.rows)
        if len(excluded):
            verdicts[np.isin(listed.rows, excluded)] |= EXCLUDED
        left = apply_filters(verdicts)
        if not left.dropped:
            return listed
        for name, count in left.dropped.items():
            trace.drops[name] = trace.drops.get(name, 0) + count
        return listed.at(left.places)

    def placed(
        self,
        listed: RankedList,
        context: str,
        places: int,
        viewer: Viewer,
        trace: Trace,
        lowest: np.float32 | None = None,
    ) -> RankedList | None:
        """The first places of a list after the soft rules (service.ranking.rerank.Reranker.placed)."""
        return self.soft.placed(listed, context, places, viewer.view, self.now, trace.moved, lowest)

    def encoded(
        self,
        placed: RankedList,
        viewer: Viewer,
        friends: NDArray[np.int32],
        known: CachedList | None = None,
    ) -> Entries:
        """The JSON of people in their places. `known` has entries made with the same friends, which are moved."""
        if not len(placed):
            return NO_ENTRIES
        if known is not None:
            return self._moved(placed, viewer, friends, known)
        return self.encoder.entries(viewer.profile, friends, placed.rows, placed.scores, placed.sources)

    def _moved(self, placed: RankedList, viewer: Viewer, friends: NDArray[np.int32], known: CachedList) -> Entries:
        """Entries in their places: those that are known with the same score moved, the others made."""
        there = {row: at for at, row in enumerate(known.rows)}
        halves: list[tuple[bytes, bytes] | None] = []
        for row, score in zip(placed.rows.tolist(), placed.scores.tolist(), strict=True):
            at = there.get(row)
            halves.append(known.entries.halves(at) if at is not None and known.scores[at] == score else None)
        missing = [at for at, half in enumerate(halves) if half is None]
        if missing:
            made = self.encoder.entries(
                viewer.profile, friends, placed.rows[missing], placed.scores[missing], placed.sources[missing]
            )
            for number, at in enumerate(missing):
                halves[at] = made.halves(number)
        return Entries.joined([half for half in halves if half is not None])

    def _judged(
        self,
        viewer: Viewer,
        rows: NDArray[np.uint32],
        scores: NDArray[np.float32],
        bits: NDArray[np.uint8],
        trace: Trace,
        passing: np.uint16,
    ) -> tuple[RankedList, RankedList]:
        """Those of the candidates (m,) whom no hard rule forbids, best first; and whom none but `passing` does."""
        verdicts = self.verdicts(viewer, rows)
        best, trace.drops, hidden = apply_filters(verdicts, int(passing))
        self._sort(viewer, rows, scores, best)
        candidates = RankedList(viewer.row, rows.take(best), scores.take(best), bits.take(best))
        return candidates.only(verdicts.take(best) == 0) if hidden else candidates, candidates

    def _sort(
        self, viewer: Viewer, rows: NDArray[np.uint32], scores: NDArray[np.float32], places: NDArray[np.int32]
    ) -> None:
        """Puts the best scored of the places (k,) of candidates first, equals in the viewer's own order."""
        if best_first(scores, places):
            own = self._hashes[viewer.row] if viewer.row is not None else _hash_of(viewer.user_id)
            settle(scores, places, rows, self._hashes, int(own))


def reasons_fingerprint(viewer: Viewer, friends: NDArray[np.int32]) -> int:
    """CRC-32 of what a viewer is told reasons by: rows of friends who may be named, and which profile."""
    told = zlib.crc32(friends.astype("<i4", copy=False).tobytes())
    return (
        told
        if viewer.view is None or not viewer.view.profile_changed_at
        else zlib.crc32(b"%d" % viewer.view.profile_changed_at, told)
    )


def _hash_of(user_id: str) -> np.uint32:
    return np.uint32(id_hashes(Vocabulary.from_ids([user_id]))[0])
