"""An encoder with what goes into it, features and identity, and its heads: what the trainer trains."""

from collections.abc import Callable

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from models.networks.config import (
    DecoderConfig,
    DgiConfig,
    DotConfig,
    EncoderConfig,
    GatConfig,
    GcnConfig,
    GraphSageConfig,
    IdentityConfig,
    LightGcnConfig,
    MlpDecoderConfig,
    NoIdentityConfig,
    TemporalGatConfig,
    VgaeConfig,
)
from models.networks.decoders import ProfileHead, ProfileTarget, decoder_of
from models.networks.dgi import Dgi
from models.networks.encoder import Encoder
from models.networks.gat import Gat
from models.networks.gcn import Gcn
from models.networks.graphsage import GraphSage, Hops
from models.networks.identity import fitted_identity, identity_of
from models.networks.lightgcn import LightGcn
from models.networks.temporal_gat import TemporalGat
from models.networks.vgae import Vgae

_ENCODERS: dict[type[BaseModel], Callable[..., Encoder]] = {
    GraphSageConfig: GraphSage,
    GatConfig: Gat,
    GcnConfig: Gcn,
    VgaeConfig: Vgae,
    DgiConfig: Dgi,
    TemporalGatConfig: TemporalGat,
    LightGcnConfig: LightGcn,
}


class EmbedderConfig(BaseModel):
    """All that the parts are made from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderConfig = GraphSageConfig()
    """its `inputs` hold the features and then the identity's columns"""

    identity: IdentityConfig = NoIdentityConfig()

    decoder: DecoderConfig = DotConfig()

    targets: tuple[ProfileTarget, ...] = ()
    """profile columns that are predicted from embeddings"""

    @classmethod
    def shaped(
        cls,
        encoder: EncoderConfig,
        identity: IdentityConfig,
        decoder: DecoderConfig,
        *,
        features: int,
        edge_inputs: int,
        carried_columns: tuple[int, int],
        people: int,
        targets: tuple[ProfileTarget, ...] = (),
    ) -> "EmbedderConfig":
        """The configuration for so many columns of features and of edges, and so many people."""
        sized = fitted_identity(identity, people)
        width: int = getattr(sized, "width", 0)
        if features + width == 0:
            raise ValueError(f"the encoder {encoder.name} has neither features nor an identity to begin with")
        shape = {"inputs": features + width, "edge_inputs": edge_inputs, "carried_columns": carried_columns}
        if isinstance(decoder, MlpDecoderConfig):
            decoder = decoder.model_copy(update={"outputs": encoder.outputs})
        return cls(encoder=encoder.model_copy(update=shape), identity=sized, decoder=decoder, targets=targets)


class Embedder(nn.Module):
    """Embeddings (n, outputs) float32, rows L2-normalised, of users known in training or not."""

    def __init__(self, config: EmbedderConfig) -> None:
        super().__init__()
        self.config = config
        self.identity = identity_of(config.identity)
        self.encoder = _ENCODERS[type(config.encoder)](config.encoder)
        self.decoder = decoder_of(config.decoder)
        self.profile_head = ProfileHead(config.encoder.outputs, config.targets)

    @property
    def parameters_count(self) -> int:
        """Trained numbers."""
        return sum(one.numel() for one in self.parameters())

    def forward(
        self, features: Tensor, keys: Tensor, edge_index: Tensor, edge_attributes: Tensor | None = None
    ) -> Tensor:
        """The embeddings of features (n, f), keys (n,) int64, edges (2, m) int64 and their attributes (m, e)."""
        embeddings: Tensor = self.encoder(self._inputs(features, keys), edge_index, edge_attributes)
        return embeddings

    def learning(
        self,
        features: Tensor,
        keys: Tensor,
        edge_index: Tensor,
        edge_attributes: Tensor | None = None,
        hops: Hops | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Embeddings for a training step, and the encoder's own loss, if it has one.

        With `hops`, which only GraphSAGE reads, the edges are a sampled neighbourhood and its seeds alone are embedded.
        """
        if hops is not None and isinstance(self.encoder, GraphSage):
            return self.encoder.of_seeds(self._inputs(features, keys), edge_index, hops), None
        learned: tuple[Tensor, Tensor | None] = self.encoder.learning(
            self._inputs(features, keys), edge_index, edge_attributes
        )
        return learned

    def _inputs(self, features: Tensor, keys: Tensor) -> Tensor:
        return torch.cat([features, self.identity(keys)], dim=1)
