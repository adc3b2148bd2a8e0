"""From scored candidates to the page that a viewer is shown: filter, re-rank, encode. Neither HTTP nor a store."""

import zlib
from dataclasses import replace
from time import perf_counter
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.ranker.attribution import Explanation
from models.ranker.ranker import PersonTables, ViewerInputs
from models.schema.vocabulary import Row, Vocabulary
from models.version.candidate_block import Block
from models.version.new_user_record import ProfileCodes
from models.version.tables import Tables
from service.ranking.cached_list import LEAST_ENCODED, CachedList, CacheKey
from service.ranking.cold_start import ColdStart
from service.ranking.filters import EXCLUDED, HIDING, FilterMasks, Rule, apply_filters, name_of
from service.ranking.json_encoder import JsonEncoder
from service.ranking.kernels.sorting import best_first, order_ties
from service.ranking.list_json import NO_ENTRIES, Entries
from service.ranking.ranked_list import Candidates, RankedList
from service.ranking.reasons import nameable_friends
from service.ranking.rerank import Reranker, RerankSettings
from service.ranking.tie_break import id_hashes
from service.ranking.trace import Trace
from service.ranking.user_flags import UserFlags
from service.ranking.viewer import Viewer

CACHED = 150
"""people of a cached list, whatever the limit"""
DEEPEST = 200
"""people ranked for the deepest page: limit 100 and 100 excluded"""

_NO_ROWS: NDArray[np.int32] = np.zeros(0, dtype=np.int32)
_NO_RULES = np.uint16(0)
_EXCLUDED = name_of(Rule.EXCLUDED)


class Scorer(Protocol):
    """The port of scoring: one probability a candidate, in the block's order."""

    def scores(
        self, tables: PersonTables, block: Block, context: str, inputs: ViewerInputs | None = None
    ) -> NDArray[np.float32]:
        """(m,) float32, 0-1; a candidate's score does not depend on the others in the block.

        `inputs` are those of a viewer whom the tables do not know.
        """
        ...

    def explained(
        self, tables: PersonTables, block: Block, place: int, context: str, inputs: ViewerInputs | None = None
    ) -> Explanation:
        """What made the score of the candidate at a place of the block; `inputs` as in `scores`."""
        ...


class Shown(NamedTuple):
    """People of pages before or after another."""

    hashes: NDArray[np.uint32]
    """(k,) hashes of their ids (service.ranking.tie_break.id_hashes)"""
    lowest: np.float32 = np.float32(1)
    """the lowest of their scores, which no later one exceeds"""


class Page(NamedTuple):
    """The people of one response."""

    text: bytes
    """JSON of their entries, separated by commas"""
    passed: int
    """candidates that no hard rule drops, those excluded by the request included"""
    cacheable: CachedList | None = None
    """the list to cache, if one was asked for"""
    shown: Shown | None = None
    """the people of the page; only if more follow, and pages before were named"""


