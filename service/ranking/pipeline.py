"""From scored candidates to the page that a viewer is shown: filter, re-rank, encode. Neither HTTP nor a store."""

import copy
import zlib
from collections.abc import Callable
from time import perf_counter, time

import numpy as np
from numpy.typing import NDArray

from models.cold_start.cold_start import ColdStart
from models.cold_start.network import Network
from models.cold_start.spread import Spread
from models.outcomes.exposure_record import ReadCodes, by_contacts
from models.ranker.attribution import Explanation
from models.ranker.ranker import ViewerInputs
from models.schema.vocabulary import Row, Vocabulary
from models.version.candidate_block import Block
from models.version.new_user_record import ProfileCodes, codes_of
from models.version.tables import Tables
from service.ranking.cached_list import LEAST_ENCODED, CachedList, CachedRecord, CacheKey
from service.ranking.exploration.draw import Drawn
from service.ranking.exploration.explorer import Explorer
from service.ranking.filters import EXCLUDED, HIDING, FilterMasks, Rule, name_of
from service.ranking.json_encoder import JsonEncoder
from service.ranking.kernels.sorting import best_first, order_ties
from service.ranking.list_json import NO_ENTRIES, Entries
from service.ranking.page import DEEPEST, NO_ROWS, Page, PageRequest, Shown
from service.ranking.ranked_list import MAX_SHOWN, Candidates, Exposed, ExposedEntries, RankedList
from service.ranking.reasons import nameable_friends
from service.ranking.rerank import Reranker, RerankSettings
from service.ranking.tie_break import id_hashes
from service.ranking.trace import Trace
from service.ranking.user_flags import UserFlags
from service.ranking.viewer import ReadBlock, Scorer, Viewer, ViewerReader, scorer_of

_NO_RULES = np.uint16(0)
_EXCLUDED = name_of(Rule.EXCLUDED)


