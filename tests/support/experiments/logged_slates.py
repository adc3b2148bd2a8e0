"""Logs of a known Plackett-Luce policy, with the true value of another one."""

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float64s
from offline.experiments.off_policy import Slates

CANDIDATES, PLACES = 6, 3
EXAMINED = np.array([1.0, 0.6, 0.35])
"""how likely a viewer looks at each position"""


def marginals(utilities: Float64s) -> Float64s:
    """(s, candidates, places): the probability of each candidate at each position, drawn one after the other.

    `utilities` (s, candidates) are logits of the Plackett-Luce policy.
    """
    p = np.exp(utilities - utilities.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    out = np.zeros((*p.shape, PLACES))
    out[:, :, 0] = p
    for a in range(CANDIDATES):
        for b in range(CANDIDATES):
            if b == a:
                continue
            out[:, a, 1] += p[:, b] * p[:, a] / (1 - p[:, b])
            for c in range(CANDIDATES):
                if c not in {a, b}:
                    first = p[:, b] * p[:, c] / (1 - p[:, b])
                    out[:, a, 2] += first * p[:, a] / (1 - p[:, b] - p[:, c])
    return out


class Network:
    """Viewers whose taste goes by one number of each candidate, and two policies that know the number."""

    def __init__(self, seed: int, *, logging: float = 0.7, target: float = -0.2) -> None:
        """`logging` and `target` say how much either policy goes by the number."""
        self._random = np.random.default_rng(seed)
        self._logging, self._target = logging, target

    def _drawn(self, viewers: int, each: int) -> tuple[NDArray[np.int64], Float64s, Float64s]:
        """Viewers (s,), the number (s, candidates) of each candidate, and how likely each is invited once seen."""
        random = self._random
        viewer = np.repeat(np.arange(viewers), each)
        number = random.normal(size=(viewers * each, CANDIDATES))
        taste = random.normal(0.0, 0.6, size=viewers)[viewer, None]
        return viewer, number, 1 / (1 + np.exp(1.5 - 0.8 * number - taste))

    def truth(self, viewers: int = 100_000) -> float:
        """Invitations per list under the target policy, over very many viewers."""
        _, number, invited = self._drawn(viewers, 1)
        return float((marginals(self._target * number) * invited[:, :, None] * EXAMINED).sum(axis=(1, 2)).mean())

    def log(self, viewers: int = 500, each: int = 3) -> Slates:
        """A log of the logging policy; its model of the outcome leaves the viewer's taste out."""
        viewer, number, invited = self._drawn(viewers, each)
        s, random = len(viewer), self._random
        keys = self._logging * number + random.gumbel(size=number.shape)
        shown = np.argsort(-keys, axis=1)[:, :PLACES]
        rows, places = np.arange(s)[:, None], np.arange(PLACES)[None, :]
        model = 1 / (1 + np.exp(1.2 - 0.5 * number))
        target = marginals(self._target * number)
        seen = random.random(shown.shape) < invited[rows, shown] * EXAMINED
        return Slates(
            viewer,
            seen.astype(np.float64),
            marginals(self._logging * number)[rows, shown, places],
            target[rows, shown, places],
            model[rows, shown] * EXAMINED,
            (target * model[:, :, None]).sum(axis=1) * EXAMINED,
        )
