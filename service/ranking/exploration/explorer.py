"""The pages of drawn lists: the draw comes after the hard and the soft rules, on top of whatever list was kept."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from service.ranking.exploration.draw import Draw, Drawn, draw, seed_of, span_of
from service.ranking.page import PageRequest, Shown
from service.ranking.ranked_list import RankedList
from service.ranking.rerank import Reranker
from service.ranking.user_flags import UserFlags
from service.ranking.viewer import Viewer

DEMOTING = ("fatigue", "exposure", "suspicious", "context")
"""soft rules that move people to the end of a list, or drop them: these are not drawn"""


class Explorer:
    """Draws pages with one version."""

    def __init__(self, reranker: Reranker, version: str, clock: Callable[[], float]) -> None:
        """`clock` gives epoch seconds."""
        self._reranker, self._exploration = reranker, reranker.exploration
        self._version, self._clock = version, clock
        self.is_on = reranker.exploration.is_on

    def after(self, reranker: Reranker) -> "Explorer":
        """The explorer of lists that are re-ranked by other soft rules."""
        return Explorer(reranker, self._version, self._clock)

    def page(
        self,
        listed: RankedList,
        request: PageRequest,
        viewer: Viewer,
        moved: dict[str, int],
        user_flags: UserFlags,
        hashes: NDArray[np.uint32],
        lowest: np.float32 | None,
    ) -> tuple[RankedList | None, Shown | None, Drawn | None]:
        """The people of a page in their places, those as Shown if more follow, and how they were drawn.

        `listed` are the people whom no hard rule drops, best first, those shown on the pages before included: they are
        drawn too, and left out then. `hashes` (n,) are those of all ids, `lowest` as in Reranker.rerank, whose None is
        passed on. A page keeps to the number of its context.
        """
        context, limit, excluded, before = request
        earlier = len(excluded) + (0 if before is None else len(before.hashes))
        # the soft rules
        own: dict[str, int] = {}
        depth = max(self._exploration.best, limit + earlier + 1)
        placed = self._reranker.rerank(listed, context, depth, viewer.view, user_flags, own, lowest, deeper=True)
        moved.update(own)
        if placed is None:
            return None, None, None
        # the draw, and who of it was shown before
        eligible = len(listed.rows) - sum(own.get(rule, 0) for rule in DEMOTING)
        their = hashes[placed.rows]
        was_shown = np.isin(placed.rows, excluded) if len(excluded) else np.zeros(len(their), dtype=np.bool_)
        if before is not None:
            was_shown |= np.isin(their, before.hashes)
        seldom = None if user_flags.seldom is None else user_flags.seldom[placed.rows]
        made = self._draw(placed, their, eligible, viewer, context, was_shown, seldom)
        # the page
        at = np.flatnonzero(~was_shown[made.order])
        if before is not None:
            at = at[at < self._reranker.places(context, len(made.order))]
        has_more, at = len(at) > limit, at[: self._reranker.places(context, limit)]
        people = made.order[at]
        scores = np.minimum.accumulate(placed.scores[people])
        if before is not None and len(scores):
            scores = np.minimum(scores, before.lowest)
        page = RankedList(
            placed.viewer,
            placed.rows[people],
            scores,
            placed.sources[people],
            places=None if placed.places is None else placed.places[people],
        )
        following = Shown(their[people], scores[-1]) if before is not None and has_more and len(scores) else None
        return page, following, Drawn(made, at)

    def _draw(
        self,
        placed: RankedList,
        hashes: NDArray[np.uint32],
        eligible: int,
        viewer: Viewer,
        context: str,
        was_shown: NDArray[np.bool_],
        seldom: NDArray[np.bool_] | None,
    ) -> Draw:
        """The draw of this span; that of the span before if those shown are the beginning of that and not of this."""
        span = span_of(self._exploration, self._clock())
        shown, first = int(was_shown.sum()), None
        for one in (span, span - 1) if shown else (span,):
            seed = seed_of(viewer.user_id, self._version, context, one)
            made = draw(self._exploration, seed, placed.scores, hashes, eligible, seldom)
            if was_shown[made.order[:shown]].all():
                return made
            first = first or made
        return first or made
