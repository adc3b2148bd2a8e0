"""Plants fake accounts: who they are, whom they befriend, and their unaccepted invites.

The profile and degree of a fake are drawn like any user's. Then the friends are replaced: a friendship keeps its time
and its fake end and gets a different other end. Half of the fakes are mass inviters, whose friends may live anywhere.
The others form link farms of about forty fakes who befriend each other, and strangers otherwise. So neither profiles
nor degrees identify a fake, only the misfit between the two.
"""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from models.schema.event_kinds import EventKind
from offline.synth import calendar
from offline.synth.interactions import LOGGED_DAYS, Interactions

FARM = 40
"""approximate fakes of a link farm"""

FARMED = 0.5
"""share of a farm's friendships inside the farm"""

INVITES = 4.0
"""unaccepted invites for each stranger befriended in the logged days"""

DECLINED = 0.3
"""share of them that are declined; the others stay pending"""


class Fake(IntEnum):
    """Kinds of account."""

    ORDINARY = 0
    MASS_INVITER = 1
    LINK_FARM = 2

    @property
    def word(self) -> str:
        """Name in files."""
        return self.name.lower()


@dataclass(frozen=True)
class NetworkWithFakes:
    """Friendships with fakes planted."""

    kinds: NDArray[np.int8]
    """(n,) codes of Fake"""
    connections: NDArray[np.int64]
    """(m, 3) in the order of time: initiator, other, epoch seconds"""
    held_out: NDArray[np.int64]
    """(h, 3) the later friendships of ordinary users alone"""


def plant(
    share: float,
    joined: NDArray[np.int64],
    connections: NDArray[np.int64],
    held_out: NDArray[np.int64],
    rng: np.random.Generator,
) -> NetworkWithFakes:
    """Turns a share of the n users into fakes, half of each kind, and rewires their friendships.

    Degrees stay the same, except for pairs drawn twice. Strangers are drawn in proportion to their friends.
    """
    n = len(joined)
    kinds = np.zeros(n, np.int8)
    if not share:
        return NetworkWithFakes(kinds, connections, held_out)
    # choose the fakes and cut their friendships
    chosen = rng.permutation(n)[: round(share * n)]
    kinds[chosen[::2]], kinds[chosen[1::2]] = Fake.MASS_INVITER, Fake.LINK_FARM
    fake = kinds > 0
    ends, at = connections[:, :2], connections[:, 2]
    touched = fake[ends]
    kept = connections[~touched.any(axis=1)]
    stubs = np.concatenate([ends[touched[:, side], side] for side in (0, 1)])
    timestamps = np.concatenate([at[touched[:, side]] for side in (0, 1)])
    freed = np.concatenate([ends[touched[:, side] & ~touched[:, 1 - side], 1 - side] for side in (0, 1)])

    # rewire them inside the farm or to strangers
    farmed = (kinds[stubs] == Fake.LINK_FARM) & (rng.random(len(stubs)) < FARMED)
    farms = np.zeros(n, np.int64)
    farmers = rng.permutation(np.flatnonzero(kinds == Fake.LINK_FARM))
    farms[farmers] = np.arange(len(farmers)) // FARM
    inside = _paired(stubs[farmed], farms[stubs[farmed]], timestamps[farmed], rng)
    outside = _new_ends(stubs[~farmed], timestamps[~farmed], freed, joined, rng)
    made = _distinct(np.concatenate([kept, inside, outside]), joined)
    return NetworkWithFakes(kinds, made, held_out[~fake[held_out[:, :2]].any(axis=1)])


def _paired(
    stubs: NDArray[np.int64], farms: NDArray[np.int64], timestamps: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """(p, 3) ends of friendships (k,) paired at random inside each farm, at the later of both times."""
    order = np.lexsort((rng.random(len(stubs)), farms))
    first, second = order[:-1:2], order[1::2]
    same = farms[first] == farms[second]
    first, second = first[same], second[same]
    return np.column_stack([stubs[first], stubs[second], np.maximum(timestamps[first], timestamps[second])])


def _new_ends(
    stubs: NDArray[np.int64],
    timestamps: NDArray[np.int64],
    freed: NDArray[np.int64],
    joined: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """(k, 3) friendships of each stub with a random user who lost a friendship to a fake."""
    others = freed[rng.integers(len(freed), size=len(stubs))] if len(freed) else np.zeros(0, np.int64)
    stubs, timestamps = stubs[: len(others)], timestamps[: len(others)]
    return np.column_stack([stubs, others, np.maximum(timestamps, joined[others])])


def _distinct(made: NDArray[np.int64], joined: NDArray[np.int64]) -> NDArray[np.int64]:
    """(m, 3) in the order of time, without duplicates, self-pairs, and pairs before both joined or after the cut."""
    a, b = made[:, :2].min(axis=1), made[:, :2].max(axis=1)
    made = made[(a != b) & (made[:, 2] >= joined[b]) & (made[:, 2] < calendar.CUT)]
    made = made[np.argsort(made[:, 2], kind="stable")]
    pairs = made[:, :2].min(axis=1) * len(joined) + made[:, :2].max(axis=1)
    _, first = np.unique(pairs, return_index=True)
    return made[np.sort(first)]


def add_unaccepted_invites(
    planted: NetworkWithFakes, log: Interactions, joined: NDArray[np.int64], rng: np.random.Generator
) -> Interactions:
    """The log with the unaccepted invites of fakes, in the order of time."""
    n, fake = len(joined), planted.kinds > 0
    begun = calendar.CUT - LOGGED_DAYS * calendar.DAY
    made = planted.connections
    recent = made[(made[:, 2] >= begun) & fake[made[:, 0]] & ~fake[made[:, 1]]]
    viewer = np.repeat(recent[:, 0], rng.poisson(INVITES, size=len(recent)))
    other = rng.integers(n, size=len(viewer))
    at = begun + (rng.random(len(viewer)) * (calendar.CUT - begun - calendar.DAY)).astype(np.int64)
    met = np.concatenate([made[:, :2], planted.held_out[:, :2], np.column_stack([log.viewer, log.other])])
    known = np.concatenate([met[:, 0] * n + met[:, 1], met[:, 1] * n + met[:, 0]])
    invites, once = np.unique(viewer * n + other, return_index=True)
    viewer, other, at = viewer[once], other[once], at[once]
    there = (at >= joined[other]) & (at >= joined[viewer]) & (viewer != other)
    free = there & ~fake[other] & ~np.isin(invites, known)
    viewer, other, at = viewer[free], other[free], at[free]
    declined = rng.random(len(viewer)) < DECLINED
    answered = at[declined] + rng.integers(60, calendar.DAY, size=int(declined.sum()))
    kinds = np.full(len(viewer), EventKind.INVITE.value), np.full(len(answered), EventKind.DECLINE.value)
    rows = [
        np.concatenate([log.viewer, viewer, other[declined]]),
        np.concatenate([log.other, other, viewer[declined]]),
        np.concatenate([log.kind, *kinds]),
        np.concatenate([log.at, at, answered]),
    ]
    order = np.lexsort((rows[2], rows[1], rows[0], rows[3]))
    viewer, other, kind, at = (row[order] for row in rows)
    return Interactions(viewer.astype(np.int32), other.astype(np.int32), kind.astype(np.int8), at)
