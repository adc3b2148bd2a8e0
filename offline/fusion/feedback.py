"""Outcomes of shown candidates, logged or simulated, and their reward by term."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.schema.event_kinds import EventKind
from offline.fusion.candidate_lists import CandidateLists
from offline.snapshot.snapshot import Interactions

UNKNOWN = -1
"""outcome of a candidate who was never shown"""

ANSWER_DAYS = 14
"""days after an impression within which an answer counts"""

_DAY = 86_400


class Outcome(IntEnum):
    """The viewer's answer to a shown candidate."""

    IGNORE = 0
    ACCEPT = 1
    DISMISS = 2


class Reward(BaseModel):
    """The reward of each outcome at an examined position."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accept: float = 1.0
    """an invite or a connection"""

    dismiss: float = -0.5
    """a dismissal, a block, a report"""

    ignore: float = -0.02
    """a used position"""

    def terms(self, outcomes: NDArray[np.int8], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 3) the reward by term, in the order of Outcome, of outcomes (..., k) at positions of weight (k,).

        The terms add up to the reward; an unknown outcome adds nothing.
        """
        worth = {Outcome.IGNORE: self.ignore, Outcome.ACCEPT: self.accept, Outcome.DISMISS: self.dismiss}
        return np.stack([worth[one] * ((outcomes == one) @ weights) for one in Outcome], axis=-1)


@dataclass(frozen=True)
class Behaviour:
    """Behaviour of simulated viewers."""

    accepts: float = 0.8
    """chance that an examined candidate who became a friend is invited"""
    dismisses: float = 0.1
    """chance that any other examined candidate is dismissed"""


def attention(places: int) -> NDArray[np.float64]:
    """(places,) the chance that each position of a list is examined: 1 / log2(1 + position)."""
    return 1 / np.log2(np.arange(places) + 2)


def simulated(
    lists: CandidateLists, random: np.random.Generator, behaviour: Behaviour | None = None
) -> NDArray[np.int8]:
    """(L, C) int8 outcomes drawn from the labels, as if each candidate were shown once; UNKNOWN past the last."""
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
    """(L, C) int8: the logged outcome of each candidate `rows` (L, C) of `viewers` (L,); UNKNOWN if never shown.

    `log` holds the interactions of n users. The last impression of a pair counts, and the first answer within
    ANSWER_DAYS.
    """
    kind, at = log.kind, log.at
    pairs = log.user.astype(np.int64) * n + log.other
    shown = kind == EventKind.IMPRESSION
    order = np.argsort(at[shown], kind="stable")
    keys, last = np.unique(pairs[shown][order][::-1], return_index=True)
    shown_at = at[shown][order][::-1][last]
    outcomes = np.full(len(keys), Outcome.IGNORE, np.int8)
    if len(keys):
        answers = np.isin(kind, [*map(int, _ACCEPTS), *map(int, _DISMISSES)])
        key, answered_at = pairs[answers], at[answers]
        place = np.minimum(np.searchsorted(keys, key), len(keys) - 1)
        waited = answered_at - shown_at[place]
        is_answer = (keys[place] == key) & (waited >= 0) & (waited <= ANSWER_DAYS * _DAY)
        latest_first = np.argsort(-answered_at[is_answer], kind="stable")  # so that the first answer is written last
        answer = np.where(np.isin(kind[answers][is_answer], [*map(int, _ACCEPTS)]), Outcome.ACCEPT, Outcome.DISMISS)
        outcomes[place[is_answer][latest_first]] = answer[latest_first]
    wanted = viewers[:, None] * n + rows.astype(np.int64)
    if not len(keys):
        return np.full(wanted.shape, UNKNOWN, np.int8)
    found = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[found] == wanted, outcomes[found], UNKNOWN).astype(np.int8)
