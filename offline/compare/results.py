"""What one row reached with one seed, kept so that a comparison goes on where it was stopped."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from models.graph import Graph
from models.system import files
from offline.evaluation import metrics
from offline.evaluation.report import RATIO_LIMIT, hits_of


class PerUser(BaseModel):
    """Quality at 20 places, user by user, in the order of the judged."""

    model_config = ConfigDict(frozen=True)

    recall: list[float]
    ndcg: list[float]

    @classmethod
    def of(cls, hidden: Graph, users: NDArray[np.int64], lists: NDArray[np.int32]) -> "PerUser":
        """Of lists (u, k) of the users (u,), all of whom have a hidden friendship."""
        hits, made = hits_of(hidden, users, lists), hidden.degrees[users].astype(np.int64)
        figures = (one(hits, made, RATIO_LIMIT).round(6).tolist() for one in (metrics.recall, metrics.ndcg))
        return cls(**dict(zip(("recall", "ndcg"), figures, strict=True)))


class RunResult(BaseModel):
    """One row with one seed."""

    model_config = ConfigDict(frozen=True)

    row: str
    seed: int
    digest: str
    """of the row, its seed and the ground: another digest is another run"""
    alone: PerUser
    """the encoder alone, by its decoder"""
    fused: PerUser | None = None
    """its candidates fused; None for a row without a fusion"""
    training_seconds: float
    fusion_seconds: float | None = None
    embed_seconds: float
    """everybody embedded once"""
    fusion_ms: float | None = None
    """a list of candidates scored, on the mean"""
    parameters: int
    fusion_parameters: int | None = None
    memory_mb: float
    """what a training step keeps, weights and moments included; on CUDA the most that was allocated"""
    device: str
    notes: list[str] = []
    """what a reader must know: one snapshot alone, simulated outcomes"""
    encoder_metrics: dict[str, float] = {}
    fusion_metrics: dict[str, float] = {}

    def write(self, path: Path) -> None:
        """Writes the result, whole or not at all."""
        files.write_bytes(path, self.model_dump_json().encode() + b"\n")

    @classmethod
    def read(cls, path: Path, digest: str) -> "RunResult | None":
        """The result of this very run, or None where there is none that reads back."""
        if not path.exists():
            return None
        try:
            found = cls.model_validate_json(path.read_bytes())
        except ValidationError:
            return None
        return found if found.digest == digest else None
