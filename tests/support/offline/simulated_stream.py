"""A simulated stream of viewers whose taste is a hidden blend of a few sources' scores."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float32s
from models.networks.fusion.blending import simplex
from offline.fusion.policy import Policy


@dataclass(frozen=True)
class Taste:
    """P(accept) of a candidate with scores s (S,) = sigmoid(level + gain x blend · s / |blend|)."""

    blend: tuple[float, ...]
    gain: float = 1.5
    level: float = -2.0

    def chances(self, scores: Float32s) -> Float32s:
        """(..., S) scores → (...) chances."""
        blend = np.array(self.blend, np.float32)
        taste = scores @ (blend / np.linalg.norm(blend))
        return np.asarray(1 / (1 + np.exp(-self.level - self.gain * taste)), np.float32)


@dataclass(frozen=True)
class Stream:
    """Rounds of `candidates` people each with standard normal scores by `sources` sources."""

    sources: int = 4
    candidates: int = 20

    def scores(self, rounds: int, random: np.random.Generator) -> Float32s:
        """(rounds, candidates, sources)."""
        return random.standard_normal((rounds, self.candidates, self.sources), dtype=np.float32)

    def reward(self, taste: Taste, blend: NDArray[np.floating], seed: int, rounds: int = 20_000) -> float:
        """The mean chance that the candidate whom a fixed blend (S,) puts first is accepted."""
        scores = self.scores(rounds, np.random.default_rng(seed))
        best = (scores @ blend.astype(np.float32)).argmax(axis=1)
        return float(taste.chances(scores[np.arange(rounds), best]).mean())


@dataclass
class Played:
    """What a policy did, round by round."""

    chances: list[float] = field(default_factory=list)
    """of the candidate shown, exploration included"""
    rewards: list[float] = field(default_factory=list)
    """1 where the candidate accepted"""

    def first_at(self, bar: float, over: int = 2000) -> int | None:
        """Rounds until the mean chance of the last `over` rounds first reached the bar; None: never."""
        sums = np.cumsum([0.0, *self.chances])
        means = (sums[over:] - sums[:-over]) / over
        reached = np.flatnonzero(means >= bar)
        return int(reached[0]) + over if len(reached) else None

    def last(self, over: int = 2000) -> float:
        """The mean chance of the last rounds."""
        return float(np.mean(self.chances[-over:]))


def play(policy: Policy, stream: Stream, taste: Taste, rounds: int, random: np.random.Generator) -> Played:
    """Plays rounds of the stream; the policy keeps what it learned, so that a later call can change the taste."""
    blends = policy.model.blends.numpy()
    played = Played()
    drawn, offered = random.random(rounds), stream.scores(rounds, random)
    for scores, luck in zip(offered, drawn, strict=True):
        proposals = scores[(blends @ scores.T).argmax(axis=1)]
        arm = policy.choose(proposals)
        chance = float(taste.chances(proposals[arm]))
        reward = float(luck < chance)
        policy.learn(proposals, arm, reward)
        played.chances.append(chance)
        played.rewards.append(reward)
    return played


def arms(sources: int, parts: int) -> Float32s:
    """(A, sources) the blends that a policy of so many parts can play."""
    blends: Float32s = simplex(sources, parts).numpy()
    return blends
