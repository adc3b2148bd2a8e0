"""The graph of a snapshot and its users as of a moment."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.features.profile_codes import ProfileCoder
from models.features.profile_encoder import ProfileEncoder
from models.features.user_statistics import dated_statistics
from models.graph import Graph
from models.schema.columns import Flag
from models.schema.event_kinds import EventKind
from offline.features.edge_splits import dates_of, hide, window_start
from offline.features.graph_features import People
from offline.snapshot.snapshot import Snapshot

LAST_SHARE = 0.1
"""of the friendships: dates that tell no such last part give no order, and there are no statistics by them"""
RECENT_S = 30 * 86_400
"""seconds that activity looks back"""
MAKING_FRIENDS = (EventKind.CONNECT, EventKind.ACCEPT, EventKind.DISCONNECT, EventKind.INVITE)
"""kinds of events that would reveal which friendships were made"""


@dataclass(frozen=True)
class Friendships:
    """An undirected graph with the dates of its friendships."""

    graph: Graph
    dates: NDArray[np.int64] | None
    """(m,) seconds since 1970 in the order of graph.pairs(), or None if there are none"""

    @property
    def count(self) -> int:
        return len(self.graph.indices) // 2

    @property
    def have_order(self) -> bool:
        """Whether the dates tell which friendships are the last ones."""
        return self.dates is not None and window_start(self.dates, LAST_SHARE) is not None

    def split_edges(self, share: float, seed: int) -> "EdgeSplit":
        """This graph without a share of its friendships, the last ones if they have dates."""
        kept, hidden = hide(self.graph, self.dates, share, seed)
        if self.dates is None:
            return EdgeSplit(Friendships(kept, None), hidden, None)
        return EdgeSplit(
            Friendships(kept, dates_of(kept, self.graph, self.dates)), hidden, window_start(self.dates, share)
        )


@dataclass(frozen=True)
class EdgeSplit:
    """The friendships that may be read, and those that were hidden to train or to evaluate on."""

    kept: Friendships
    hidden: Graph
    cut: int | None
    """where the window of the hidden friendships begins, seconds since 1970; None if a random part was hidden"""

    def moment(self, otherwise: int) -> int:
        """The cut, or another moment if there is none."""
        return otherwise if self.cut is None else self.cut


def friendships(snapshot: Snapshot) -> Friendships:
    """All friendships of a snapshot."""
    a, b, dates = snapshot.connections()
    return Friendships(Graph.from_pairs(snapshot.n, a, b), dates)


def user_history(snapshot: Snapshot, encoder: ProfileEncoder) -> "UserHistory":
    """The users of a snapshot beside their friendships, read once and encoded."""
    shown = np.uint8(Flag.DISCOVERABLE | Flag.ACTIVE)
    interactions = snapshot.interactions()
    coder = ProfileCoder.fit(snapshot.profiles, encoder.text_model)
    kept = ~np.isin(interactions.kind, np.array(MAKING_FRIENDS, dtype=np.uint8))
    return UserHistory(
        profile=encoder.encode(snapshot.profiles),
        people=People(
            profile=np.zeros((snapshot.n, 0), np.float32),
            coder=coder,
            coded=coder.coded(snapshot.profiles),
            activity=np.zeros((snapshot.n, 0), np.float32),
            known=Graph.from_directed(snapshot.n, *snapshot.forbidden()),
            suggestible=(snapshot.flags & shown) == shown,
        ),
        acting=interactions.user[kept],
        acted_on=interactions.other[kept],
        at=interactions.at[kept],
        is_dated=friendships(snapshot).have_order,
    )


@dataclass(frozen=True)
class UserHistory:
    """The users of a snapshot beside their friendships, with every interaction and its time."""

    profile: NDArray[np.float32]
    people: People
    acting: NDArray[np.int32]
    acted_on: NDArray[np.int32]
    at: NDArray[np.int64]
    is_dated: bool = False
    """whether there are statistics by the dates of friendships, the same in every graph of a night"""

    def before(self, moment: int, friendships: Friendships) -> People:
        """The users as of a moment: activity and dated statistics count nothing later.

        Activity is ln(1 + count) over the last 30 days of: what a user did, what others did to them, friendships made.
        """
        n = self.people.n
        recent = (self.at < moment) & (self.at >= moment - RECENT_S)
        did = np.bincount(self.acting[recent], minlength=n)
        received = np.bincount(self.acted_on[recent], minlength=n)
        made, dated = np.zeros(n, np.int64), None
        if friendships.dates is not None:
            a, b = friendships.graph.pairs()
            past = friendships.dates < moment
            if self.is_dated:
                dated = dated_statistics(n, a[past], b[past], friendships.dates[past], moment)
            late = (friendships.dates < moment) & (friendships.dates >= moment - RECENT_S)
            made = np.bincount(np.concatenate([a[late], b[late]]), minlength=n)
        activity = np.log1p(np.stack([did, received, made], axis=1)).astype(np.float32)
        return People(
            profile=self.profile,
            coder=self.people.coder,
            coded=self.people.coded,
            activity=activity,
            known=self.people.known,
            suggestible=self.people.suggestible,
            dated=dated,
        )