class Ranking:
    """Ranks and encodes with one version's tables and ranker. One thread at a time."""

    def __init__(
        self,
        tables: Tables,
        scorer: Scorer,
        settings: RerankSettings,
        version: str = "",
        clock: Callable[[], float] = time,
    ) -> None:
        """`version` is an id that draws follow from; `clock` gives epoch seconds, by which they change."""
        self.tables = tables
        self.user_flags = UserFlags(tables)
        self.reranker = Reranker(tables, settings)
        self.encoder = JsonEncoder(tables)
        self._masks = FilterMasks(tables)
        self._cold_start = ColdStart(Network.of(tables))
        self.questions, self._spread = self._cold_start.questions, Spread(tables.n)
        self.ask_below_friends = settings.ask_below_friends
        self.contacts_share, self.newcomers_share = settings.contacts_share, settings.newcomers_share
        self._own_scorer, self.scorer = scorer, scorer_of(scorer, self.reranker.blend)
        self._hashes = id_hashes(tables.vocabulary)
        self.explorer = Explorer(self.reranker, version, clock)
        self.reader = ViewerReader(tables, keeps_codes=settings.logs_exposures)

    def with_reranker(self, reranker: Reranker) -> "Ranking":
        """The same ranking with other soft rules; both share everything else and are for one thread together."""
        other = copy.copy(self)
        other.reranker, other.explorer = reranker, self.explorer.after(reranker)
        other.scorer = scorer_of(self._own_scorer, reranker.blend)
        return other

    def score(self, read: ReadBlock, context: str, trace: Trace) -> Candidates:
        """The people of a block that was read, with their scores. Raises CorruptRecordError if it is damaged."""
        candidates = Candidates(read.block.rows, self.scores(read, context), read.block.sources)
        trace.marks.append(("rank", perf_counter()))
        return candidates

    def cold_start(self, viewer: Viewer, trace: Trace) -> Candidates:
        """The popular people of the viewer's groups and of the network; of the network alone without a profile."""
        profile = profile_of(viewer)
        codes = None if profile is None else codes_of(profile, self.tables).categorical
        rows, shares, sources = self._cold_start.candidates(codes)
        key = viewer.user_id, b"" if codes is None else codes.tobytes()
        columns = 0 if codes is None else int((codes >= 0).sum())
        candidates = Candidates(rows, self._spread.shares(key, rows, shares, columns), sources)
        trace.marks.append(("rank", perf_counter()))
        return candidates

    def page(
        self,
        candidates: Block | Candidates | RankedList | None,
        request: PageRequest,
        viewer: Viewer,
        trace: Trace,
        cached: CachedList | None = None,
    ) -> Page | None:
        """The first people for a viewer: scored, if they are a block's, filtered, re-ranked and encoded.

        Without candidates they are those of a cold start. `cached` is the list that the candidates are of: its entries
        are reused if their reasons are still the same. Returns None if people who are missing from a ranked list might
        come into the page. Raises CorruptRecordError if the ranker cannot read the block.
        """
        codes: ReadCodes | None = None if cached is None else cached.kept
        inputs = None if codes is None else self.reader.inputs(viewer)
        if candidates is None:
            candidates = self.cold_start(viewer, trace)
        elif isinstance(candidates, Block):
            codes, inputs = read = self.reader.read(candidates, viewer)
            candidates = self.score(read, request.context, trace)
        exempted = EXCLUDED if self.explorer.is_on else _NO_RULES  # a draw is of those shown before too
        listed, _ = self.filter(candidates, viewer, trace, request.excluded, exempted)
        passed = len(listed.rows)
        if len(request.excluded) and not exempted:
            passed += trace.drops.get(_EXCLUDED, 0)
        placed, following, drawn = self._placed(listed, request, viewer, trace, candidates)
        if placed is None:
            return None
        trace.marks.append(("rules", perf_counter()))
        friends = self.friends(viewer)
        if cached is not None and reasons_fingerprint(viewer, friends) != cached.key.reasons:
            cached = None
        entries = self.encode(placed, viewer, friends, cached)
        trace.marks.append(("encode", perf_counter()))
        return Page(entries.text, passed, None, following, _exposed(placed, codes, inputs, drawn=drawn))

    def cached_page(self, record: CachedRecord, request: PageRequest, viewer: Viewer, trace: Trace) -> Page | None:
        """The page of a list that was ranked before: a slice of its entries if all that it depends on is the same.

        Otherwise as in `page`. Returns None if the viewer's friends changed since, a rule was lifted, or people who
        are not in the list may have come up. Raises CorruptRecordError as CachedRecord.unpack.
        """
        key, cached_key = self.cache_key(viewer), record.key
        is_plain = not len(request.excluded) and request.before is None and not self.explorer.is_on
        if is_plain and cached_key[:-1] == key[:-1]:
            places, encoded = self.reranker.places(request.context, request.limit), record.encoded
            if places <= encoded or encoded < LEAST_ENCODED:  # fewer were encoded only if there are no more
                places = min(places, encoded)
                return Page(record.first(places), places, exposed=ExposedEntries(record, places))
        if cached_key.relation_version != key.relation_version:
            return None
        cached = record.unpack(self.tables.n)
        return self.page(cached.listed, request, viewer, trace, cached)

    def page_to_cache(self, block: Block, request: PageRequest, viewer: Viewer, trace: Trace) -> Page | None:
        """The page of a block as in `page`, and the list to cache.

        The list has at least LEAST_ENCODED people encoded and is not affected by those excluded or shown before.
        """
        # filter: people who may come back stay in the list, those excluded among its entries as well
        block, inputs = read = self.reader.read(block, viewer)
        scored = self.score(read, request.context, trace)
        listed, masks = self.filter(scored, viewer, trace, request.excluded, HIDING | EXCLUDED)
        hidden = _NO_RULES if masks is None else masks & HIDING
        shown = listed.only(hidden == 0) if hidden.any() else listed
        # the list to cache
        placed = self.rerank(shown, request.context, max(request.limit, LEAST_ENCODED), viewer, trace, scored)
        if placed is None:
            return None
        trace.marks.append(("rules", perf_counter()))
        friends = self.friends(viewer)
        entries = self.encode(placed, viewer, friends)
        key = self.cache_key(viewer)._replace(reasons=reasons_fingerprint(viewer, friends))
        kept = block if self.reader.keeps_codes and not by_contacts(block.sources) else None
        cacheable = CachedList(listed, key, placed.rows.tolist(), placed.scores.tolist(), entries, kept, placed)
        # the page
        following, drawn = None, None
        is_explored = self.explorer.is_on
        if is_explored or request.before is not None or (len(request.excluded) and masks is not None):
            left = shown if is_explored else listed if masks is None else listed.only(masks == 0)
            placed, following, drawn = self._placed(left, request, viewer, trace, scored)
            if placed is None:
                return None
            text = self.encode(placed, viewer, friends, cacheable).text
        else:
            text = entries.first(min(request.limit, len(entries.ends)))
        trace.marks.append(("encode", perf_counter()))
        return Page(text, len(shown.rows), cacheable, following, _exposed(placed, block, inputs, request.limit, drawn))

    def stale_page(
        self, block: Block, request: PageRequest, viewer: Viewer, trace: Trace, active: "Ranking", viewer_now: Viewer
    ) -> Page | None:
        """The page of a block of this version, which is not the active one; None if it shows no one.

        `viewer_now` is the viewer in the active version. People whom that drops or does not know are in neither the
        page nor its reasons. Raises CorruptRecordError as in `page`.
        """
        # filter: the hard rules of both versions
        block, inputs = read = self.reader.read(block, viewer)
        scored = self.score(read, request.context, trace)
        listed, masks = self.filter(scored, viewer, trace, request.excluded, EXCLUDED)
        most = DEEPEST if request.before is None else len(listed.rows)
        passing = self._passing(listed.rows[:most], active, lambda rows: active.masks(viewer_now, rows) == 0)
        if not (passed := int(passing.sum())):
            return None
        if masks is not None and not self.explorer.is_on:
            passing &= masks[:most] == 0
        left = listed.at(np.flatnonzero(passing).astype(np.int32))
        # re-rank and encode
        placed, following, drawn = self._placed(left, request, viewer, trace, scored)
        if placed is None:
            return None
        trace.marks.append(("rules", perf_counter()))
        named, friends = active.friends(viewer_now), self.friends(viewer)
        friends = friends[self._passing(friends, active, lambda rows: np.isin(rows, named))]
        entries = self.encode(placed, viewer, friends)
        trace.marks.append(("encode", perf_counter()))
        return Page(entries.text, passed, None, following, _exposed(placed, block, inputs, drawn=drawn))

    def filter(
        self,
        candidates: Candidates | RankedList,
        viewer: Viewer,
        trace: Trace,
        excluded: NDArray[np.int32] = NO_ROWS,
        exempted: np.uint16 = _NO_RULES,
    ) -> tuple[RankedList, NDArray[np.uint16] | None]:
        """The candidates that no hard rule drops but `exempted` ones, best first; and the rules (k,) that drop each.

        `excluded` (j,) are rows that the request leaves out. The rules are None if none drops anyone in the list.
        """
        places, dropped, hidden_now, masks = self._masks.apply(
            viewer.row, candidates.rows, self.user_flags.flags, viewer.view, excluded, int(exempted)
        )
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
            taken = (rows.take(places), scores.take(places), sources.take(places))
            listed = RankedList(viewer.row, *taken, places=places)
        return listed, masks.take(places) if hidden_now else None

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
        lowest = _lowest(candidates)
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

    def scores(self, read: ReadBlock, context: str) -> NDArray[np.float32]:
        """(m,) float32, 0-1: the scores of a viewer's block before any rule."""
        return self.scorer.scores(self.tables, read.block, context, read.inputs)

    def explain(self, read: ReadBlock, place: int, context: str) -> Explanation:
        """What made the score of the candidate at a place of a viewer's block."""
        return self.scorer.explained(self.tables, read.block, place, context, read.inputs)

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
            return CacheKey(flags.epoch, 0, self.reranker.scored_by, rerank)
        relation_version = view.relation_version ^ self.reranker.scored_by
        return CacheKey(flags.epoch, revision_fingerprint(view.revision), relation_version, rerank)

    def _placed(
        self,
        listed: RankedList,
        request: PageRequest,
        viewer: Viewer,
        trace: Trace,
        candidates: Candidates | RankedList,
    ) -> tuple[RankedList | None, Shown | None, Drawn | None]:
        """The people of a page in their places, as in `rerank`; these as Shown, if pages before were named; and how
        they were drawn, if they were.

        There are none of the second if no more people follow the page. If lists are drawn, those whom the request
        excludes are in `listed`.
        """
        _, limit, _, before = request
        if self.explorer.is_on:
            return self.explorer.page(
                listed, request, viewer, trace.moved, self.user_flags, self._hashes, _lowest(candidates)
            )
        if before is None:
            return self.rerank(listed, request.context, limit, viewer, trace, candidates), None, None
        placed = self.rerank(listed, request.context, limit + len(before.hashes) + 1, viewer, trace, candidates)
        if placed is None:
            return None, None, None
        hashes = self._hashes[placed.rows]
        places = np.flatnonzero(~np.isin(hashes, before.hashes))
        has_more, places = len(places) > limit, places[:limit]
        scores = np.minimum(placed.scores[places], before.lowest)
        own = None if placed.places is None else placed.places[places]
        page = RankedList(placed.viewer, placed.rows[places], scores, placed.sources[places], placed.is_whole, own)
        return page, Shown(hashes[places], scores[-1]) if has_more else None, None

    def _moved(self, placed: RankedList, viewer: Viewer, friends: NDArray[np.int32], cached: CachedList) -> Entries:
        """Entries in their places: those cached with the same score are moved, the others encoded."""
        place_of = {row: at for at, row in enumerate(cached.rows)}
        found: list[tuple[Entries, int] | None] = []
        for row, score in zip(placed.rows.tolist(), placed.scores.tolist(), strict=True):
            at = place_of.get(row)
            found.append((cached.entries, at) if at is not None and cached.scores[at] == score else None)
        missing = [at for at, one in enumerate(found) if one is None]
        if missing:
            encoded = self.encoder.entries(
                profile_of(viewer), friends, placed.rows[missing], placed.scores[missing], placed.sources[missing]
            )
            for number, at in enumerate(missing):
                found[at] = (encoded, number)
        return Entries.moved([one for one in found if one is not None])

    def _passing(
        self,
        rows: NDArray[np.uint32] | NDArray[np.int32],
        active: "Ranking",
        test: Callable[[NDArray[np.uint32]], NDArray[np.bool_]],
    ) -> NDArray[np.bool_]:
        """(k,) whether each person is in the active version too and passes a test of the rows there."""
        ids = [self.tables.vocabulary.user_id(row) for row in rows.tolist()]
        found = active.tables.vocabulary.rows(ids)
        passed = found >= 0
        passed[passed] = test(found[passed].astype(np.uint32))
        return passed

    def _sort(
        self, viewer: Viewer, rows: NDArray[np.uint32], scores: NDArray[np.float32], places: NDArray[np.int32]
    ) -> None:
        """Sorts the places (k,) of candidates by falling score, equals in the viewer's own order."""
        if best_first(scores, places):
            own = self._hashes[viewer.row] if viewer.row is not None else _hash_of(viewer.user_id)
            order_ties(scores, places, rows, self._hashes, int(own))


