"""The saved result of one row with one seed."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from models.graph import Graph
from models.system import files
from offline.evaluation import metrics
from offline.evaluation.report import RATIO_LIMIT, hits_of


class PerUser(BaseModel):
    """Quality at 20 positions by user, in the order of the evaluated users."""

    model_config = ConfigDict(frozen=True)

    recall: list[float]
    ndcg: list[float]

    @classmethod
    def of(cls, hidden: Graph, users: NDArray[np.int64], lists: NDArray[np.int32]) -> "PerUser":
        """The quality of lists (u, k) for users (u,), all of whom have a hidden friendship."""
        hits, made = hits_of(hidden, users, lists), hidden.degrees[users].astype(np.int64)
        figures = (one(hits, made, RATIO_LIMIT).round(6).tolist() for one in (metrics.recall, metrics.ndcg))
        return cls(**dict(zip(("recall", "ndcg"), figures, strict=True)))


class RunResult(BaseModel):
    """The result of one row with one seed."""

    model_config = ConfigDict(frozen=True)

    row: str
    seed: int
    digest: str
    """digest of the row, its seed and the split; identifies the run"""
    alone: PerUser
    """the encoder alone, with its decoder"""
    fused: PerUser | None = None
    """the fused candidates; None for a row without a fusion"""
    training_seconds: float
    fusion_seconds: float | None = None
    embed_seconds: float
    """time to embed all users once"""
    fusion_ms: float | None = None
    """mean time to score one list of candidates"""
    parameters: int
    fusion_parameters: int | None = None
    memory_mb: float
    """memory of a training step, weights and optimiser state included; on CUDA the peak allocation"""
    device: str
    notes: list[str] = []
    """caveats for the reader: one snapshot only, simulated outcomes"""
    encoder_metrics: dict[str, float] = {}
    fusion_metrics: dict[str, float] = {}

    def write(self, path: Path) -> None:
        """Writes the result atomically."""
        files.write_bytes(path, self.model_dump_json().encode() + b"\n")

    @classmethod
    def read(cls, path: Path, digest: str) -> "RunResult | None":
        """The result of this run, or None if there is none that is valid."""
        if not path.exists():
            return None
        try:
            found = cls.model_validate_json(path.read_bytes())
        except ValidationError:
            return None
        return found if found.digest == digest else None
