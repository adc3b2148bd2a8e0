"""Small graphs whose right embeddings are obvious."""

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, TypeAdapter

from models.graph import Graph
from models.networks.config import DotConfig, EncoderConfig, IdentityConfig, NoIdentityConfig
from models.networks.embedder import EmbedderConfig
from offline.encoders.config import TrainingConfig
from offline.encoders.inputs import GraphInputs, ProfileTargets

LOG = structlog.get_logger()
ENCODERS: dict[str, dict[str, object]] = {
    "graphsage": {"name": "graphsage"},
    "graphsage max": {"name": "graphsage", "aggregation": "max"},
    "graphsage lstm": {"name": "graphsage", "aggregation": "lstm", "neighbours": 4},
    "gat": {"name": "gat"},
    "gcn": {"name": "gcn"},
    "vgae": {"name": "vgae"},
    "dgi": {"name": "dgi"},
    "temporal_gat": {"name": "temporal_gat"},
    "lightgcn": {"name": "lightgcn"},
}
SMALL = TrainingConfig(
    epochs=20,
    labels="hidden",
    max_steps=120,
    batch_pairs=64,
    learning_rate=0.01,
    validation_share=0.1,
    device="cpu",
    state_every_s=0.0,
    temperature=0.2,
)
_ENCODER: TypeAdapter[BaseModel] = TypeAdapter(EncoderConfig)

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]


def inputs(graph: Graph, features: NDArray[np.float32], attributes: NDArray[np.float32] | None = None) -> GraphInputs:
    """A graph with these features, all of which are profile."""
    return GraphInputs(
        graph=graph,
        features=torch.from_numpy(features.astype(np.float32)),
        profile=slice(0, features.shape[1]),
        carried=(0, 0),
        keys=torch.arange(graph.n) * 7 + 3,
        edge_attributes=None if attributes is None else torch.from_numpy(attributes),
    )


def two_cliques(size: int = 16, hidden: float = 0.3, width: int = 8) -> tuple[GraphInputs, Pairs]:
    """Two cliques and a bridge, a share of whose friendships is hidden, and these; features are noise."""
    random = np.random.default_rng(1)
    a, b = np.triu_indices(size, 1)
    left, right = np.concatenate([a, a + size]), np.concatenate([b, b + size])
    gone = random.random(len(left)) < hidden
    graph = Graph.from_pairs(2 * size, np.append(left[~gone], 0), np.append(right[~gone], size))
    features = random.standard_normal((2 * size, width), dtype=np.float32)
    return inputs(graph, features), (left[gone], right[gone])


def shaped(
    encoder: dict[str, object],
    read: GraphInputs,
    identity: IdentityConfig | None = None,
    targets: ProfileTargets | None = None,
    decoder: object = None,
) -> EmbedderConfig:
    """A small embedder of that encoder for these inputs."""
    sizes = {"hidden": 16, "outputs": 16}
    attributes = read.edge_attributes
    return EmbedderConfig.shaped(
        _ENCODER.validate_python(sizes | encoder),  # type: ignore[arg-type]
        identity or NoIdentityConfig(),
        decoder or DotConfig(),  # type: ignore[arg-type]
        features=read.features.shape[1],
        edge_inputs=0 if attributes is None else attributes.shape[1],
        carried_columns=read.carried,
        people=read.n,
        targets=() if targets is None else targets.targets,
    )
