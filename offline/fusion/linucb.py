"""LinUCB over a backbone that is refitted at intervals."""

import numpy as np
import torch
from numpy.typing import NDArray

from models.networks.fusion.linucb import LinUcb
from offline.fusion.config import LinUcbFusion
from offline.fusion.policy import Window

BATCH = 256
"""rounds of a training step in a refit"""


class LinUcbPolicy:
    """Plays the arm of the highest bound, value + alpha x deviation; learns each outcome by a rank-one update.

    Every `refit_every` rounds, backbone and head are trained further on the rewards of the window, and every arm's
    ridge is recomputed from the same rounds. Rounds before the window are dropped, so that the policy follows a change
    of taste.
    """

    def __init__(self, model: LinUcb, config: LinUcbFusion, random: np.random.Generator) -> None:
        self.model = model.eval()
        self._config, self._random = config, random
        self._window = Window(config.window, len(model.blends), len(model.config.columns))
        learning = [*model.backbone.parameters(), *model.head.parameters()]
        self._optimiser = torch.optim.Adam(learning, lr=config.learning_rate)

    @torch.no_grad()
    def choose(self, proposals: NDArray[np.float32]) -> int:
        """The arm to play, given (A, S) proposals; ties are broken at random."""
        represented = self.model.represented(torch.from_numpy(proposals))
        values = (represented * self.model.theta).sum(dim=-1)
        bounds = (values + self._config.alpha * self.model.deviations(represented)).numpy()
        return int(self._random.choice(np.flatnonzero(bounds >= bounds.max() - 1e-6)))

    @torch.no_grad()
    def learn(self, proposals: NDArray[np.float32], arm: int, reward: float) -> None:
        """Learns the reward of the arm chosen for (A, S) proposals; refits every `refit_every` rounds."""
        self._window.add(proposals, arm, reward)
        self.model.learn(arm, self.model.represented(torch.from_numpy(proposals[arm])), reward)
        if self._window.played % self._config.refit_every == 0:
            self.refit()

    def refit(self) -> None:
        """Trains the backbone on the window and recomputes every ridge from it."""
        shown, arms, rewards = (torch.from_numpy(part) for part in self._window.chosen())
        model = self.model.train()
        with torch.enable_grad():
            for _ in range(self._config.refit_steps):
                at = torch.from_numpy(self._random.integers(len(shown), size=min(BATCH, len(shown))))
                error = model.head(model.represented(shown[at])).squeeze(-1) - rewards[at]
                self._optimiser.zero_grad()
                error.square().mean().backward()
                self._optimiser.step()
        model.eval()
        with torch.no_grad():
            model.refill(arms, model.represented(shown), rewards)
