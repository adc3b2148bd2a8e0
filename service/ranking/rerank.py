"""The soft rules: they move people down and put people aside, and shorten a list only where an operator asked for it.

In their order: fatigue lowers scores, and puts aside whoever was shown to this viewer too often; exposure puts aside
whom the whole network was shown too often; suspicious, where it is on, puts aside or leaves out accounts that hardly
fit their friends; a context leaves out the badly scored, and all beyond its number; diversity looks at each page.
Whoever was put aside comes last, by score. Whatever the order, the score shown never rises.

Everything here holds for the beginning of a list too: `placed` answers None where whoever is missing might have come
into the places asked for, so that a kept list answers what a new one would, or not at all.
"""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.settings import ContextLimit, Settings
from models.version.tables import Tables
from service.ranking.kernels.diversity import PAGE, page_by_page
from service.ranking.ranked_list import RankedList
from service.ranking.user_flags import UserFlags
from service.ranking.viewer_state import ViewerState


@dataclass(frozen=True, slots=True)
class Diversity:
    """At most `most` of one value of `column` on a page; off where the version has no such column."""

    column: str
    most: int


@dataclass(frozen=True, slots=True)
class Fatigue:
    """What showings without an action do to a score, and after how many somebody is put aside."""

    factor: float = 1.0
    limit: int = 1 << 16


@dataclass(frozen=True, slots=True)
class Suspicious:
    """Above which suspicion an account is put aside, or left out where `drop`; above 1: off."""

    above: float = 2.0
    drop: bool = False

    @property
    def is_on(self) -> bool:
        return self.above <= 1

    @classmethod
    def of(cls, settings: Settings) -> "Suspicious":
        """What an operator set."""
        return cls() if settings.suspicious == "off" else cls(settings.suspicious_above, settings.suspicious == "drop")


@dataclass(frozen=True, slots=True)
class RerankSettings:
    """The parameters of all soft rules."""

    diversity: Diversity
    fatigue: Fatigue = Fatigue()
    contexts: Mapping[str, ContextLimit] = field(default_factory=dict)
    suspicious: Suspicious = Suspicious()

    @classmethod
    def of(cls, settings: Settings) -> "RerankSettings":
        """Those that an operator set."""
        return cls(
            Diversity(settings.diversity_column, settings.diversity_most),
            Fatigue(settings.fatigue_factor, settings.fatigue_limit),
            settings.context_limits,
            Suspicious.of(settings),
        )

    @property
    def identity(self) -> int:
        """A 32-bit number that equal settings share."""
        parts = (self.diversity, self.fatigue, sorted(self.contexts.items()), self.suspicious)
        return zlib.crc32(repr(parts).encode())


@dataclass(slots=True)
class Slate:
    """One list on its way through the rules."""

    rows: NDArray[np.uint32]
    """(m,) best first"""
    scores: NDArray[np.float32]
    """(m,)"""
    aside: NDArray[np.bool_] | None = None
    """(m,) who comes last; None: nobody"""
    left_out: NDArray[np.bool_] | None = None
    """(m,) who does not come at all; None: nobody"""

    def put_aside(self, who: NDArray[np.bool_]) -> int:
        """Puts people (m,) aside; how many were not yet."""
        if not who.any():
            return 0
        new = who if self.aside is None else who & ~self.aside
        self.aside = who if self.aside is None else self.aside | who
        return int(new.sum())

    def leave_out(self, who: NDArray[np.bool_]) -> int:
        """Leaves people (m,) out; how many were not yet."""
        if not who.any():
            return 0
        new = who if self.left_out is None else who & ~self.left_out
        self.left_out = who if self.left_out is None else self.left_out | who
        return int(new.sum())


class RerankRule(Protocol):
    """One rule over a whole list."""

    name: str
    """what counters call it"""

    def apply(self, slate: Slate, context: str, view: ViewerState | None, now: UserFlags) -> int:
        """Changes scores or puts people aside; how many were put aside or left out."""
        ...


class FatigueRule:
    """Impression discounting (Lee, Lakshmanan, Tiwari, Shah 2014) by a factor for each showing without an action."""

    name = "fatigue"

    def __init__(self, fatigue: Fatigue) -> None:
        self._factor = np.float32(fatigue.factor)
        self._limit = fatigue.limit

    def apply(self, slate: Slate, context: str, view: ViewerState | None, now: UserFlags) -> int:
        if view is None or not len(view.shown):
            return 0
        at = np.minimum(np.searchsorted(view.shown, slate.rows), len(view.shown) - 1)
        times = np.where(view.shown[at] == slate.rows, view.times[at], np.float32(0))
        slate.scores = (slate.scores * self._factor**times).astype(np.float32)
        return slate.put_aside(times >= self._limit)


class ExposureRule:
    """Nobody is flooded: whom the whole network was shown too often within a day comes last."""

    name = "exposure"

    def apply(self, slate: Slate, context: str, view: ViewerState | None, now: UserFlags) -> int:
        return slate.put_aside(now.exposed[slate.rows]) if now.exposed is not None else 0