def _lowest(candidates: Candidates | RankedList | None) -> np.float32 | None:
    """The score that no one who is missing from a list exceeds; None if no one is missing."""
    return candidates.scores[-1] if isinstance(candidates, RankedList) and not candidates.is_whole else None


def _exposed(
    placed: RankedList,
    codes: ReadCodes | None,
    inputs: ViewerInputs | None,
    most: int = MAX_SHOWN,
    drawn: Drawn | None = None,
) -> Exposed:
    """The people of a list as they are recorded, with what the ranker read of them and of the viewer."""
    return Exposed(placed, codes, None if inputs is None else inputs.statistics, most, drawn)


def profile_of(viewer: Viewer) -> Row | ProfileCodes | None:
    """The row whose profile is the viewer's, or the profile itself; None if neither is known."""
    return viewer.row if viewer.codes is None else viewer.codes


def revision_fingerprint(revision: tuple[int, int]) -> int:
    """64 bits of the revision of a live record (models.live_state.user_record.revision_of)."""
    base, length = revision
    return ((base << 25) ^ length) % (1 << 64)


def reasons_fingerprint(viewer: Viewer, friends: NDArray[np.int32]) -> int:
    """CRC-32 of what a viewer's reasons depend on: rows of friends who may be named, and which profile."""
    crc = zlib.crc32(friends.astype("<i4", copy=False).tobytes())
    if viewer.view is None or not viewer.view.profile_changed_at:
        return crc
    return zlib.crc32(b"%d" % viewer.view.profile_changed_at, crc)


def _hash_of(user_id: str) -> np.uint32:
    return np.uint32(id_hashes(Vocabulary.from_ids([user_id]))[0])
