"""The soft rules: they demote people, and shorten a list only if an operator asked for it.

In their order: fatigue lowers scores, and demotes people who were shown to this viewer too often; exposure demotes
people who were shown to the whole network too often; suspicious, if it is on, demotes or drops accounts that hardly fit
their friends; a context drops people with a low score, and all beyond its number; diversity looks at each page.
Demoted people come last, by score. Whatever the order, the score shown never rises.

All of this holds for the beginning of a list too: `rerank` returns None if a missing person might have come into the
places asked for, so that a cached list gives the answer of a newly ranked one, or none.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.ranker.outcome_heads import Blend
from models.setting_texts import ContextLimit
from models.settings import Settings
from models.version.tables import Tables
from service.ranking.exploration.draw import NO_EXPLORATION, Exploration
from service.ranking.kernels.diversity import PAGE, page_by_page
from service.ranking.ranked_list import RankedList
from service.ranking.user_flags import UserFlags
from service.ranking.viewer_state import ViewerState


@dataclass(frozen=True, slots=True)
class Diversity:
    """At most `most` of one value of `column` on a page; off if the version has no such column."""

    column: str
    most: int


@dataclass(frozen=True, slots=True)
class Fatigue:
    """What showings without an action do to a score, and after how many a person is demoted."""

    factor: float = 1.0
    limit: int = 1 << 16


@dataclass(frozen=True, slots=True)
class Suspicious:
    """Above which suspicion an account is demoted, or with `drop` dropped; above 1: off."""

    above: float = 2.0
    drop: bool = False

    @property
    def is_on(self) -> bool:
        return self.above <= 1

    @classmethod
    def of(cls, settings: Settings) -> "Suspicious":
        """The parameters of these settings."""
        return cls() if settings.suspicious == "off" else cls(settings.suspicious_above, settings.suspicious == "drop")


@dataclass(frozen=True, slots=True)
class RerankSettings:
    """The parameters of all soft rules."""

    diversity: Diversity
    fatigue: Fatigue = Fatigue()
    contexts: Mapping[str, ContextLimit] = field(default_factory=dict)
    suspicious: Suspicious = Suspicious()
    logs_exposures: bool = False
    """whether lists are recorded in the exposure log; changes no list"""
    exploration: Exploration = NO_EXPLORATION
    """how lists are drawn after the soft rules; not part of `identity`: lists are cached before the draw"""
    ask_below_friends: int = 0
    """viewers with fewer friends are asked for a profile column; changes no list"""
    contacts_share: float = 0.0
    """share of the places of a first page that contacts may take, before ranked ones; not part of `identity`"""
    newcomers_share: float = 0.0
    """share of them that newcomers take, at its end; likewise"""
    blend: Blend = ()
    """powers of heads of outcomes that differ from the night's"""

    @classmethod
    def of(cls, settings: Settings) -> "RerankSettings":
        """The parameters of these settings."""
        return cls(
            Diversity(settings.diversity_column, settings.diversity_most),
            Fatigue(settings.fatigue_factor, settings.fatigue_limit),
            settings.context_limits,
            Suspicious.of(settings),
            settings.exposure_share > 0,
            Exploration.of(settings),
            settings.ask_below_friends,
            settings.contacts_share,
            settings.newcomers_share,
            tuple(sorted(settings.outcome_blend.items())),
        )

    @property
    def identity(self) -> int:
        """A 32-bit number that equal settings share."""
        parts: tuple[object, ...] = (self.diversity, self.fatigue, sorted(self.contexts.items()), self.suspicious)
        parts += (self.blend,) if self.blend else ()
        return zlib.crc32(repr(parts).encode())


