"""Simulates the interactions of the weeks before the cut: suggestions seen, invites, refusals, blocks.

A friendship of the last LOGGED_DAYS came from an accepted invite (one in ten: from a contact import, `connect`), often
after an impression and a click. Other suggestions of friends of friends led to nothing, or to a dismissal, a pending,
declined or withdrawn invite, a block or a report. No row forbids a pair that is connected or held out.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph
from models.kernels.numba_cache import compiled
from models.schema.event_kinds import EventKind
from offline.synth.calendar import CUT, DAY

LOGGED_DAYS = 60

STRANGERS_PER_FRIENDSHIP = 2.5
"""suggestions without a friendship, for each friendship of the logged days"""

OUTCOMES: dict[tuple[EventKind, ...], float] = {
    (EventKind.DISMISS,): 0.04,
    (EventKind.DISMISS, EventKind.UNDISMISS): 0.002,
    (EventKind.INVITE,): 0.03,
    (EventKind.INVITE, EventKind.DECLINE): 0.015,
    (EventKind.INVITE, EventKind.WITHDRAW): 0.004,
    (EventKind.BLOCK,): 0.002,
    (EventKind.BLOCK, EventKind.UNBLOCK): 0.0003,
    (EventKind.REPORT, EventKind.BLOCK): 0.0007,
    (EventKind.REPORT,): 0.0005,
}
"""event sequences after the suggestion of a stranger, with their shares; the rest have no event"""

DISCONNECTED_SHARE = 0.002
"""share of the strangers who were friends and disconnected in the logged days, instead of being suggested"""


class _Adjacency(NamedTuple):
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]


@dataclass(frozen=True)
class Interactions:
    """Rows in the order of time, four (m,) arrays: users by number, EventKind code (int8), epoch seconds (int64)."""

    viewer: NDArray[np.int32]
    other: NDArray[np.int32]
    kind: NDArray[np.int8]
    at: NDArray[np.int64]


@compiled()
def _friends_of_friends(rng: np.random.Generator, graph: _Adjacency, viewers: NDArray[np.int64]) -> NDArray[np.int64]:
    """A stranger with a common friend for each viewer, (m,); -1 if the walk ended at a friend or the viewer."""
    found = np.full(len(viewers), -1, dtype=np.int64)
    for at, viewer in enumerate(viewers):
        low, high = graph.indptr[viewer], graph.indptr[viewer + 1]
        if low == high:
            continue
        via = graph.indices[low + int(rng.random() * (high - low))]
        begin, end = graph.indptr[via], graph.indptr[via + 1]
        other = graph.indices[begin + int(rng.random() * (end - begin))]
        spot = low + np.searchsorted(graph.indices[low:high], other)
        if other != viewer and (spot == high or graph.indices[spot] != other):
            found[at] = other
    return found


class _Log:
    """Collects rows batch by batch."""

    def __init__(self) -> None:
        self._batches: list[tuple[NDArray[np.int64], ...]] = []

    def add(self, viewer: NDArray[np.int64], other: NDArray[np.int64], kind: EventKind, at: NDArray[np.int64]) -> None:
        """Adds rows of one kind; drops those outside the logged days."""
        kept = (at >= CUT - LOGGED_DAYS * DAY) & (at < CUT)
        self._batches.append((viewer[kept], other[kept], np.full(kept.sum(), kind.value), at[kept]))

    def sorted(self) -> Interactions:
        viewer, other, kind, at = (np.concatenate(columns) for columns in zip(*self._batches, strict=True))
        order = np.lexsort((kind, other, viewer, at))
        return Interactions(
            viewer=viewer[order].astype(np.int32),
            other=other[order].astype(np.int32),
            kind=kind[order].astype(np.int8),
            at=at[order],
        )


def logged(
    joined: NDArray[np.int64],
    sociability: NDArray[np.float64],
    made: NDArray[np.int64],
    later: NDArray[np.int64],
    rng: np.random.Generator,
) -> Interactions:
    """The interactions of a network with friendships `made`, and held-out ones `later`, (m, 3) int64 each."""
    log = _Log()
    recent = made[made[:, 2] >= CUT - LOGGED_DAYS * DAY]
    _befriended(log, joined, recent, invited=True, rng=rng)
    _befriended(log, joined, later, invited=False, rng=rng)
    everything = np.concatenate([made, later])
    graph = Graph.from_pairs(len(joined), everything[:, 0], everything[:, 1])
    _suggested_strangers(log, joined, sociability, graph, int(STRANGERS_PER_FRIENDSHIP * len(recent)), rng)
    return log.sorted()


def _befriended(
    log: _Log, joined: NDArray[np.int64], made: NDArray[np.int64], *, invited: bool, rng: np.random.Generator
) -> None:
    """Adds the events before friendships. No invite to a held-out friend, since it would be pending at the cut."""
    viewer, other, at = made.T
    count = len(made)
    room = at - np.maximum(joined[viewer], joined[other])
    waited = np.minimum(60 + rng.exponential(1.5 * DAY, size=count), room * 0.9).astype(np.int64)
    invite = at - np.maximum(waited, np.minimum(room, 1))
    if invited:
        imported = rng.random(count) < 0.1
        by_invite = ~imported & (invite < at) & (invite >= CUT - LOGGED_DAYS * DAY)
        log.add(viewer[~by_invite], other[~by_invite], EventKind.CONNECT, at[~by_invite])
        log.add(viewer[by_invite], other[by_invite], EventKind.INVITE, invite[by_invite])
        log.add(other[by_invite], viewer[by_invite], EventKind.ACCEPT, at[by_invite])
    seen = (rng.random(count) < 0.5) & (room > 3 * DAY)
    click = invite - rng.integers(5, 600, size=count)
    log.add(viewer[seen], other[seen], EventKind.CLICK, click[seen])
    log.add(viewer[seen], other[seen], EventKind.IMPRESSION, (click - rng.integers(2, 60, size=count))[seen])
    again = seen & (rng.random(count) < 0.4)
    earlier = invite - np.minimum(rng.exponential(6 * DAY, size=count), room * 0.09).astype(np.int64) - 700
    log.add(viewer[again], other[again], EventKind.IMPRESSION, earlier[again])
    looked = seen & (rng.random(count) < 0.3)
    log.add(viewer[looked], other[looked], EventKind.VIEW, (click + 3)[looked])


def _suggested_strangers(
    log: _Log,
    joined: NDArray[np.int64],
    sociability: NDArray[np.float64],
    graph: Graph,
    count: int,
    rng: np.random.Generator,
) -> None:
    """Adds suggestions of at most `count` friends of friends who stay strangers, and their outcomes."""
    if count == 0:
        return
    # pairs of strangers, each once, and their times
    cumulative = np.cumsum(sociability)
    viewer = np.searchsorted(cumulative, rng.random(count) * cumulative[-1], side="right").clip(max=len(joined) - 1)
    other = _friends_of_friends(rng, _Adjacency(graph.indptr, graph.indices), viewer)
    viewer, other = viewer[other >= 0], other[other >= 0]
    _, once = np.unique(np.minimum(viewer, other) * len(joined) + np.maximum(viewer, other), return_index=True)
    viewer, other = viewer[once], other[once]
    begin = np.maximum(np.maximum(joined[viewer], joined[other]), CUT - LOGGED_DAYS * DAY)
    at = begin + (rng.random(len(viewer)) * (CUT - begin)).astype(np.int64)
    disconnected = rng.random(len(viewer)) < DISCONNECTED_SHARE
    log.add(viewer[disconnected], other[disconnected], EventKind.DISCONNECT, at[disconnected])
    viewer, other, at = viewer[~disconnected], other[~disconnected], at[~disconnected]

    # impressions and clicks
    chances = np.array(list(OUTCOMES.values()))
    outcome = np.searchsorted(np.cumsum(chances), rng.random(len(viewer)), side="right")
    acted = outcome < len(chances)
    log.add(viewer, other, EventKind.IMPRESSION, at)
    for _ in range(3):
        again = ~acted & (rng.random(len(viewer)) < 0.25)
        log.add(viewer[again], other[again], EventKind.IMPRESSION, at[again] + rng.integers(60, 9 * DAY, again.sum()))
    curious = rng.random(len(viewer)) < np.where(acted, 0.5, 0.05)
    log.add(viewer[curious], other[curious], EventKind.CLICK, at[curious] + 4)
    looked = curious & (rng.random(len(viewer)) < 0.5)
    log.add(viewer[looked], other[looked], EventKind.VIEW, at[looked] + 6)
    # outcomes
    for number, kinds in enumerate(OUTCOMES):
        chosen = outcome == number
        timestamp = at[chosen] + 10
        for kind in kinds:
            timestamp = timestamp + rng.integers(5, DAY, size=len(timestamp))
            doers, done_to = (other, viewer) if kind is EventKind.DECLINE else (viewer, other)
            log.add(doers[chosen], done_to[chosen], kind, timestamp)
