"""What came of showing people: logged or simulated outcomes, and the reward they are worth, term by term."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.schema.event_kinds import EventKind
from offline.fusion.candidate_lists import CandidateLists
from offline.snapshot.snapshot import Interactions

UNKNOWN = -1
"""the outcome of somebody who was never shown"""

ANSWER_DAYS = 14
"""how long after it was shown a suggestion may be answered"""

_DAY = 86_400


class Outcome(IntEnum):
    """What a viewer did about somebody shown."""

    IGNORE = 0
    ACCEPT = 1
    DISMISS = 2


class Reward(BaseModel):
    """What each outcome of a place looked at is worth."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accept: float = 1.0
    """an invite or a connection"""

    dismiss: float = -0.5
    """a dismissal, a block, a report"""

    ignore: float = -0.02
    """a place used up"""

    def terms(self, outcomes: NDArray[np.int8], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 3) the reward by term, in the order of Outcome, of outcomes (..., k) whose places weigh (k,).

        The sum over the terms is the reward; an unknown outcome is worth nothing.
        """
        worth = {Outcome.IGNORE: self.ignore, Outcome.ACCEPT: self.accept, Outcome.DISMISS: self.dismiss}
        return np.stack([worth[one] * ((outcomes == one) @ weights) for one in Outcome], axis=-1)


@dataclass(frozen=True)
class Behaviour:
    """How simulated viewers answer."""

    accepts: float = 0.8
    """chance that somebody who became a friend is invited when looked at"""
    dismisses: float = 0.1
    """chance that anybody else is dismissed"""


def attention(places: int) -> NDArray[np.float64]:
    """(places,) how likely each place of a list is looked at: 1 / log2(1 + place)."""
    return 1 / np.log2(np.arange(places) + 2)


def simulated(
    lists: CandidateLists, random: np.random.Generator, behaviour: Behaviour | None = None
) -> NDArray[np.int8]:
    """(L, C) int8 outcomes drawn from the labels, as if everybody were shown once; UNKNOWN where there is nobody."""
    behaviour = behaviour or Behaviour()
    drawn = random.random(lists.labels.shape)
    answered = np.where(
        lists.labels,
        np.where(drawn < behaviour.accepts, Outcome.ACCEPT, Outcome.IGNORE),
        np.where(drawn < behaviour.dismisses, Outcome.DISMISS, Outcome.IGNORE),
    )
    return np.where(lists.valid, answered, UNKNOWN).astype(np.int8)


_ACCEPTS = (EventKind.INVITE, EventKind.CONNECT, EventKind.ACCEPT)
_DISMISSES = (EventKind.DISMISS, EventKind.BLOCK, EventKind.REPORT)


def logged(
    viewers: NDArray[np.int64],
    rows: NDArray[np.integer],
    log: Interactions,
    n: int,
) -> NDArray[np.int8]:
    """(L, C) int8: what the log says of each candidate `rows` (L, C) of `viewers` (L,); UNKNOWN where never shown.

    `log` is what n people did. The last showing of a pair counts, and the first answer to it within ANSWER_DAYS.
    """
    kind, at = log.kind, log.at
    pairs = log.user.astype(np.int64) * n + log.other
    shown = kind == EventKind.IMPRESSION
    order = np.argsort(at[shown], kind="stable")
    keys, last = np.unique(pairs[shown][order][::-1], return_index=True)
    moments = at[shown][order][::-1][last]
    outcomes = np.full(len(keys), Outcome.IGNORE, np.int8)
    if len(keys):
        answers = np.isin(kind, [*map(int, _ACCEPTS), *map(int, _DISMISSES)])
        key, moment = pairs[answers], at[answers]
        place = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        waited = moment - moments[place]
        meant = (keys[place] == key) & (waited >= 0) & (waited <= ANSWER_DAYS * _DAY)
        latest_first = np.argsort(-moment[meant], kind="stable")  # so that the first answer is written last
        said = np.where(np.isin(kind[answers][meant], [*map(int, _ACCEPTS)]), Outcome.ACCEPT, Outcome.DISMISS)
        outcomes[place[meant][latest_first]] = said[latest_first]
    wanted = viewers[:, None] * n + rows.astype(np.int64)
    if not len(keys):
        return np.full(wanted.shape, UNKNOWN, np.int8)
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[found] == wanted, outcomes[found], UNKNOWN).astype(np.int8)