@dataclass(slots=True)
class Slate:
    """One list on its way through the rules."""

    rows: NDArray[np.uint32]
    """(m,) best first"""
    scores: NDArray[np.float32]
    """(m,)"""
    demoted: NDArray[np.bool_] | None = None
    """(m,) people who come last; None: no one"""
    dropped: NDArray[np.bool_] | None = None
    """(m,) people who are not shown at all; None: no one"""

    def demote(self, mask: NDArray[np.bool_]) -> int:
        """Demotes the people of a mask (m,); returns how many were not demoted before."""
        if not mask.any():
            return 0
        added = mask if self.demoted is None else mask & ~self.demoted
        self.demoted = mask if self.demoted is None else self.demoted | mask
        return int(added.sum())

    def drop(self, mask: NDArray[np.bool_]) -> int:
        """Drops the people of a mask (m,); returns how many were not dropped before."""
        if not mask.any():
            return 0
        added = mask if self.dropped is None else mask & ~self.dropped
        self.dropped = mask if self.dropped is None else self.dropped | mask
        return int(added.sum())


class RerankRule(Protocol):
    """One rule over a whole list."""

    name: str
    """what counters call it"""

    def apply(self, slate: Slate, context: str, view: ViewerState | None, user_flags: UserFlags) -> int:
        """Changes scores, demotes or drops people; returns how many were demoted or dropped."""
        ...


class FatigueRule:
    """Impression discounting (Lee, Lakshmanan, Tiwari, Shah 2014) by a factor for each showing without an action."""

    name = "fatigue"

    def __init__(self, fatigue: Fatigue) -> None:
        self._factor = np.float32(fatigue.factor)
        self._limit = fatigue.limit

    def apply(self, slate: Slate, context: str, view: ViewerState | None, user_flags: UserFlags) -> int:
        if view is None or not len(view.shown):
            return 0
        at = np.minimum(np.searchsorted(view.shown, slate.rows), len(view.shown) - 1)
        times = np.where(view.shown[at] == slate.rows, view.times[at], np.float32(0))
        slate.scores = (slate.scores * self._factor**times).astype(np.float32)
        return slate.demote(times >= self._limit)


class ExposureRule:
    """People who were shown to the whole network too often within a day come last, so that no one is flooded."""

    name = "exposure"

    def apply(self, slate: Slate, context: str, view: ViewerState | None, user_flags: UserFlags) -> int:
        return slate.demote(user_flags.exposed[slate.rows]) if user_flags.exposed is not None else 0


class SuspiciousRule:
    """Accounts that hardly fit their friends come last, or are dropped, if the version has the suspicion of each."""

    name = "suspicious"

    def __init__(self, suspicion: NDArray[np.float16] | None, suspicious: Suspicious) -> None:
        mask = None if suspicion is None else suspicion > np.float16(suspicious.above)
        self._mask = mask if mask is not None and mask.any() else None
        self._drop = suspicious.drop

    def apply(self, slate: Slate, context: str, view: ViewerState | None, user_flags: UserFlags) -> int:
        if self._mask is None:
            return 0
        mask = self._mask[slate.rows]
        return slate.drop(mask) if self._drop else slate.demote(mask)


class ContextRule:
    """A context with a least score shows no one below it."""

    name = "context"

    def __init__(self, limits: Mapping[str, ContextLimit]) -> None:
        self._limits = limits

    def apply(self, slate: Slate, context: str, view: ViewerState | None, user_flags: UserFlags) -> int:
        limit = self._limits.get(context)
        if limit is None or limit.least_score <= 0:
            return 0
        return slate.drop(slate.scores < np.float32(limit.least_score))


