"""Lists of a treatment in which some people keep the places that the control gives them.

The candidate side of an experiment: what a treatment does to the people who are shown is seen by comparing them with
people whom no list of it touches (Ha-Thuc, Dutta, Mao, Wood, Liu 2020; Nandy, Venugopalan, Lo, Chatterjee 2021).
"""

import zlib

import numpy as np
from numpy.typing import NDArray

from service.ranking.ranked_list import RankedList
from service.ranking.rerank import Reranker
from service.ranking.user_flags import UserFlags
from service.ranking.viewer_state import ViewerState


class HoldoutReranker(Reranker):
    """Re-ranks by a treatment, but for the people held out: each stands where the control's list has them.

    A person held out whom the control does not show is not shown. Scores never rise: one above a lower place's is
    lowered to the least before it.
    """

    def __init__(self, treatment: Reranker, control: Reranker, held: NDArray[np.bool_]) -> None:
        """`held` (n,) marks the rows of the version that are held out."""
        self.identity = zlib.crc32(held.tobytes(), zlib.crc32(b"%d" % control.identity, treatment.identity))
        self.exploration = treatment.exploration
        self.blend, self.scored_by = treatment.blend, treatment.scored_by
        self._treatment, self._control, self._held = treatment, control, held

    def places(self, context: str, limit: int) -> int:
        """How many of so many people a list in a context may hold, by the treatment."""
        return self._treatment.places(context, limit)

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
        """As Reranker.rerank; `moved` counts what the treatment did to the people who are not held out."""
        held = self._held[listed.rows]
        if not held.any():
            return self._treatment.rerank(listed, context, places, view, user_flags, moved, lowest, deeper=deeper)
        control = self._control.rerank(listed, context, places, view, user_flags, {}, lowest, deeper=deeper)
        if control is None:
            return None
        treated = self._treatment.rerank(
            listed.only(~held), context, places, view, user_flags, moved, lowest, deeper=deeper
        )
        if treated is None:
            return None
        places = places if deeper else self.places(context, places)
        return _merged(control, self._held[control.rows], treated, places)


def _merged(control: RankedList, held: NDArray[np.bool_], treated: RankedList, places: int) -> RankedList:
    """The people held out in the control's places, and the treated in the others, in their order."""
    fixed = np.flatnonzero(held)
    fixed = fixed[fixed < places]
    free = np.setdiff1d(np.arange(places), fixed, assume_unique=True)[: len(treated.rows)]
    # places of the whole list, closed up where it is too short for them
    order = np.argsort(np.concatenate([fixed, free]), kind="stable")

    def joined(one: str) -> NDArray[np.generic]:
        own, others = getattr(control, one)[fixed], getattr(treated, one)[: len(free)]
        both: NDArray[np.generic] = np.concatenate([own, others])[order]
        return both

    scores = np.minimum.accumulate(joined("scores")).astype(np.float32)
    known = control.places is not None and treated.places is not None
    return RankedList(
        control.viewer,
        joined("rows").astype(np.uint32),
        scores,
        joined("sources").astype(np.uint8),
        places=joined("places").astype(np.int32) if known else None,
    )