class SuspiciousRule:
    """Accounts that hardly fit their friends come last, or not at all; of a version that says who they are."""

    name = "suspicious"

    def __init__(self, suspicion: NDArray[np.float16] | None, suspicious: Suspicious) -> None:
        found = None if suspicion is None else suspicion > np.float16(suspicious.above)
        self._who = found if found is not None and found.any() else None
        self._drop = suspicious.drop

    def apply(self, slate: Slate, context: str, view: ViewerState | None, now: UserFlags) -> int:
        if self._who is None:
            return 0
        who = self._who[slate.rows]
        return slate.leave_out(who) if self._drop else slate.put_aside(who)


class ContextRule:
    """A context that wants well-scored people alone gets no others."""

    name = "context"

    def __init__(self, limits: Mapping[str, ContextLimit]) -> None:
        self._limits = limits

    def apply(self, slate: Slate, context: str, view: ViewerState | None, now: UserFlags) -> int:
        limit = self._limits.get(context)
        if limit is None or limit.least_score <= 0:
            return 0
        return slate.leave_out(slate.scores < np.float32(limit.least_score))


class Reranker:
    """All of them in their order, for one version."""

    def __init__(self, tables: Tables, settings: RerankSettings) -> None:
        self.identity = settings.identity
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
        self._codes = np.ascontiguousarray(tables.categorical_codes[:, columns.index(column)]) if is_on else None

    def places(self, context: str, wanted: int) -> int:
        """How many of the people wanted a list in a context may hold."""
        limit = self._limits.get(context)
        return wanted if limit is None else min(wanted, limit.most)

    def placed(
        self,
        listed: RankedList,
        context: str,
        places: int,
        view: ViewerState | None,
        now: UserFlags,
        moved: dict[str, int],
        lowest: np.float32 | None = None,
    ) -> RankedList | None:
        """The first places of a list (m,) that hard rules have been applied to, best first.

        `moved` learns how many each rule put aside. `lowest` is what nobody missing from the list scores above, None
        where nobody is missing; the answer is None where they might have come into these places.
        """
        places = self.places(context, places)
        slate = Slate(listed.rows, listed.scores)
        for rule in self._rules:
            if count := rule.apply(slate, context, view, now):
                moved[rule.name] = count
        limit = self._limits.get(context)
        if lowest is not None and limit is not None and lowest < np.float32(limit.least_score):
            lowest = None  # whoever is missing would be left out
        order = _ordered(slate, listed.scores)
        rows = listed.rows if order is None else listed.rows[order]
        scores = slate.scores if order is None else slate.scores[order]
        known = len(rows) if lowest is None else _known(slate, order, scores, lowest)
        chosen = self._pages(rows[:known], places, moved, is_whole=known == len(rows) and lowest is None)
        if chosen is None:
            return None
        picked = chosen if order is None else order[chosen]
        return RankedList(
            listed.viewer, listed.rows[picked], np.minimum.accumulate(scores[chosen]), listed.sources[picked]
        )

    def _pages(
        self, rows: NDArray[np.uint32], places: int, moved: dict[str, int], *, is_whole: bool
    ) -> NDArray[np.int32] | slice | None:
        """Positions of the people for the places, page by page; None where `rows` are too few to tell."""
        pages = -(-places // PAGE) * PAGE
        if not is_whole and len(rows) < (places if self._codes is None else pages):
            return None
        if self._codes is None:
            return slice(0, places)
        chosen, was_filled = diversified(rows, self._codes, places, self._most)
        if was_filled and not is_whole:
            return None
        if len(chosen) and (behind := int(chosen.max()) + 1 - len(chosen)):
            moved["diversity"] = behind
        return chosen


def _ordered(slate: Slate, before: NDArray[np.float32]) -> NDArray[np.intp] | None:
    """Positions in the order of the scores as they are, those put aside last; None where that changes nothing.

    `before` (m,) are the scores that the list came with, falling.
    """
    if slate.scores is before and slate.aside is None and slate.left_out is None:
        return None
    order = (
        np.argsort(-slate.scores, kind="stable") if slate.aside is None else np.lexsort((-slate.scores, slate.aside))
    )
    return order if slate.left_out is None else order[~slate.left_out[order]]


def _known(slate: Slate, order: NDArray[np.intp] | None, scores: NDArray[np.float32], lowest: np.float32) -> int:
    """How many of the ordered people (m,) surely stand before anybody who is missing."""
    before = scores >= lowest
    if slate.aside is not None and order is not None:
        before &= ~slate.aside[order]
    return len(before) if before.all() else int(np.argmin(before))


def diversified(
    rows: NDArray[np.uint32], codes: NDArray[np.int32], places: int, most: int
) -> tuple[NDArray[np.int32], bool]:
    """Positions of the people at `rows` (m,), best first, for the first `places` places, and whether a page was filled.

    As service.ranking.kernels.diversity.page_by_page chooses them. A page that is filled holds more than `most` of a
    code: it might be another, were there more people.
    """
    pages = -(-places // PAGE) * PAGE
    chosen = np.empty(min(pages, len(rows)), dtype=np.int32)
    _, was_filled = page_by_page(rows, codes, most, chosen)
    return chosen[:places], was_filled
