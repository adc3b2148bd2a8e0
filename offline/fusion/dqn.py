"""Deep Q-learning of the blend to play."""

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.networks.fusion.q_network import QNetwork
from offline.fusion.config import DqnFusion
from offline.fusion.policy import Window


class DqnPolicy:
    """Epsilon-greedy over a Q-network trained by double Q-learning (van Hasselt, Guez, Silver 2016).

    Target: reward + gamma Q'(s', argmax over arms of Q(s', arm)), where Q' follows the network by a Polyak average.
    With gamma 0 it is the reward alone: a contextual bandit. The replay window drops old rounds, so that the policy
    follows a change of taste.
    """

    def __init__(self, model: QNetwork, config: DqnFusion, random: np.random.Generator) -> None:
        self.model = model.eval()
        self.target = copy.deepcopy(model).requires_grad_(False)
        self._config, self._random = config, random
        self._window = Window(config.window, len(model.blends), len(model.config.columns))
        self._optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)

    @property
    def epsilon(self) -> float:
        """The chance that the next arm is random."""
        progress = min(self._window.played / self._config.epsilon_rounds, 1.0)
        return self._config.epsilon + progress * (self._config.least_epsilon - self._config.epsilon)

    @torch.no_grad()
    def choose(self, proposals: NDArray[np.float32]) -> int:
        """The arm to play, given (A, S) proposals."""
        if self._random.random() < self.epsilon:
            return int(self._random.integers(len(proposals)))
        return int(self.model.values(torch.from_numpy(proposals)).argmax())

    def learn(self, proposals: NDArray[np.float32], arm: int, reward: float) -> None:
        """Records the reward of the arm chosen for (A, S) proposals; trains every `step_every` rounds."""
        self._window.add(proposals, arm, reward)
        if self._window.played % self._config.step_every == 0 and len(self._window) >= self._config.batch:
            self.step()

    def step(self) -> None:
        """One training step of the network on rounds drawn from the window, and an update of its target."""
        places = self._random.integers(len(self._window), size=self._config.batch)
        proposals, arms, rewards = self._window.at(places)
        played = torch.from_numpy(arms)
        shown = torch.from_numpy(proposals[np.arange(len(arms)), arms])
        values = self.model.of_arms(shown, self.model.blends[played])
        loss = functional.smooth_l1_loss(values, torch.from_numpy(rewards) + self._future_value(places))
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        with torch.no_grad():
            for behind, ahead in zip(self.target.parameters(), self.model.parameters(), strict=True):
                behind.lerp_(ahead, self._config.polyak)

    @torch.no_grad()
    def _future_value(self, places: NDArray[np.int64]) -> Tensor:
        """(k,) gamma x the target's value of the best arm in the rounds that followed."""
        if not self._config.gamma:
            return torch.zeros(())
        following, exists = (torch.from_numpy(part) for part in self._window.after(places))
        best = self.model.values(following).argmax(dim=1, keepdim=True)
        return self._config.gamma * self.target.values(following).gather(1, best).squeeze(1) * exists
