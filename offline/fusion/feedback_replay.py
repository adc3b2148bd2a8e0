"""Replays feedback: a policy plays the viewers' lists repeatedly and learns from the rewards."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.arrays import Float32s
from models.networks.fusion.blending import Blending
from offline.fusion.candidate_lists import CandidateLists
from offline.fusion.feedback import UNKNOWN, Outcome, Reward, attention
from offline.fusion.policy import Policy

TERMS = tuple(outcome.name.lower() for outcome in Outcome)


@dataclass(frozen=True)
class Environment:
    """Lists from the arms' side. With logged feedback, an arm ranks only the candidates with a known outcome."""

    proposals: Float32s
    """(L, A, S) mean columns of the candidates that each arm would show"""
    terms: NDArray[np.float64]
    """(L, A, T) reward of showing them, by TERMS: the sum over the positions, weighted by attention"""

    def __len__(self) -> int:
        return len(self.proposals)

    @property
    def rewards(self) -> NDArray[np.float64]:
        """(L, A) the sum of the terms."""
        rewards: NDArray[np.float64] = self.terms.sum(axis=2)
        return rewards

    @classmethod
    @torch.no_grad()
    def of(cls, model: Blending, lists: CandidateLists, outcomes: NDArray[np.int8], reward: Reward) -> "Environment":
        """The lists with at least two known outcomes (L, C). Raises ValueError if there is none."""
        known = outcomes != UNKNOWN
        useful = np.flatnonzero(known.sum(axis=1) > 1)
        if not len(useful):
            raise ValueError("no list has two known outcomes: give more lists, or let outcomes be simulated")
        blends = model.blends.numpy()
        proposals = np.empty((len(useful), *blends.shape), np.float32)
        terms = np.empty((len(useful), len(blends), len(TERMS)))
        for at, one in enumerate(useful):
            columns = model.columns(torch.from_numpy(lists.features[one][known[one]])).numpy()
            shown = min(model.config.shown, len(columns))
            best = np.argsort(-(blends @ columns.T), axis=1, kind="stable")[:, :shown]
            proposals[at] = columns[best].mean(axis=1)
            terms[at] = reward.terms(outcomes[one][known[one]][best], attention(shown))
        return cls(proposals, terms)


def replay(
    policy: Policy, environment: Environment, rounds: int, random: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    """Plays randomly drawn lists; returns (rounds,) for each term of the reward, and `arm`, the arms played."""
    viewers, arms = random.integers(len(environment), size=rounds), np.empty(rounds)
    terms, rewards = np.empty((rounds, len(TERMS))), environment.rewards
    for at, viewer in enumerate(viewers):
        proposals = environment.proposals[viewer]
        arm = policy.choose(proposals)
        policy.learn(proposals, arm, float(rewards[viewer, arm]))
        terms[at], arms[at] = environment.terms[viewer, arm], arm
    return {**{name: terms[:, place] for place, name in enumerate(TERMS)}, "arm": arms}


@torch.no_grad()
def evaluate_policy(model: Blending, environment: Environment) -> dict[str, float]:
    """The trained policy's reward without exploration, by term, with those of the best single arm and of the even
    blend.
    """
    arms = model.values(torch.from_numpy(environment.proposals)).argmax(dim=1).numpy()
    lists, rewards = np.arange(len(environment)), environment.rewards
    by_term = {f"reward_{name}": float(environment.terms[lists, arms, at].mean()) for at, name in enumerate(TERMS)}
    evenest = int(model.blends.square().sum(dim=1).argmin())
    return {
        "reward": float(rewards[lists, arms].mean()),
        **by_term,
        "best_arm_reward": float(rewards.mean(axis=0).max()),
        "even_reward": float(rewards[:, evenest].mean()),
        "arms_played": float(len(np.unique(arms))),
    }
