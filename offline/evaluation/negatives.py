"""Link prediction as two classes: held-out friendships against sampled negatives, random and hard."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.graph import Graph

NEGATIVES = 50
"""negatives sampled for each user"""


class PairQuality(BaseModel):
    """Means over users: how well scores separate held-out friendships from negatives."""

    model_config = ConfigDict(frozen=True)

    auc: float
    """share of (friendship, negative) in the right order, half for a tie"""

    mrr: float
    """one over the rank of a friendship among the negatives; ties count half"""


def random_negatives(
    graph: Graph,
    held_out: Graph,
    users: NDArray[np.int64],
    count: int = NEGATIVES,
    *,
    suggestible: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> NDArray[np.int32]:
    """For each of `users` (U,) strangers drawn evenly without repeats, (U, count) int32; -1 past the last.

    A stranger is another user who is a friend neither in `graph` nor in `held_out`.
    """
    random = np.random.default_rng(seed)
    drawn = np.full((len(users), count), -1, np.int32)
    pool = np.arange(graph.n) if suggestible is None else np.flatnonzero(suggestible)
    for at, user in enumerate(users):
        friends = np.concatenate([[user], graph.neighbours(int(user)), held_out.neighbours(int(user))])
        # at most the user and their friends are dropped, so this many suffice
        first = random.choice(pool, min(count + len(friends), len(pool)), replace=False)
        strangers = first[~np.isin(first, friends)][:count]
        drawn[at, : len(strangers)] = strangers
    return drawn


def hard_negatives(
    lists: Sequence[NDArray[np.int32]], held_out: Graph, users: NDArray[np.int64], count: int = NEGATIVES
) -> NDArray[np.int32]:
    """For each of `users` (U,) the strangers that the heuristics rank best, (U, count) int32; -1 past the last.

    `lists` are the full rankings (U, k) of the heuristics. A stranger ranks by their best position in any of them, the
    earlier list first (after HeaRT: Li and others 2023, who rank by several heuristics at once).
    """
    chosen = np.full((len(users), count), -1, np.int32)
    merged = np.stack(lists, axis=2).reshape(len(users), -1)  # by position, then by list
    friendly = held_out.contains(users[:, None], merged)
    for at in range(len(users)):
        strangers = merged[at][(merged[at] >= 0) & ~friendly[at]]
        _, first = np.unique(strangers, return_index=True)
        best = strangers[np.sort(first)][:count]
        chosen[at, : len(best)] = best
    return chosen


def true_pairs(held_out: Graph, users: NDArray[np.int64]) -> NDArray[np.int32]:
    """The held-out friends of each of `users` (U,), (U, most) int32, -1 past the last."""
    degrees = held_out.degrees[users]
    friends = np.full((len(users), int(degrees.max(initial=0))), -1, np.int32)
    for at, user in enumerate(users):
        friends[at, : degrees[at]] = held_out.neighbours(int(user))
    return friends


def against(
    friends: NDArray[np.int32],
    friend_scores: NDArray[np.floating],
    others: NDArray[np.int32],
    other_scores: NDArray[np.floating],
) -> PairQuality | None:
    """How well scores separate friends (U, t) from others (U, c), row -1 being none; None if no user has both."""
    aucs, mrrs = [], []
    for at in range(len(friends)):
        mine = friend_scores[at][friends[at] >= 0]
        rest = np.sort(other_scores[at][others[at] >= 0])
        if not len(mine) or not len(rest):
            continue
        below, up_to = (np.searchsorted(rest, mine, side) for side in ("left", "right"))
        ties = up_to - below
        aucs.append(float(((below + ties / 2) / len(rest)).mean()))
        mrrs.append(float((1 / (1 + len(rest) - up_to + ties / 2)).mean()))
    if not aucs:
        return None
    return PairQuality(auc=float(np.mean(aucs)), mrr=float(np.mean(mrrs)))
