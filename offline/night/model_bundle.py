"""What a night learns and later nights may use again: encoders, ranker, and what they were trained with."""

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydantic import AwareDatetime, BaseModel, ConfigDict

from models.errors import ArtefactError
from models.features.profile_encoder import ProfileEncoder
from models.features.towers import TowerShape
from models.live_state.erased_ids import ErasedPeople
from models.networks import checkpoint
from models.networks.embedder import Embedder
from models.networks.encoder import Encoder
from models.networks.ranker_head import RankerHead
from models.ranker.outcome_heads import OutcomeHeads
from models.ranker.ranker import DESCRIPTION, FALLBACK, Ranker
from models.schema.pair_features import PAIR_FEATURES
from models.schema.profiles import Profiles
from models.schema.vocabulary import Vocabulary
from models.system import files
from models.system.clock import MICROSECONDS
from offline.features.graph_features import SpectralReference

GRAPHSAGE = "graphsage"
"""name of the checkpoint of the network that embeds people, whichever it is"""

FALLBACK_CALIBRATION = (1.0, -9.0, 0.0, 0.0)
"""slope and level by which a resource allocation becomes a probability if nothing was learned: one mutual friend who
has ten friends, whose kept feature is ln(101), gives 0.012; ten of them, ln(1,001), 0.11"""


class Training(BaseModel):
    """training.json: when and on how much."""

    model_config = ConfigDict(frozen=True)

    trained_at: AwareDatetime
    users: int
    connections: int
    configuration: str = ""
    """NightConfig.learning of the run"""
    metrics: dict[str, float] = {}
    towers: TowerShape = TowerShape()
    """chosen by the validation of the run"""


@dataclass(frozen=True)
class ModelBundle:
    """The directories 'model' and 'learnt' of a version: what the service reads, and what only later nights do."""

    encoder: ProfileEncoder
    embedder: Encoder
    """GraphSAGE, or the encoder chosen in its place"""
    ranker: RankerHead | None
    """None if there was too little to learn from, and resource allocation ranks"""
    prerank_weights: NDArray[np.float32]
    """pre-ranking weights: they choose the candidates"""
    spectral: NDArray[np.float32]
    """(n, k) positions in the spectrum that the networks were trained with"""
    vocabulary: Vocabulary
    """whose rows those are"""
    training: Training
    directory: Path | None = None
    """where it was read from; None if it was not"""
    outcomes: OutcomeHeads | None = None
    """heads learned from outcomes, beside the ranker; None: links alone rank"""

    def served_ranker(self) -> Ranker:
        """The ranker as the service opens it. Raises ValueError if the bundle was not read from a directory."""
        if self.directory is None:
            raise ValueError("the service opens rankers from directories: save the bundle and open it again")
        return Ranker.open(self.directory / "model").with_outcomes(self.outcomes)

    def reference(self, vocabulary: Vocabulary) -> SpectralReference:
        """The spectrum trained with, and the rows of the users who are also in another night's vocabulary."""
        if vocabulary.digest == self.vocabulary.digest:
            rows = np.arange(len(vocabulary))
            return SpectralReference(self.spectral, rows, rows)
        theirs = self.vocabulary.rows(vocabulary.user_ids()).astype(np.int64)
        return SpectralReference(self.spectral, np.flatnonzero(theirs >= 0), theirs[theirs >= 0])

    def with_heads(self, directory: Path) -> "ModelBundle":
        """The same with the heads of outcomes in a directory; without any if it has none. Raises ArtefactError."""
        heads = None if self.ranker is None else OutcomeHeads.open(directory, len(self.ranker.mean))
        return replace(self, outcomes=heads)

    def without(self, erased: ErasedPeople, profiles: Profiles) -> "ModelBundle":
        """The same without the rows of users who were erased since training, and without values that no user of
        `profiles` has any more.
        """
        trained_at_us = int(self.training.trained_at.timestamp() * MICROSECONDS)
        if not erased.since(trained_at_us):
            return self
        kept = [
            row
            for row, user_id in enumerate(self.vocabulary.user_ids())
            if erased.timestamp_us(user_id) <= trained_at_us
        ]
        vocabulary = Vocabulary.from_ids(self.vocabulary.user_id(row) for row in kept)
        encoder = self.encoder.restricted_to(profiles)
        return replace(self, encoder=encoder, spectral=self.spectral[kept], vocabulary=vocabulary)

    def save(self, directory: Path) -> None:
        """Writes both directories below this one, made if missing."""
        model, bundle = directory / "model", directory / "learnt"
        model.mkdir(parents=True, exist_ok=True)
        self.encoder.save(bundle)
        metrics = self.training.metrics
        checkpoint.save(bundle / GRAPHSAGE, self.embedder, cast("BaseModel", self.embedder.config), metrics)
        if self.ranker is None:
            calibration = list(FALLBACK_CALIBRATION)
            files.write_json(model / DESCRIPTION, {"kind": FALLBACK, "calibration": calibration})
        else:
            checkpoint.save(model / "ranker", self.ranker, self.ranker.config, metrics)
        if self.outcomes is not None:
            self.outcomes.save(model)
        files.write_array(bundle / "cheap.npy", self.prerank_weights)
        files.write_array(bundle / "spectral.npy", self.spectral)
        files.write_array(bundle / "vocabulary_offsets.npy", self.vocabulary.offsets)
        files.write_bytes(bundle / "vocabulary.bin", self.vocabulary.text.tobytes())
        files.write_bytes(bundle / "training.json", self.training.model_dump_json(indent=2).encode())

    @classmethod
    def open(cls, directory: Path) -> "ModelBundle":
        """What `save` wrote. Raises ArtefactError naming a file that is missing, truncated or altered."""
        model, bundle = directory / "model", directory / "learnt"
        served = Ranker.open(model)
        ranker = None if served.kind == FALLBACK else checkpoint.load(model / "ranker").model
        offsets = files.read_array(bundle / "vocabulary_offsets.npy", np.int64, (None,))
        if not len(offsets):
            raise ArtefactError(f"{bundle / 'vocabulary_offsets.npy'} is altered: it holds no boundary")
        text = files.map_bytes(bundle / "vocabulary.bin", int(offsets[-1]))
        embedder = checkpoint.load(bundle / GRAPHSAGE).model  # earlier releases kept an Embedder for other encoders
        try:
            training = Training.model_validate_json(files.read_bytes(bundle / "training.json"))
        except ValueError as error:
            raise ArtefactError(f"{bundle / 'training.json'} is truncated or altered: {error}") from error
        return cls(
            encoder=ProfileEncoder.open(bundle),
            embedder=embedder.encoder if isinstance(embedder, Embedder) else cast("Encoder", embedder),
            ranker=cast("RankerHead | None", ranker),
            prerank_weights=files.read_array(bundle / "cheap.npy", np.float32, (len(PAIR_FEATURES) + 1,)),
            spectral=files.read_array(bundle / "spectral.npy", np.float32, (len(offsets) - 1, None)),
            vocabulary=Vocabulary(text, offsets),
            training=training,
            directory=directory,
            outcomes=served.outcomes,
        )

    def is_due(self, now: datetime, users: int, connections: int, days: float, growth: float) -> str | None:
        """Why these weights should be trained again, or None if they serve another night."""
        age = (now - self.training.trained_at).total_seconds() / 86_400
        if age >= days:
            return f"the weights are {age:.1f} days old"
        for what, then, today in (
            ("users", self.training.users, users),
            ("friendships", self.training.connections, connections),
        ):
            if today > then * (1 + growth):
                return f"{what} grew from {then} to {today}"
        return None
