"""Generates a synthetic social network: users, two years of friendships, and interactions.

Fitted to johnshopkins55 of Facebook100 (Traud, Mucha, Porter 2012; 5,180 people of one university, September 2005, a
tenth of the friendships removed). Graph statistics at the same number of users and of friends:

                                     johnshopkins55   synthetic, seeds 0 to 11
    mean local clustering                     0.250   0.231 to 0.247
    transitivity                              0.173   0.150 to 0.156
    Gini coefficient of the degrees           0.491   0.463 to 0.480
    median degree over mean                   0.756   0.725 to 0.756
    99th percentile of degrees over mean      4.17    3.94  to 4.50
    degree assortativity                      0.079   0.031 to 0.053
    same year, excess over chance             0.436   0.426 to 0.472   (year; class_of)
    same dorm, same company, likewise         0.122   0.261 to 0.318   (0.245 for the dorms of cornell5)

At 5,000 users with 20 friends each, resource allocation has recall@20 0.33 on the held-out friendships (0.33 at
100,000), between its recall of later friendships on the graphs of two cities (0.24 and 0.31) and of random hidden ones
inside a university (0.39).

Steps: communities.py assigns users to nested and overlapping groups; calendar.py draws the times of joining and of
attempts at friendship; friendships.py connects users in the order of time; people.py writes profiles that show the
groups, with missing values; interactions.py adds the events on the way.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.errors import UsageError
from offline.synth import calendar, communities, fakes, friendships, interactions, people
from offline.synth.arguments import checked_mean

SLICES = 40
"""progress reports while friendships are simulated"""

Progress = Callable[[str, float], None]
"""called with the name of a step and its completed share, 0 to 1"""


@dataclass(frozen=True)
class Network:
    """Users are numbered in the order of joining; friendships are in the order of time."""

    users: pl.DataFrame
    """users.csv"""
    communities: communities.Communities
    connections: NDArray[np.int64]
    """(m, 3): initiator, other, epoch seconds; before calendar.CUT"""
    held_out: NDArray[np.int64]
    """(h, 3), after calendar.CUT"""
    interactions: interactions.Interactions
    fakes: NDArray[np.int8]
    """(n,) codes of fakes.Fake"""


def quiet(step: str, done: float) -> None:
    """Ignores progress."""


def generate(
    users: int, mean_friends: float | None = None, seed: int = 0, progress: Progress = quiet, *, fake_share: float = 0.0
) -> Network:
    """A network of `users` users with `mean_friends` friends each on average before the cut; deterministic for a seed.

    About 7% more friendships are held out. `fake_share` turns users into fakes, which changes no profile. Raises
    UsageError for an impossible size, density or share.
    """
    mean = checked_mean(users, mean_friends)
    if not 0 <= fake_share < 1:
        raise UsageError(f"the share of fakes must be at least 0 and below 1, not {fake_share:g}")
    # users and profiles; with separate generators a longer list of names changes no friendship
    rng, profile_rng, log_rng, fake_rng = np.random.default_rng(seed).spawn(4)
    progress("people", 0.0)
    sociability = communities.sociability(users, rng)
    community = communities.assign_communities(sociability, mean, rng)
    joined = calendar.joins(users, rng)
    seen = people.flags(users, rng)
    table = people.table(community, joined, seen, profile_rng)
    progress("people", 1.0)

    # friendships before and after the cut
    hidden = ~(seen["active"] & seen["discoverable"])
    wanted = round(users * mean / 2) if users > 1 else 0
    before, after = calendar.attempts(joined, sociability, hidden, wanted, rng)
    groups = friendships.build_groups(community.layers(), sociability)
    friends = friendships.empty_adjacency(users, wanted + len(after.timestamps))
    work = wanted + len(after.timestamps)
    anyone, open_to = np.ones(users, dtype=bool), ~hidden

    def befriended(batch: calendar.Attempts, reachable: NDArray[np.bool_], done: int) -> NDArray[np.int64]:
        made, count = np.empty((len(batch.timestamps), 3), dtype=np.int64), 0
        present = np.searchsorted(joined, batch.timestamps, side="right")
        friends.state[1] = 0
        step = max(1, -(-work // SLICES))
        for low in range(0, len(batch.timestamps), step):
            part = slice(low, low + step)
            when = present[part], batch.timestamps[part]
            count = friendships.befriend(rng, groups, friends, reachable, batch.initiators[part], *when, made, count)
            progress("friendships", (done + low) / work)
        return made[:count]

    connections = befriended(before, anyone, 0)
    held_out = befriended(after, open_to, wanted)
    progress("friendships", 1.0)
    # interactions, and fakes
    progress("interactions", 0.0)
    planted = fakes.plant(fake_share, joined, connections, held_out, fake_rng)
    logged = interactions.logged(joined, sociability, planted.connections, planted.held_out, log_rng)
    if fake_share:
        logged = fakes.add_unaccepted_invites(planted, logged, joined, fake_rng)
    progress("interactions", 1.0)
    return Network(table, community, planted.connections, planted.held_out, logged, planted.kinds)
