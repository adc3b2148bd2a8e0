"""The dials of a detector of suspicious accounts."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SuspicionConfig(BaseModel):
    """The detector and its training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    detector: Literal["vgae", "dgi"] = "vgae"
    """vgae tells the features of people from their friends; dgi tells people from people dealt out anew"""

    width: int = Field(default=64, ge=1)
    """of states and embeddings"""

    epochs: int = Field(default=60, ge=1)
    """passes over the whole graph"""

    learning_rate: float = Field(default=5e-3, gt=0)
    """step of Adam"""

    bands: int = Field(default=10, ge=1)
    """groups of people by their number of friends, within which they are compared"""

    seed: int = Field(default=0, ge=0)
    """of weights and draws"""
