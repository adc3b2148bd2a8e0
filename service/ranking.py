"""From a candidate block to the list that its viewer is shown: score, rules, order. Neither HTTP nor a store."""

from dataclasses import dataclass, field
from time import perf_counter
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.attribution import Explanation
from models.block import Block
from models.tables import Tables
from models.vocabulary import Vocabulary
from service.cold_start import ColdStart
from service.diversity import PAGE, diversified, is_diverse
from service.entries import EntryEncoder
from service.ranked_list import NO_ENTRIES, Entries, RankedList
from service.rules import Rule, Verdicts, drops, name_of
from service.ties import id_hashes, pair_hashes

KEPT = 150
"""people of a ranked list that is kept, whatever the limit"""
DEEPEST = 200
"""people ranked for the deepest page: limit 100 and 100 excluded"""


class Scorer(Protocol):
    """What scoring offers: one probability a candidate, in the block's order."""

    def scores(self, tables: Tables, block: Block, context: str) -> NDArray[np.float32]:
        """(m,) float32, 0-1; each candidate's is its own, whoever else is in the block."""
        ...

    def explained(self, tables: Tables, block: Block, place: int, context: str) -> Explanation:
        """What made the score of the candidate at a place of the block."""
        ...


@dataclass(slots=True)
class Trace:
    """What happened to one request: seconds of each stage in order, and candidates dropped by rule."""

    stages: dict[str, float] = field(default_factory=dict)
    drops: dict[str, int] = field(default_factory=dict)
    _since: float = field(default_factory=perf_counter)

    def stage(self, name: str) -> None:
        """The time since the last stage ended went into this one."""
        at = perf_counter()
        self.stages[name] = self.stages.get(name, 0.0) + at - self._since
        self._since = at


@dataclass(frozen=True, slots=True)
class Diversity:
    """At most `most` of one value of `column` on a page; off where the version has no such column."""

    column: str
    most: int