class Ranking:
    """Ranks and encodes with one version's tables and ranker. One thread at a time."""

    def __init__(self, tables: Tables, scorer: Scorer, settings: RerankSettings) -> None:
        self.tables = tables
        self.user_flags = UserFlags(tables)
        self.reranker = Reranker(tables, settings)
        self.encoder = JsonEncoder(tables)
        self._masks = FilterMasks(tables)
        self._cold_start = ColdStart(tables)
        self._scorer = scorer
        self._hashes = id_hashes(tables.vocabulary)

    def score(self, block: Block, context: str, viewer: Viewer, trace: Trace) -> Candidates:
        """The people of a viewer's block with their scores. Raises CorruptRecordError if the ranker cannot read it."""
        candidates = Candidates(block.rows, self.scores(block, context, viewer), block.sources)
        trace.marks.append(("rank", perf_counter()))
        return candidates

    def cold_start(self, viewer: Viewer, trace: Trace) -> Candidates:
        """The popular people of the viewer's groups and of the network; of the network alone without a profile."""
        candidates = self._cold_start.candidates(profile_of(viewer))
        trace.marks.append(("rank", perf_counter()))
        return candidates

    def page(
        self,
        candidates: Candidates | RankedList,
        context: str,
        limit: int,
        viewer: Viewer,
        trace: Trace,
        *,
        excluded: NDArray[np.int32] = _NO_ROWS,
        friends: NDArray[np.int32] | None = None,
        cached: CachedList | None = None,
        cacheable: bool = False,
        before: Shown | None = None,
    ) -> Page | None:
        """The first `limit` people for a viewer, filtered, re-ranked and encoded; those after the ones shown `before`.

        `excluded` (k,) are rows that the request leaves out. `friends` are the viewer's connections that reasons may
        name, None: those of this version. `cached` is the list that the candidates are of: its entries are reused.
        With `cacheable` the page has a list to cache, which has at least LEAST_ENCODED people encoded and is not
        affected by `excluded` and `before`. Returns None if people who are missing from a ranked list might come into
        the page.
        """
        # filter: the hard rules; a list to cache keeps people who may come back
        barred, exempted = (_NO_ROWS, HIDING) if cacheable else (excluded, _NO_RULES)
        shown, listed = self.filter(candidates, viewer, trace, barred, exempted)
        passed = len(shown.rows)
        if len(barred):
            passed += trace.drops.get(_EXCLUDED, 0)
        # re-rank: the soft rules
        places = max(limit, LEAST_ENCODED) if cacheable else limit
        if before is not None and not cacheable:
            places += len(before.hashes) + 1
        placed = self.rerank(shown, context, places, viewer, trace, candidates)
        if placed is None:
            return None
        following = None
        if before is not None and not cacheable:
            placed, following = self._after(before, placed, limit)
        trace.marks.append(("rules", perf_counter()))
        # encode: entries of the cached list are moved if their reasons are still the same
        if friends is None:
            friends = self.friends(viewer)
        if cached is not None and reasons_fingerprint(viewer, friends) != cached.key.reasons:
            cached = None
        entries = self.encode(placed, viewer, friends, cached)
        if not cacheable:
            trace.marks.append(("encode", perf_counter()))
            return Page(entries.text, passed, None, following)
        # cache
        key = self.cache_key(viewer)._replace(reasons=reasons_fingerprint(viewer, friends))
        to_cache = CachedList(listed, key, placed.rows.tolist(), placed.scores.tolist(), entries)
        if len(excluded) or before is not None:
            page = self.page(
                shown, context, limit, viewer, trace, excluded=excluded, friends=friends, cached=to_cache, before=before
            )
            return None if page is None else Page(page.text, passed, to_cache, page.shown)
        text = entries.first(min(limit, len(entries.ends)))
        trace.marks.append(("encode", perf_counter()))
        return Page(text, passed, to_cache)

    def filter(
        self,
        candidates: Candidates | RankedList,
        viewer: Viewer,
        trace: Trace,
        excluded: NDArray[np.int32] = _NO_ROWS,
        exempted: np.uint16 = _NO_RULES,
    ) -> tuple[RankedList, RankedList]:
        """The candidates that no hard rule drops, best first; and those that only `exempted` rules drop besides.

        `excluded` (k,) are rows that the request leaves out.
        """
        masks = self.masks(viewer, candidates.rows)
        if len(excluded):
            masks[np.isin(candidates.rows, excluded)] |= EXCLUDED
        places, dropped, hidden_now = apply_filters(masks, int(exempted))
        if trace.drops:
            for rule, count in dropped.items():
                trace.drops[rule] = trace.drops.get(rule, 0) + count
        else:
            trace.drops = dropped
        if isinstance(candidates, RankedList):
            listed = candidates.at(places) if len(places) < len(masks) else candidates
        else:
            rows, scores, sources = candidates
            self._sort(viewer, rows, scores, places)
            listed = RankedList(viewer.row, rows.take(places), scores.take(places), sources.take(places))
        return listed.only(masks.take(places) == 0) if hidden_now else listed, listed

    def rerank(
        self,
        listed: RankedList,
        context: str,
        places: int,
        viewer: Viewer,
        trace: Trace,
        candidates: Candidates | RankedList | None = None,
    ) -> RankedList | None:
        """The first places of a list after the soft rules (service.ranking.rerank.Reranker.rerank).

        `candidates` are those that the list was filtered from: people may be missing from a ranked list.
        """
        lowest = candidates.lowest if isinstance(candidates, RankedList) else None
        return self.reranker.rerank(listed, context, places, viewer.view, self.user_flags, trace.moved, lowest)

    def encode(
        self, placed: RankedList, viewer: Viewer, friends: NDArray[np.int32], cached: CachedList | None = None
    ) -> Entries:
        """The JSON of people in their places. `cached` has entries made with the same friends, which are moved."""
        if not len(placed.rows):
            return NO_ENTRIES
        if cached is not None:
            return self._moved(placed, viewer, friends, cached)
        return self.encoder.entries(profile_of(viewer), friends, placed.rows, placed.scores, placed.sources)

    def scores(self, block: Block, context: str, viewer: Viewer) -> NDArray[np.float32]:
        """(m,) float32, 0-1: the scores of a viewer's block before any rule."""
        if viewer.row is None:
            return self._scorer.scores(self.tables, block, context, viewer.inputs)
        return self._scorer.scores(self.tables, block, context)

    def explain(self, block: Block, place: int, context: str, viewer: Viewer) -> Explanation:
        """What made the score of the candidate at a place of a viewer's block."""
        return self._scorer.explained(self.tables, block, place, context, viewer.inputs)

    def masks(self, viewer: Viewer, rows: NDArray[np.uint32]) -> NDArray[np.uint16]:
        """(m,) uint16 of service.ranking.filters.Rule bits: the hard rules that drop each candidate (m,) now."""
        return self._masks.of(viewer.row, rows, self.user_flags.flags, viewer.view)

    def friends(self, viewer: Viewer) -> NDArray[np.int32]:
        """Rows of the viewer's connections who may be named and counted in reasons now, ascending."""
        return nameable_friends(self.tables, viewer.row, self.user_flags.flags, viewer.view)

    def cache_key(self, viewer: Viewer) -> CacheKey:
        """What a list of the viewer depends on now, but for the reasons of its entries."""
        view, flags = viewer.view, self.user_flags
        rerank = zlib.crc32(b"%d" % flags.exposure, self.reranker.identity)
        if view is None:
            return CacheKey(flags.epoch, rerank=rerank)
        return CacheKey(flags.epoch, view.fingerprint, view.relation_version, rerank)

    def _after(self, before: Shown, placed: RankedList, limit: int) -> tuple[RankedList, Shown | None]:
        """The first of a list who were not shown before; and these as Shown, if more follow them."""
        hashes = self._hashes[placed.rows]
        places = np.flatnonzero(~np.isin(hashes, before.hashes))
        has_more, places = len(places) > limit, places[:limit]
        page = placed.at(places.astype(np.int32))
        page = replace(page, scores=np.minimum(page.scores, before.lowest))
        return page, Shown(hashes[places], page.scores[-1]) if has_more else None

    def _moved(self, placed: RankedList, viewer: Viewer, friends: NDArray[np.int32], cached: CachedList) -> Entries:
        """Entries in their places: those cached with the same score are moved, the others encoded."""
        place_of = {row: at for at, row in enumerate(cached.rows)}
        parts: list[tuple[bytes, bytes] | None] = []
        for row, score in zip(placed.rows.tolist(), placed.scores.tolist(), strict=True):
            at = place_of.get(row)
            parts.append(cached.entries.around_position(at) if at is not None and cached.scores[at] == score else None)
        missing = [at for at, half in enumerate(parts) if half is None]
        if missing:
            encoded = self.encoder.entries(
                profile_of(viewer), friends, placed.rows[missing], placed.scores[missing], placed.sources[missing]
            )
            for number, at in enumerate(missing):
                parts[at] = encoded.around_position(number)
        return Entries.joined([half for half in parts if half is not None])

    def _sort(
        self, viewer: Viewer, rows: NDArray[np.uint32], scores: NDArray[np.float32], places: NDArray[np.int32]
    ) -> None:
        """Sorts the places (k,) of candidates by falling score, equals in the viewer's own order."""
        if best_first(scores, places):
            own = self._hashes[viewer.row] if viewer.row is not None else _hash_of(viewer.user_id)
            order_ties(scores, places, rows, self._hashes, int(own))


def profile_of(viewer: Viewer) -> Row | ProfileCodes | None:
    """The row whose profile is the viewer's, or the profile itself; None if neither is known."""
    return viewer.row if viewer.codes is None else viewer.codes


def reasons_fingerprint(viewer: Viewer, friends: NDArray[np.int32]) -> int:
    """CRC-32 of what a viewer's reasons depend on: rows of friends who may be named, and which profile."""
    crc = zlib.crc32(friends.astype("<i4", copy=False).tobytes())
    if viewer.view is None or not viewer.view.profile_changed_at:
        return crc
    return zlib.crc32(b"%d" % viewer.view.profile_changed_at, crc)


def _hash_of(user_id: str) -> np.uint32:
    return np.uint32(id_hashes(Vocabulary.from_ids([user_id]))[0])
