"""A training that begins with the active version's weights, where they fit what is read now."""

from dataclasses import dataclass

import numpy as np
import structlog
import torch
from torch import Tensor

from models.arrays import Float32s
from models.networks.config import GraphSageConfig
from models.networks.encoder import Encoder
from models.networks.graphsage import GraphSage
from models.schema.vocabulary import Vocabulary
from offline.features.graph_features import SpectralReference
from offline.night.model_bundle import ModelBundle

LEAST_SHARED = 0.5
"""of the people now who must have been there: others have no place in the spectrum that the weights read"""
RIDGE = 1e-3
"""penalty, as a share of the mean square of the columns, of the map from profile columns to former ones"""


log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class WarmStart:
    """The active version's weights for a training of the same people."""

    former: ModelBundle
    reference: SpectralReference
    """onto which the spectrum is rotated, so that the weights read what they were trained on"""

    @classmethod
    def of(cls, former: ModelBundle | None, vocabulary: Vocabulary) -> "WarmStart | None":
        """That of the weights of the active version; None if there are none, or of another network."""
        if former is None or not len(vocabulary):
            return None
        reference = former.reference(vocabulary)
        if len(reference.mine) < LEAST_SHARED * len(vocabulary):
            log.info("warm_start", begins="anew", reason="most people are new since the former training")
            return None
        if not reference.spectral[reference.theirs].any():
            log.info("warm_start", begins="anew", reason="the former network had no friendships")
            return None
        return cls(former, reference)

    def encoder_weights(self, wanted: GraphSageConfig, profile: Float32s, then: Float32s) -> dict[str, Tensor] | None:
        """The weights of a GraphSAGE of the shape `wanted`, which does as the former one did.

        `profile` (n, w) are the profile columns of everybody as they are encoded now, `then` (n, w') as they were. They
        may be more, fewer or others: the map between them goes into the first weights. None if the former encoder was
        another, or reads other features beside.
        """
        unlike = _unlike(self.former.embedder, wanted, profile.shape[1], then.shape[1])
        if unlike is not None:
            log.info("warm_start", of="encoder", begins="anew", reason=unlike)
            return None
        log.info("warm_start", of="encoder", begins="with the active version's weights")
        weights = {name: one.detach().clone() for name, one in self.former.embedder.state_dict().items()}
        mapped = torch.from_numpy(profile_map(profile, then))
        reads_inputs = ("convolutions.0.lin_l.weight", "convolutions.0.lin_r.weight", "joined.linear.weight")
        for name in reads_inputs:
            of_profile, others = weights[name][:, : then.shape[1]], weights[name][:, then.shape[1] :]
            weights[name] = torch.cat([of_profile @ mapped.T, others], dim=1)
        return weights


def _unlike(former: Encoder, wanted: GraphSageConfig, columns: int, former_columns: int) -> str | None:
    """Why the weights of a former encoder do not fit; None if they do."""
    if not isinstance(former, GraphSage) or former.config.aggregation != "mean":
        return "the former encoder is no GraphSAGE of means"
    placed = ("inputs", "carried_columns", "structural_columns")
    if former.config.model_dump(exclude={*placed}) != wanted.model_dump(exclude={*placed}):
        return "the encoder has another shape now"
    if former.config.inputs - former_columns != wanted.inputs - columns:
        return "the graph gives other features now"
    return None


def profile_map(now: Float32s, then: Float32s) -> Float32s:
    """(w, w') float32: the least-squares map of rows of profile columns (n, w) to those of the same people (n, w')."""
    inner = now.T.astype(np.float64) @ now
    penalty = RIDGE * max(float(np.trace(inner)) / max(len(inner), 1), 1e-9)
    found = np.linalg.solve(inner + penalty * np.eye(len(inner)), now.T.astype(np.float64) @ then)
    return np.asarray(found, np.float32)
