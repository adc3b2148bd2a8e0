"""LinUCB over a learned representation: a ridge regression of the reward for every arm."""

import torch
from pydantic import Field
from torch import Tensor, nn

from models.networks.fusion.blending import Blending, BlendingConfig


class LinUcbConfig(BlendingConfig):
    """Beside what is blended, the representation."""

    representation: int = Field(default=8, ge=1)
    """dimension of what the backbone gives the ridges, beside a constant"""

    ridge: float = Field(default=1.0, gt=0)
    """strength of the ridge around the shared head"""


class LinUcb(Blending):
    """Value theta_a · phi(proposal), phi (d,) a ReLU network with a constant beside it, theta_a of each arm.

    The neural-linear bandit (Riquelme, Tucker, Snoek 2018) with upper confidence bounds (Li, Chu, Langford, Schapire
    2010): `inverse` (A, d, d) is each arm's (ridge I + sum phi phi')^-1, `moment` (A, d) its ridge · head + sum r phi,
    `theta` (A, d) their product. The ridge pulls every arm towards the head that the backbone was fitted with, so
    that arms share what they can.
    """

    inverse: Tensor
    moment: Tensor
    theta: Tensor

    def __init__(self, config: LinUcbConfig) -> None:
        super().__init__(config)
        self.ridge = config.ridge
        width, arms = config.representation + 1, len(self.blends)
        self.backbone = nn.Sequential(
            nn.Linear(len(config.columns), config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, config.representation),
            nn.Tanh(),
        )
        self.head = nn.Linear(width, 1, bias=False)
        self.register_buffer("inverse", torch.empty(arms, width, width))
        self.register_buffer("moment", torch.empty(arms, width))
        self.register_buffer("theta", torch.empty(arms, width))
        self.forget()

    def represented(self, proposals: Tensor) -> Tensor:
        """(..., S) proposals → (..., d), the last of them the constant 1."""
        learned = self.backbone(proposals)
        return torch.cat([learned, learned.new_ones((*learned.shape[:-1], 1))], dim=-1)

    def values(self, proposals: Tensor) -> Tensor:
        """(..., A, S) → (..., A)."""
        return (self.represented(proposals) * self.theta).sum(dim=-1)

    def deviations(self, represented: Tensor) -> Tensor:
        """(A, d) what each arm proposes → (A,) sqrt(phi' A^-1 phi): how little the arm knows of it."""
        quadratic = (represented[:, None, :] @ self.inverse @ represented[:, :, None]).flatten()
        return quadratic.clamp(min=0).sqrt()

    @torch.no_grad()
    def forget(self) -> None:
        """Leaves every arm with the shared head alone."""
        width = self.inverse.shape[-1]
        self.inverse.copy_(torch.eye(width).expand_as(self.inverse) / self.ridge)
        self.theta.copy_(self.head.weight.expand_as(self.theta))
        self.moment.copy_(self.ridge * self.theta)

    @torch.no_grad()
    def learn(self, arm: int, represented: Tensor, reward: float) -> None:
        """One outcome of an arm, phi (d,): a rank-one change of the inverse (Sherman, Morrison 1950)."""
        inverse = self.inverse[arm]
        moved = inverse @ represented
        inverse -= torch.outer(moved, moved) / (1 + represented @ moved)
        self.moment[arm] += reward * represented
        self.theta[arm] = inverse @ self.moment[arm]

    @torch.no_grad()
    def refill(self, arms: Tensor, represented: Tensor, rewards: Tensor) -> None:
        """Forgets, and learns many outcomes at once: arms (k,) int64, phi (k, d), rewards (k,)."""
        self.forget()
        width = represented.shape[1]
        gram = self.ridge * torch.eye(width).repeat(len(self.moment), 1, 1)
        gram.index_add_(0, arms, represented[:, :, None] * represented[:, None, :])
        self.moment.index_add_(0, arms, represented * rewards[:, None])
        self.inverse.copy_(torch.linalg.inv(gram))
        self.theta.copy_((self.inverse @ self.moment[:, :, None]).squeeze(-1))
