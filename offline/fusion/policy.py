"""Policies that choose among arms and learn from the outcomes."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float32s
from models.networks.fusion.blending import Blending


class Policy(Protocol):
    """Plays rounds: sees what every arm would show, and learns the reward of the chosen arm only."""

    @property
    def model(self) -> Blending:
        """The network that the policy trains; it chooses without exploration."""
        ...

    def choose(self, proposals: Float32s) -> int:
        """The arm to play, given (A, S) proposals."""
        ...

    def learn(self, proposals: Float32s, arm: int, reward: float) -> None:
        """Learns the reward of the arm chosen for these proposals."""
        ...


class Window:
    """A ring buffer of the latest rounds."""

    def __init__(self, rounds: int, arms: int, width: int) -> None:
        self._proposals = np.zeros((rounds, arms, width), np.float32)
        self._arms = np.zeros(rounds, np.int64)
        self._rewards = np.zeros(rounds, np.float32)
        self._played = 0

    def __len__(self) -> int:
        return min(self._played, len(self._arms))

    @property
    def played(self) -> int:
        """All rounds played, dropped ones included."""
        return self._played

    def add(self, proposals: Float32s, arm: int, reward: float) -> None:
        """Stores a round in place of the oldest."""
        at = self._played % len(self._arms)
        self._proposals[at], self._arms[at], self._rewards[at] = proposals, arm, reward
        self._played += 1

    def at(self, places: NDArray[np.int64]) -> tuple[Float32s, NDArray[np.int64], Float32s]:
        """Proposals (k, A, S), arms (k,) and rewards (k,) of stored rounds; places are not in the order of time."""
        return self._proposals[places], self._arms[places], self._rewards[places]

    def after(self, places: NDArray[np.int64]) -> tuple[Float32s, NDArray[np.bool_]]:
        """(k, A, S) proposals of the round after each, and (k,) whether it exists."""
        following = (places + 1) % len(self._arms)
        newest = (self._played - 1) % len(self._arms)
        return self._proposals[following], places != newest

    def chosen(self) -> tuple[Float32s, NDArray[np.int64], Float32s]:
        """Proposals (k, S) of the played arm, arms and rewards, of all stored rounds."""
        kept = np.arange(len(self))
        return self._proposals[kept, self._arms[kept]], self._arms[kept], self._rewards[kept]
