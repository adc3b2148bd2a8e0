"""Configuration of the detector of suspicious accounts."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SuspicionConfig(BaseModel):
    """Hyperparameters of the detector and its training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: Literal["vgae", "dgi"] = "vgae"
    """vgae reconstructs a user's features from their friends; dgi separates the graph from one with shuffled features
    """

    width: int = Field(default=64, ge=1)
    """size of hidden states and embeddings"""

    epochs: int = Field(default=60, ge=1)
    """passes over the whole graph"""

    learning_rate: float = Field(default=5e-3, gt=0)
    """step of Adam"""

    bands: int = Field(default=10, ge=1)
    """bands of users by number of friends; users are compared within a band"""

    seed: int = Field(default=0, ge=0)
    """seed of weights and draws"""
