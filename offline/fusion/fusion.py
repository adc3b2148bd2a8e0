"""A trained fusion: scores a candidate from all columns."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel
from torch import nn

from models.arrays import Float32s
from models.networks import checkpoint
from offline.fusion.candidate_lists import CandidateLists


@dataclass(frozen=True)
class Fusion:
    """A network that maps (..., C, F) features of whole lists to (..., C) scores, in evaluation mode."""

    model: nn.Module
    config: BaseModel
    """the configuration that `type(model)` was built from"""
    names: list[str]
    """(F,) the input columns, in order"""
    metrics: dict[str, float] = field(default_factory=dict)
    """metrics of the training"""

    @property
    def parameters(self) -> int:
        """The number of trainable parameters."""
        return sum(one.numel() for one in self.model.parameters())

    @torch.inference_mode()
    def scores(self, features: Float32s) -> Float32s:
        """(C,) float32 scores of one viewer's candidates (C, F), higher is better."""
        scores: Float32s = self.model(torch.from_numpy(features)).numpy()
        return scores

    def of_lists(self, lists: CandidateLists) -> Float32s:
        """(L, C) float32 scores of every position; -inf if it holds no candidate.

        Raises ValueError if the lists have other columns than in training.
        """
        if lists.names != self.names:
            raise ValueError(f"a fusion of {self.names} cannot score {lists.names}")
        scores = np.full(lists.valid.shape, -np.inf, np.float32)
        for at, (features, valid) in enumerate(zip(lists.features, lists.valid, strict=True)):
            if valid.any():
                scores[at, valid] = self.scores(features[valid])
        return scores

    def save(self, path: Path) -> None:
        """Writes `path`.safetensors and `path`.json (models.networks.checkpoint)."""
        checkpoint.save(path, self.model, self.config, self.metrics, self.names)

    @classmethod
    def load(cls, path: Path) -> "Fusion":
        """The fusion saved under a path. Raises ArtefactError with the file that is missing or altered."""
        loaded = checkpoint.load(path)
        return cls(loaded.model, loaded.config, loaded.features, loaded.metrics)