class Reranker:
    """Applies all soft rules in their order, for one version."""

    def __init__(self, tables: Tables, settings: RerankSettings) -> None:
        self.identity = settings.identity
        self.exploration = settings.exploration
        """how lists are drawn after these rules"""
        self.blend = settings.blend
        """the powers by which heads of outcomes score before these rules; empty: the night's"""
        self.scored_by = zlib.crc32(repr(settings.blend).encode()) if settings.blend else 0
        """32 bits that lists of equal powers share; 0 for the night's"""
        self._rules: Sequence[RerankRule] = (
            FatigueRule(settings.fatigue),
            ExposureRule(),
            SuspiciousRule(tables.suspicion, settings.suspicious),
            ContextRule(settings.contexts),
        )
        self._limits = settings.contexts
        self._most = settings.diversity.most
        columns, column = tables.categorical_columns, settings.diversity.column
        is_on = column in columns and self._most < PAGE
        # a copy, never a view of the read-only file: for that the kernel would be compiled again
        self._codes = tables.categorical_codes[:, columns.index(column)].copy() if is_on else None

    def places(self, context: str, limit: int) -> int:
        """How many of so many people a list in a context may hold."""
        own = self._limits.get(context)
        return limit if own is None else min(limit, own.most)

    def rerank(
        self,
        listed: RankedList,
        context: str,
        places: int,
        view: ViewerState | None,
        user_flags: UserFlags,
        moved: dict[str, int],
        lowest: np.float32 | None = None,
        *,
        deeper: bool = False,
    ) -> RankedList | None:
        """The first places of a list (m,) that the hard rules were applied to, best first.

        Writes into `moved` how many people each rule demoted or dropped. `lowest` is the score that no person missing
        from the list exceeds, None if no one is missing. With `deeper` there may be more places than the context has.
        Returns None if a missing person might have come into these places.
        """
        # the rules over the whole list, in their order
        places = places if deeper else self.places(context, places)
        slate = Slate(listed.rows, listed.scores)
        for rule in self._rules:
            if count := rule.apply(slate, context, view, user_flags):
                moved[rule.name] = count
        limit = self._limits.get(context)
        if lowest is not None and limit is not None and lowest < np.float32(limit.least_score):
            lowest = None  # every missing person would be dropped
        # the order of the changed scores, and how much of it is certain
        order = _order(slate, listed.scores)
        rows = listed.rows if order is None else listed.rows[order]
        scores = slate.scores if order is None else slate.scores[order]
        known = len(rows) if lowest is None else _known(slate, order, scores, lowest)
        # page by page
        chosen = self._pages(rows[:known], places, moved, is_whole=known == len(rows) and lowest is None)
        if chosen is None:
            return None
        picked = chosen if order is None else order[chosen]
        return RankedList(
            listed.viewer,
            listed.rows[picked],
            np.minimum.accumulate(scores[chosen]),
            listed.sources[picked],
            places=None if listed.places is None else listed.places[picked],
        )

    def _pages(
        self, rows: NDArray[np.uint32], places: int, moved: dict[str, int], *, is_whole: bool
    ) -> NDArray[np.int32] | slice | None:
        """Positions of the people for the places, page by page; None if `rows` are too few to decide."""
        pages = -(-places // PAGE) * PAGE
        if not is_whole and len(rows) < (places if self._codes is None else pages):
            return None
        if self._codes is None:
            return slice(0, places)
        chosen, was_filled = diversified(rows, self._codes, places, self._most)
        if was_filled and not is_whole:
            return None
        if len(chosen) and (demoted := int(chosen.max()) + 1 - len(chosen)):
            moved["diversity"] = demoted
        return chosen


def _order(slate: Slate, before: NDArray[np.float32]) -> NDArray[np.intp] | None:
    """Positions in the order of the slate's scores, the demoted last; None if that is the order of the list.

    `before` (m,) are the scores that the list came with, falling.
    """
    if slate.scores is before and slate.demoted is None and slate.dropped is None:
        return None
    if slate.demoted is None:
        order = np.argsort(-slate.scores, kind="stable")
    else:
        order = np.lexsort((-slate.scores, slate.demoted))
    return order if slate.dropped is None else order[~slate.dropped[order]]


def _known(slate: Slate, order: NDArray[np.intp] | None, scores: NDArray[np.float32], lowest: np.float32) -> int:
    """How many of the ordered people (m,) come before every missing person for certain."""
    before = scores >= lowest
    if slate.demoted is not None and order is not None:
        before &= ~slate.demoted[order]
    return len(before) if before.all() else int(np.argmin(before))


def diversified(
    rows: NDArray[np.uint32], codes: NDArray[np.int32], places: int, most: int
) -> tuple[NDArray[np.int32], bool]:
    """Positions of the people at `rows` (m,), best first, for the first `places` places, and whether a page was filled.

    They are chosen by service.ranking.kernels.diversity.page_by_page. A filled page holds more than `most` of a code:
    with more people it might be another.
    """
    pages = -(-places // PAGE) * PAGE
    chosen = np.empty(min(pages, len(rows)), dtype=np.int32)
    _, was_filled = page_by_page(rows, codes, most, chosen)
    return chosen[:places], was_filled
