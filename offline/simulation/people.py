"""The simulated people: what nobody but the simulation knows of them, and their chances to act."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from models.arrays import Float64s
from offline.simulation.config import Behaviour
from offline.synth.communities import LAYERS
from offline.synth.network import Network

TASTES = 4
"""dimensions of taste and appeal"""

Numbers = NDArray[np.int64]
_NEAR = slice(0, LAYERS.index("year") + 1)
"""the layers of the smallest groups"""
_SCHOOL, _COMPANY, _CITY = (LAYERS.index(name) for name in ("school", "company", "city"))


@dataclass
class People:
    """n people, numbered in the order of joining; those from `present` on join during the month."""

    ids: list[str]
    groups: NDArray[np.int32]
    """(n, layers) of offline.synth.communities.LAYERS"""
    visits: Float64s
    """(n,) probability of a visit on a day"""
    fame: Float64s
    """(n,) how much each is put off by famous candidates"""
    taste: Float64s
    """(n, TASTES) what each looks for"""
    appeal: Float64s
    """(n, TASTES) what each has"""
    active: NDArray[np.bool_]
    """(n,) False: looks at no list"""
    friends: list[set[int]]
    numbers: dict[str, int] = field(init=False)
    looked: dict[tuple[int, int], int] = field(default_factory=dict)
    """by viewer and candidate, how often the one has looked at the other in a list"""
    waiting: dict[int, list[int]] = field(default_factory=dict)
    """by person, who waits for an answer"""

    def __post_init__(self) -> None:
        self.numbers = {user_id: at for at, user_id in enumerate(self.ids)}

    @classmethod
    def of(cls, network: Network, behaviour: Behaviour, seed: int, present: int) -> "People":
        """The people of a network, with friendships among the first `present`."""
        table, random = network.users, np.random.default_rng([seed, 7])
        n = len(table)
        friends: list[set[int]] = [set() for _ in range(n)]
        for a, b in network.connections[:, :2].tolist():
            if max(a, b) < present:
                friends[a].add(b)
                friends[b].add(a)
        scale = TASTES**-0.25  # the product of two has a standard deviation of 1
        return cls(
            ids=table["user_id"].to_list(),
            groups=network.communities.layers(),
            visits=np.clip(random.gamma(4.0, behaviour.visits / 4.0, size=n), 0.02, 1.0),
            fame=behaviour.fame * random.gamma(4.0, 0.25, size=n),
            taste=random.normal(0.0, scale, size=(n, TASTES)),
            appeal=random.normal(0.0, scale, size=(n, TASTES)),
            active=table["active"].to_numpy() & (np.arange(n) >= 0),
            friends=friends,
        )

    @property
    def degrees(self) -> Float64s:
        """(n,) friends of each."""
        return np.array([len(some) for some in self.friends], dtype=np.float64)

    def invites(
        self, behaviour: Behaviour, viewers: Numbers, candidates: Numbers, email: NDArray[np.bool_]
    ) -> Float64s:
        """(m,) probability that a viewer invites a candidate whom they look at."""
        shared = self._shared(viewers, candidates)
        fame = np.log1p(self.degrees)
        pairs = zip(viewers.tolist(), candidates.tolist(), strict=True)
        times = np.array([self.looked.get(pair, 0) for pair in pairs], dtype=np.float64)
        return _probability(
            behaviour.invite
            + self._bonds(behaviour, shared)
            + np.where(email, behaviour.email_near * shared["near"] + behaviour.email_colleague * shared["company"], 0)
            + behaviour.taste * (self.taste[viewers] * self.appeal[candidates]).sum(axis=1)
            - self.fame[viewers] * (fame[candidates] - fame.mean())
            - behaviour.tire * times
        )

    def accepts(self, behaviour: Behaviour, invited: Numbers, inviters: Numbers, load: Float64s) -> Float64s:
        """(m,) probability that the invited accepts the inviter, with so many invitations waiting."""
        fits = (self.taste[invited] * self.appeal[inviters]).sum(axis=1)
        bonds = self._bonds(behaviour, self._shared(invited, inviters))
        return _probability(
            behaviour.accept + bonds + behaviour.taste * fits - behaviour.load * np.maximum(load - 1, 0)
        )

    def _shared(self, first: Numbers, second: Numbers) -> dict[str, NDArray[np.bool_]]:
        own, others = self.groups[first], self.groups[second]
        same = (own == others) & (own >= 0)
        return {
            "near": same[:, _NEAR].any(axis=1),
            "company": same[:, _COMPANY],
            "school": same[:, _SCHOOL],
            "city": same[:, _CITY],
        }

    @staticmethod
    def _bonds(behaviour: Behaviour, shared: dict[str, NDArray[np.bool_]]) -> Float64s:
        return np.asarray(
            behaviour.near * shared["near"]
            + behaviour.colleague * shared["company"]
            + behaviour.schoolmate * shared["school"]
            + behaviour.neighbour * shared["city"],
            dtype=np.float64,
        )

    def befriend(self, a: int, b: int) -> None:
        """Makes two people friends."""
        self.friends[a].add(b)
        self.friends[b].add(a)

    def state(self) -> dict[str, Any]:
        """What has changed of them since the first day, for JSON."""
        return {
            "friends": [sorted(some) for some in self.friends],
            "looked": [[*pair, times] for pair, times in self.looked.items()],
            "waiting": [[invited, *inviters] for invited, inviters in self.waiting.items()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Puts back what `state` returned."""
        self.friends = [set(some) for some in state["friends"]]
        self.looked = {(viewer, candidate): times for viewer, candidate, times in state["looked"]}
        self.waiting = {invited: inviters for invited, *inviters in state["waiting"]}

    def truth(self) -> pl.DataFrame:
        """What is hidden of each person."""
        columns = {"user_id": self.ids, "visits": self.visits.round(6), "fame": self.fame.round(6)}
        return pl.DataFrame({**columns, "taste": self.taste.round(6).tolist(), "appeal": self.appeal.round(6).tolist()})


def _probability(log_odds: Float64s) -> Float64s:
    return np.asarray(1 / (1 + np.exp(-log_odds)), dtype=np.float64)
