"""Simulates friendships in the order of time: most close a triangle, most others begin inside a group.

Each attempt takes its initiator and time from calendar.py and sees only users who have joined and friendships made
before. With chance CLOSURE the initiator meets a friend of a friend (Holme and Kim 2002); strangers of the initiator's
own groups are kept more often, which produces homophily and clustering. Otherwise the initiator meets a user of one of
their groups, drawn by sociability. A failed attempt is made up by another user later.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled

CLOSURE = 0.58
"""chance that an attempt draws a friend of a friend"""

NEAR, FAR, STRANGER = 1.0, 0.25, 0.04
"""chance to befriend a friend of a friend: shared circle, team or year; shared school or company; neither"""

CHANCES = (0.48, 0.17, 0.24, 0.03, 0.04, 0.02, 0.01, 0.01)
"""of the other attempts, the share in each of communities.LAYERS"""

TRIES = 8


class Groups(NamedTuple):
    """Group membership. Users are numbered in the order of joining."""

    layers: NDArray[np.int32]
    """(n, L) the group of each user in each layer, -1 for none"""
    indptr: NDArray[np.int64]
    """(groups + 1,)"""
    members: NDArray[np.int32]
    """users of each group, ascending"""
    cumulative: NDArray[np.float64]
    """(members + 1,) running sum of the members' sociability"""
    chances: NDArray[np.float64]
    """(L,) running sum of CHANCES"""


class Friends(NamedTuple):
    """A growing adjacency: each user's friends in a run of `pool` that doubles when full."""

    pool: NDArray[np.int32]
    start: NDArray[np.int64]
    capacity: NDArray[np.int32]
    degree: NDArray[np.int32]
    state: NDArray[np.int64]
    """(2,): first free place of the pool; failed attempts to make up"""


def build_groups(layers: NDArray[np.int32], sociability: NDArray[np.float64]) -> Groups:
    """The groups of a (n, L) table of memberships, members weighted by sociability (n,)."""
    n, depth = layers.shape
    flat = layers.T.ravel()
    order = np.argsort(flat, kind="stable")
    order = order[flat[order] >= 0]
    members = (order % max(n, 1)).astype(np.int32)
    indptr = np.zeros(int(layers.max(initial=-1)) + 2, dtype=np.int64)
    np.cumsum(np.bincount(flat[order], minlength=len(indptr) - 1), out=indptr[1:])
    cumulative = np.concatenate([[0.0], np.cumsum(sociability[members])])
    return Groups(layers, indptr, members, cumulative, np.cumsum(CHANCES[:depth]))


def empty_adjacency(n: int, friendships: int) -> Friends:
    """An adjacency of n users with room for this many friendships."""
    return Friends(
        pool=np.empty(8 * n + 8 * friendships + 8, dtype=np.int32),  # doubling wastes at most half, twice
        start=np.zeros(n, dtype=np.int64),
        capacity=np.zeros(n, dtype=np.int32),
        degree=np.zeros(n, dtype=np.int32),
        state=np.zeros(2, dtype=np.int64),
    )


@compiled()
def _are_friends(friends: Friends, a: int, b: int) -> bool:
    if friends.degree[a] > friends.degree[b]:
        a, b = b, a
    begin = friends.start[a]
    for at in range(begin, begin + friends.degree[a]):  # noqa: SIM110 - any() of a generator does not compile
        if friends.pool[at] == b:
            return True
    return False


@compiled()
def _append(friends: Friends, a: int, b: int) -> None:
    if friends.degree[a] == friends.capacity[a]:
        doubled = max(4, 2 * friends.capacity[a])
        begin, free = friends.start[a], friends.state[0]
        for at in range(friends.degree[a]):
            friends.pool[free + at] = friends.pool[begin + at]
        friends.start[a] = free
        friends.capacity[a] = doubled
        friends.state[0] = free + doubled
    friends.pool[friends.start[a] + friends.degree[a]] = b
    friends.degree[a] += 1


@compiled()
def _kinship(groups: Groups, a: int, b: int) -> float:
    """The chance that the two become friends when a common friend introduces them."""
    for layer in range(5):
        group = groups.layers[a, layer]
        if group >= 0 and group == groups.layers[b, layer]:
            return NEAR if layer < 3 else FAR
    return STRANGER


@compiled()
def _member(rng: np.random.Generator, groups: Groups, group: int, present: int) -> int:
    """A user of a group who has joined, drawn by sociability; -1 if there is none."""
    low, high = groups.indptr[group], groups.indptr[group + 1]
    here = np.searchsorted(groups.members[low:high], present)
    if here == 0:
        return -1
    sums = groups.cumulative[low : low + here + 1]
    spot = sums[0] + rng.random() * (sums[here] - sums[0])
    at = min(np.searchsorted(sums, spot, side="right") - 1, here - 1)
    return int(groups.members[low + at])


@compiled()
def _friend_of_friend(rng: np.random.Generator, friends: Friends, person: int) -> int:
    via = friends.pool[friends.start[person] + int(rng.random() * friends.degree[person])]
    return int(friends.pool[friends.start[via] + int(rng.random() * friends.degree[via])])


@compiled()
def _next_friend(
    rng: np.random.Generator, groups: Groups, friends: Friends, reachable: NDArray[np.bool_], person: int, present: int
) -> int:
    """The next friend of a user, or -1."""
    for attempt in range(TRIES):
        if attempt < TRIES // 2 and friends.degree[person] > 0 and rng.random() < CLOSURE:
            other = _friend_of_friend(rng, friends, person)
            if rng.random() >= _kinship(groups, person, other):
                continue
        else:
            drawn = int(np.searchsorted(groups.chances, rng.random(), side="right"))
            group = int(groups.layers[person, min(drawn, len(groups.chances) - 1)])
            other = -1 if group < 0 else _member(rng, groups, group, present)
        if other >= 0 and other != person and reachable[other] and not _are_friends(friends, person, other):
            return other
    offset = int(rng.random() * present)
    for step in range(min(present, 64)):  # the groups are exhausted: try any user
        other = (offset + step) % present
        if other != person and reachable[other] and not _are_friends(friends, person, other):
            return other
    return -1


@compiled()
def befriend(
    rng: np.random.Generator,
    groups: Groups,
    friends: Friends,
    reachable: NDArray[np.bool_],
    initiators: NDArray[np.int32],
    present: NDArray[np.int64],
    timestamps: NDArray[np.int64],
    made: NDArray[np.int64],
    count: int,
) -> int:
    """Runs attempts in the order of time and returns how many friendships `made` then holds.

    `initiators`, `present` (users joined by then) and `timestamps` are (m,). `made` is (capacity, 3) int64 of
    initiator, other, timestamp, of which the first `count` rows are filled. `reachable` (n,) marks users who may be
    befriended.
    """
    for at in range(len(initiators)):
        friends.state[1] += 1
        person = initiators[at]
        for _ in range(3):
            if friends.state[1] == 0 or count == len(made):
                break
            if reachable[person]:
                other = _next_friend(rng, groups, friends, reachable, person, present[at])
                if other >= 0:
                    _append(friends, person, other)
                    _append(friends, other, person)
                    made[count, 0], made[count, 1], made[count, 2] = person, other, timestamps[at]
                    count += 1
                    friends.state[1] -= 1
            person = int(rng.random() * present[at])
    return count
