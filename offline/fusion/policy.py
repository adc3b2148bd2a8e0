"""A policy that chooses among arms and learns from what came of it."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.networks.fusion.blending import Blending

Floats = NDArray[np.float32]


class Policy(Protocol):
    """Plays rounds: each offers what every arm would show, and tells the reward of the arm chosen alone."""

    @property
    def model(self) -> Blending:
        """The network that the policy learns, which chooses without exploring."""
        ...

    def choose(self, proposals: Floats) -> int:
        """The arm to play, of (A, S) proposals."""
        ...

    def learn(self, proposals: Floats, arm: int, reward: float) -> None:
        """Takes in what the arm chosen for these proposals brought."""
        ...


class Window:
    """The latest rounds that were played; older ones are forgotten."""

    def __init__(self, rounds: int, arms: int, width: int) -> None:
        self._proposals = np.zeros((rounds, arms, width), np.float32)
        self._arms = np.zeros(rounds, np.int64)
        self._rewards = np.zeros(rounds, np.float32)
        self._played = 0

    def __len__(self) -> int:
        return min(self._played, len(self._arms))

    @property
    def played(self) -> int:
        """Rounds in all, forgotten ones included."""
        return self._played

    def add(self, proposals: Floats, arm: int, reward: float) -> None:
        """Keeps a round in the place of the oldest."""
        at = self._played % len(self._arms)
        self._proposals[at], self._arms[at], self._rewards[at] = proposals, arm, reward
        self._played += 1

    def at(self, places: NDArray[np.int64]) -> tuple[Floats, NDArray[np.int64], Floats]:
        """Proposals (k, A, S), arms (k,) and rewards (k,) of kept rounds; the order of places is not that of time."""
        return self._proposals[places], self._arms[places], self._rewards[places]

    def after(self, places: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_]]:
        """(k, A, S) proposals of the round after each, and (k,) whether there is one yet."""
        following = (places + 1) % len(self._arms)
        newest = (self._played - 1) % len(self._arms)
        return self._proposals[following], places != newest

    def chosen(self) -> tuple[Floats, NDArray[np.int64], Floats]:
        """What the arm played showed (k, S), arms and rewards, of all kept rounds."""
        kept = np.arange(len(self))
        return self._proposals[kept, self._arms[kept]], self._arms[kept], self._rewards[kept]
