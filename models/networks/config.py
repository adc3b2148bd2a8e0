"""Shapes of the networks that train on a graph: encoders, identities and decoders, read without loading PyTorch."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class EncoderShape(BaseModel):
    """What all encoders have; `inputs`, `edge_inputs` and `carried_columns` come from the data, not from a row."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: int = Field(default=0, ge=0)
    """columns of the feature matrix"""

    edge_inputs: int = Field(default=0, ge=0)
    """columns that describe a friendship"""

    carried_columns: tuple[int, int] = (0, 0)
    """first and one past the last of the input columns that embeddings begin as, before any training; cut at
    `outputs`"""

    hidden: int = Field(default=128, ge=1)
    """width between the layers"""

    outputs: int = Field(default=128, ge=1)
    """dimension of an embedding"""

    layers: int = Field(default=2, ge=1, le=4)
    """rounds of message passing: the distance from which friends count"""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """share of hidden units set to zero in a training step"""


class GraphSageConfig(EncoderShape):
    """Shape of GraphSAGE."""

    name: Literal["graphsage"] = "graphsage"

    structural_columns: tuple[int, int] = (0, 0)
    """first and one past the last of the input columns that come from the graph: zero for people without friends"""

    aggregation: Literal["mean", "max", "lstm"] = "mean"
    """what is made of a person's neighbours"""

    neighbours: int = Field(default=8, ge=1)
    """neighbours that the LSTM reads; in training drawn for each step, else evenly spaced"""


class GatConfig(EncoderShape):
    """Shape of graph attention."""

    name: Literal["gat"] = "gat"

    hidden: int = Field(default=64, ge=1)
    """width between the layers, shared out among the heads"""

    heads: int = Field(default=4, ge=1)
    """weighings of the neighbours side by side"""

    @model_validator(mode="after")
    def _divisible(self) -> "GatConfig":
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} cannot be shared out among {self.heads} heads")
        return self


class GcnConfig(EncoderShape):
    """Shape of graph convolutions."""

    name: Literal["gcn"] = "gcn"


class VgaeConfig(EncoderShape):
    """Shape of the variational graph autoencoder, and what its own loss weighs."""

    name: Literal["vgae"] = "vgae"

    kl_weight: float = Field(default=1e-3, ge=0)
    """weight of the divergence from a standard normal distribution, per dimension"""

    edge_weight: float = Field(default=0.2, ge=0)
    """weight of telling friends from random pairs by inner product"""

    feature_weight: float = Field(default=0.2, ge=0)
    """weight of predicting the features of users whose features were masked"""

    masked_share: float = Field(default=0.15, ge=0, lt=1)
    """share of people whose features are masked in a step"""


class DgiConfig(EncoderShape):
    """Shape of deep graph infomax."""

    name: Literal["dgi"] = "dgi"


class TemporalGatConfig(EncoderShape):
    """Shape of attention over weekly snapshots."""

    name: Literal["temporal_gat"] = "temporal_gat"

    hidden: int = Field(default=64, ge=1)
    """width of attention and LSTM, shared out among the heads"""

    heads: int = Field(default=4, ge=1)
    """weighings of the neighbours side by side"""

    layers: int = Field(default=1, ge=1, le=4)
    """rounds of attention within a snapshot"""

    snapshots: int = Field(default=8, ge=1)
    """snapshots that are read; the first holds everything older than the others"""

    weeks: float = Field(default=1.0, gt=0)
    """length of a snapshot"""

    @model_validator(mode="after")
    def _divisible(self) -> "TemporalGatConfig":
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} cannot be shared out among {self.heads} heads")
        return self


class LightGcnConfig(EncoderShape):
    """Shape of LightGCN; `hidden` and `dropout` mean nothing to it."""

    name: Literal["lightgcn"] = "lightgcn"

    layers: int = Field(default=3, ge=1, le=4)
    """steps that are averaged, beside the beginning"""


EncoderConfig = Annotated[
    GraphSageConfig | GatConfig | GcnConfig | VgaeConfig | DgiConfig | TemporalGatConfig | LightGcnConfig,
    Field(discriminator="name"),
]
"""any encoder, discriminated by `name`"""


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NoIdentityConfig(_Config):
    """No columns of their own for users."""

    name: Literal["none"] = "none"


class LookupConfig(_Config):
    """A row of a table for each user of the training."""

    name: Literal["lookup"] = "lookup"

    width: int = Field(default=32, ge=1)
    """columns"""

    people: int = Field(default=0, ge=0)
    """rows beside that of the unknown; comes from the data"""

    unknown_share: float = Field(default=0.05, ge=0, lt=1)
    """share of users who count as unknown in a training step, so that the row of the unknown is learned"""


class HashConfig(_Config):
    """The mean of a few rows of a table that all users share, chosen by hashing."""

    name: Literal["hash"] = "hash"

    width: int = Field(default=32, ge=1)
    """columns"""

    probes: int = Field(default=2, ge=1)
    """rows of a person"""

    buckets: int = Field(default=0, ge=0)
    """rows of the table; comes from the data: see `buckets_for`"""

    seed: int = 0
    """of the offsets, which are kept with the weights"""


IdentityConfig = Annotated[NoIdentityConfig | LookupConfig | HashConfig, Field(discriminator="name")]
"""any identity encoding, discriminated by `name`"""


class DotConfig(BaseModel):
    """The inner product, which is the cosine: what an index can look up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["dot"] = "dot"


class MlpDecoderConfig(BaseModel):
    """A small network over both embeddings: it reorders the users whom the inner product found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["mlp"] = "mlp"

    outputs: int = Field(default=128, ge=1)
    """dimension of the embeddings; comes from the encoder"""

    hidden: int = Field(default=64, ge=1)
    """width of its layer"""

    negatives: int = Field(default=15, ge=1)
    """other people drawn beside each friend in training"""

    weight: float = Field(default=1.0, gt=0)
    """of its loss beside that of the inner product"""


DecoderConfig = Annotated[DotConfig | MlpDecoderConfig, Field(discriminator="name")]
"""any decoder, discriminated by `name`"""
