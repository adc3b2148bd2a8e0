"""Replaying feedback: a policy plays the viewers' lists again and again, and each outcome's worth is kept by term."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.networks.fusion.blending import Blending
from offline.fusion.candidate_lists import CandidateLists
from offline.fusion.feedback import (
    UNKNOWN,
    Outcome,
    Reward,
    attention,
)
from offline.fusion.policy import Policy

Floats = NDArray[np.float32]
TERMS = tuple(outcome.name.lower() for outcome in Outcome)


@dataclass(frozen=True)
class Arena:
    """Lists as arms see them. Where the feedback is logged, an arm orders those alone whose outcome is known."""

    proposals: Floats
    """(L, A, S) the mean columns of whom each arm would show"""
    terms: NDArray[np.float64]
    """(L, A, T) what showing them brings, by TERMS: the sum over the places, each by the attention it gets"""

    def __len__(self) -> int:
        return len(self.proposals)

    @property
    def rewards(self) -> NDArray[np.float64]:
        """(L, A)."""
        rewards: NDArray[np.float64] = self.terms.sum(axis=2)
        return rewards

    @classmethod
    @torch.no_grad()
    def of(cls, model: Blending, lists: CandidateLists, outcomes: NDArray[np.int8], reward: Reward) -> "Arena":
        """The lists with two known outcomes (L, C) or more; raises ValueError where there is none."""
        known = outcomes != UNKNOWN
        useful = np.flatnonzero(known.sum(axis=1) > 1)
        if not len(useful):
            raise ValueError("there is no list with two known outcomes to replay")
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


def replay(policy: Policy, arena: Arena, rounds: int, random: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """Plays lists drawn at random; (rounds,) of each term of the reward, and `arm`, which arm was played."""
    viewers, arms = random.integers(len(arena), size=rounds), np.empty(rounds)
    terms, rewards = np.empty((rounds, len(TERMS))), arena.rewards
    for at, viewer in enumerate(viewers):
        proposals = arena.proposals[viewer]
        arm = policy.choose(proposals)
        policy.learn(proposals, arm, float(rewards[viewer, arm]))
        terms[at], arms[at] = arena.terms[viewer, arm], arm
    return {**{name: terms[:, place] for place, name in enumerate(TERMS)}, "arm": arms}


@torch.no_grad()
def judged(model: Blending, arena: Arena) -> dict[str, float]:
    """What the learnt policy brings without exploring, by term, beside the best single arm and the evenest one."""
    arms = model.values(torch.from_numpy(arena.proposals)).argmax(dim=1).numpy()
    lists, rewards = np.arange(len(arena)), arena.rewards
    told = {f"reward_{name}": float(arena.terms[lists, arms, at].mean()) for at, name in enumerate(TERMS)}
    evenest = int(model.blends.square().sum(dim=1).argmin())
    return {
        "reward": float(rewards[lists, arms].mean()),
        **told,
        "best_arm_reward": float(rewards.mean(axis=0).max()),
        "even_reward": float(rewards[:, evenest].mean()),
        "arms_played": float(len(np.unique(arms))),
    }
