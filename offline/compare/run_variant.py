"""Runs one row with one seed: trains, embeds, fuses and evaluates on the shared split."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from models.arrays import Float32s
from models.networks.embedder import Embedder, EmbedderConfig
from offline.compare.results import PerUser, RunResult
from offline.compare.shared_candidates import SharedCandidates, evaluation_candidates, training_candidates
from offline.compare.shared_split import LONGEST, SharedSplit, View
from offline.compare.variants import Variant
from offline.encoders.inputs import ProfileTargets
from offline.encoders.trainer import RunOutput, Trained, train_encoder
from offline.encoders.training_step import embed
from offline.fusion.config import DqnFusion, LinUcbFusion
from offline.fusion.train import Fusion, train_fusion
from offline.training.resume import RunState

REORDERED = 200
"""rows found by inner product that a decoder other than the inner product ranks again"""
AT_ONCE = 128
"""lists whose features are built at once"""

EpochDone = Callable[[str, RunState], None]
log = structlog.get_logger(__name__)


class Runner:
    """Trains and evaluates rows on one split; builds the shared candidates when the first row needs them.

    `directory` holds intermediate files; `encoders` holds what is kept: checkpoints, curves, and the state of killed
    runs.
    """

    def __init__(
        self,
        split: SharedSplit,
        directory: Path,
        *,
        encoders: Path,
        lists: int,
        epoch_done: EpochDone = lambda variant, state: None,
    ) -> None:
        self.split, self.directory, self.encoders = split, directory, encoders
        self.lists, self.epoch_done = lists, epoch_done

    @cached_property
    def training_candidates(self) -> SharedCandidates:
        """The lists that fusions are trained on."""
        return training_candidates(self.split, self.directory / "candidates", self.lists)

    @cached_property
    def evaluation_candidates(self) -> SharedCandidates:
        """The lists that fusions are evaluated on."""
        return evaluation_candidates(self.split, self.directory / "candidates")

    def run(self, variant: Variant, seed: int, digest: str) -> RunResult:
        """The result of a row, identified by `digest`."""
        split = self.split
        trained = self._trained(variant, seed)
        started = time.perf_counter()
        embeddings = self._embeddings(trained.model, variant, split.evaluated)
        embed_seconds = time.perf_counter() - started
        result = RunResult(
            row=variant.name,
            seed=seed,
            digest=digest,
            alone=PerUser.of(split.hidden, split.sampled_viewers, self._alone(trained.model, embeddings)),
            training_seconds=trained.seconds,
            embed_seconds=embed_seconds,
            parameters=trained.model.parameters_count,
            memory_mb=trained.memory_mb,
            device=trained.device,
            notes=self._notes(variant),
            encoder_metrics=trained.metrics,
        )
        if variant.fusion is None:
            return result
        started = time.perf_counter()
        bundle = self.training_candidates.of_encoder(
            [self._embeddings(trained.model, variant, view) for view in self.training_candidates.views]
        )
        fusion = train_fusion(variant.fusion, bundle, seed=seed, log=log)
        fusion_seconds = time.perf_counter() - started
        simulated = isinstance(variant.fusion, LinUcbFusion | DqnFusion) and bundle.outcomes is None
        del bundle
        fused, fusion_ms = self._fused(fusion, embeddings)
        more = {
            "fused": PerUser.of(split.hidden, split.sampled_viewers, fused),
            "fusion_seconds": fusion_seconds,
            "fusion_ms": fusion_ms,
            "fusion_parameters": fusion.parameters,
            "fusion_metrics": fusion.metrics,
            "notes": [*result.notes, *(["outcomes simulated"] if simulated else [])],
        }
        return result.model_copy(update=more)

    def _trained(self, variant: Variant, seed: int) -> Trained:
        split, training = self.split, variant.training
        inputs = split.inputs(split.trained, variant.features)
        targets = split.targets if training.profile_weight > 0 else ProfileTargets.none()
        attributes = inputs.edge_attributes
        shape = EmbedderConfig.shaped(
            variant.encoder,
            variant.identity,
            variant.decoder,
            features=inputs.features.shape[1],
            edge_inputs=0 if attributes is None else attributes.shape[1],
            carried_columns=inputs.carried,
            people=inputs.n,
            targets=targets.targets,
        )
        output = RunOutput(
            log, self.encoders / f"{variant.digest}-{seed}", lambda state: self.epoch_done(variant.name, state)
        )
        return train_encoder(
            replace(inputs, targets=targets), split.labels.pairs(), shape, training, seed=seed, output=output
        )

    def _embeddings(self, model: Embedder, variant: Variant, view: View) -> Float32s:
        embeddings: Float32s = embed(model, self.split.inputs(view, variant.features)).numpy()
        return embeddings

    def _alone(self, model: Embedder, embeddings: Float32s) -> NDArray[np.int32]:
        """(u, LONGEST) the best of all rows by the encoder's decoder."""
        if model.config.decoder.name == "dot":
            return self.split.full_ranking(embeddings)
        found = self.split.full_ranking(embeddings, REORDERED)
        vectors = torch.from_numpy(embeddings)
        for at, viewer in enumerate(self.split.sampled_viewers):
            rows = found[at][found[at] >= 0]
            with torch.inference_mode():
                scores = model.decoder(vectors[int(viewer)].expand(len(rows), -1), vectors[rows]).numpy()
            found[at, : len(rows)] = rows[np.argsort(-scores, kind="stable")]
        return np.ascontiguousarray(found[:, :LONGEST])

    def _fused(self, fusion: Fusion, embeddings: Float32s) -> tuple[NDArray[np.int32], float]:
        """(u, LONGEST) the best candidates of the sampled viewers, and the milliseconds to score one list."""
        pool = self.evaluation_candidates
        lists, seconds = np.full((len(self.split.sampled_viewers), LONGEST), -1, np.int32), 0.0
        for start in range(0, len(lists), AT_ONCE):
            at = np.arange(start, min(start + AT_ONCE, len(lists)))
            built = pool.of_encoder([embeddings], at)
            started = time.perf_counter()
            scores = fusion.of_lists(built)
            seconds += time.perf_counter() - started
            best = np.argsort(-scores, axis=1, kind="stable")[:, :LONGEST]
            rows = np.take_along_axis(pool.lists.rows[at].astype(np.int32), best, axis=1)
            valid = np.take_along_axis(built.valid, best, axis=1)
            lists[at, : best.shape[1]] = np.where(valid, rows, -1)
        return lists, 1000 * seconds / max(len(lists), 1)

    def _notes(self, variant: Variant) -> list[str]:
        notes = []
        if variant.encoder.name == "temporal_gat" and not self.split.has_time:
            notes.append("no dates: one snapshot")
        if variant.training.profile_weight > 0 and not self.split.targets.targets:
            notes.append("no profile column to predict")
        return notes