class Ranking:
    """Ranks and encodes with one version's tables and ranker. One thread at a time."""

    def __init__(self, tables: Tables, scorer: Scorer, diversity: Diversity) -> None:
        self.tables = tables
        self.verdicts = Verdicts(tables)
        self.encoder = EntryEncoder(tables)
        self._cold_start = ColdStart(tables)
        self._scorer = scorer
        self._hashes = id_hashes(tables.vocabulary)
        self._most = diversity.most
        columns = tables.categorical_columns
        self._codes = (
            np.ascontiguousarray(tables.categorical_codes[:, columns.index(diversity.column)])
            if diversity.column in columns
            else None
        )

    def ranked(self, block: Block, context: str, depth: int, trace: Trace) -> RankedList:
        """The best `depth` of a block that no hard rule of this version forbids, entries not encoded."""
        scores = self._scorer.scores(self.tables, block, context)
        trace.stage("rank")
        rows, bits, index = block.rows, block.sources, block.rows.astype(np.intp)
        verdicts = self.verdicts.of(block.viewer, index)
        if verdicts.any():
            trace.drops = drops(verdicts)
            kept = np.flatnonzero(verdicts == 0)
            scores, rows, bits, index = scores[kept], rows[kept], bits[kept], index[kept]
        listed = self._listed(block.viewer, int(self._hashes[block.viewer]), rows, scores, bits, depth)
        trace.stage("rules")
        return listed

    def scores(self, block: Block, context: str) -> NDArray[np.float32]:
        """(m,) float32, 0-1: the scores of a block before any rule."""
        return self._scorer.scores(self.tables, block, context)

    def explained(self, block: Block, place: int, context: str) -> Explanation:
        """What made the score of the candidate at a place of a block."""
        return self._scorer.explained(self.tables, block, place, context)

    def cold(self, viewer: int | None, user_id: str, depth: int, trace: Trace) -> RankedList:
        """The best `depth` of the popular in the viewer's groups and the network; no row: of the network."""
        rows, scores, bits = self._cold_start.candidates(viewer)
        trace.stage("rank")
        verdicts = self.verdicts.of(viewer, rows.astype(np.intp))
        trace.drops = drops(verdicts)
        kept = verdicts == 0
        own = self._hashes[viewer] if viewer is not None else id_hashes(Vocabulary.from_ids([user_id]))[0]
        listed = self._listed(viewer, int(own), rows[kept], scores[kept], bits[kept], depth)
        trace.stage("rules")
        return listed

    def _listed(
        self,
        viewer: int | None,
        viewer_hash: int,
        rows: NDArray[np.uint32],
        scores: NDArray[np.float32],
        bits: NDArray[np.uint8],
        depth: int,
    ) -> RankedList:
        """The best `depth` of the people left (m,), in the order shown."""
        best = np.argsort(-scores)
        ordered = scores[best]
        if (ordered[1:] == ordered[:-1]).any():
            best = np.lexsort((pair_hashes(viewer_hash, self._hashes[rows]), -scores))
            ordered = scores[best]
        return self._diverse(RankedList(viewer, rows[best], ordered, bits[best]), depth)

    def cut(
        self,
        listed: RankedList,
        excluded: NDArray[np.int32],
        limit: int,
        trace: Trace,
        friends: NDArray[np.int32] | None = None,
    ) -> bytes:
        """JSON of the first `limit` people of a list less the rows excluded (k,).

        Those left are ordered as the list is, pages of their own kept diverse. Entries that the list carries are
        moved to their positions, the others encoded.
        """
        entries = listed.entries
        if not len(excluded) and min(limit, len(listed)) <= len(entries):
            return entries.first(min(limit, len(listed)))
        kept = np.flatnonzero(~np.isin(listed.rows, excluded))
        if left := len(listed) - len(kept):
            trace.drops[name_of(Rule.EXCLUDED)] = left
        rest = RankedList(listed.viewer, listed.rows[kept], listed.scores[kept], listed.sources[kept])
        rest = self._diverse(rest, limit)
        places = {row: at for at, row in enumerate(listed.rows[: len(entries)].tolist())}
        before = listed.scores[: len(entries)].tolist()
        rows, scores = rest.rows.tolist(), rest.scores.tolist()
        parts: list[bytes | None] = []
        for position, (row, score) in enumerate(zip(rows, scores, strict=True), 1):
            at = places.get(row)
            same = at is not None and before[at] == score
            parts.append(entries.at(at, position) if at is not None and same else None)
        missing = [at for at, part in enumerate(parts) if part is None]
        if missing:
            told = self.encoder.reasons(listed.viewer, rest.rows[missing].astype(np.intp), friends)
            halves = self.encoder.halves(rest.rows[missing], rest.scores[missing], rest.sources[missing], told)
            for at, (front, back) in zip(missing, halves, strict=True):
                parts[at] = b"%b%d%b" % (front, at + 1, back)
        return b",".join([part for part in parts if part is not None])

    def encoded(
        self, listed: RankedList, count: int, trace: Trace, friends: NDArray[np.int32] | None = None
    ) -> RankedList:
        """The list with its first `count` entries as JSON."""
        rows, scores, bits = listed.rows[:count], listed.scores[:count], listed.sources[:count]
        if len(rows) == 0:
            entries = NO_ENTRIES
        else:
            told = self.encoder.reasons(listed.viewer, rows.astype(np.intp), friends)
            trace.stage("reasons")
            entries = Entries.joined(self.encoder.halves(rows, scores, bits, told))
        trace.stage("encode")
        return RankedList(listed.viewer, listed.rows, listed.scores, listed.sources, entries)

    def _diverse(self, listed: RankedList, depth: int) -> RankedList:
        """The first `depth` places of a list by falling score after the soft rules.

        Whoever a page put aside comes on a later one, where the score shown does not exceed that of the place before.
        """
        rows, scores, bits = listed.rows, listed.scores, listed.sources
        if self._codes is not None:
            pages = -(-depth // PAGE) * PAGE
            codes = self._codes[rows]
            if not is_diverse(codes[:pages], self._most):
                chosen = np.array(diversified(codes.tolist(), depth, self._most), dtype=np.intp)
                shown = np.minimum.accumulate(scores[chosen])
                return RankedList(listed.viewer, rows[chosen], shown, bits[chosen])
        return RankedList(listed.viewer, rows[:depth], scores[:depth], bits[:depth])
