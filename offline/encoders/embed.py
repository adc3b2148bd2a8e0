"""Which network embeds people in a night, and how everybody is embedded by it."""

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.graph import Graph
from models.networks.embedder import Embedder, EncoderConfig
from models.networks.graphsage import GraphSage, embed_everybody
from models.networks.neighbours import edges_of
from offline.encoders.config import TrainingConfig

Network = GraphSage | Embedder


class NightEncoder(BaseModel):
    """An encoder of `pymk compare` in the place of GraphSAGE; it reads all features, and one snapshot of the graph.

    Identities of their own are not offered: a version keeps no weights that belong to one person, who may be erased.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    encoder: EncoderConfig
    """which encoder, and its shape"""

    training: TrainingConfig = TrainingConfig()
    """how it learns"""

    seed: int = 0
    """of weights, batches and negatives"""


def embedded(network: Network, inputs: NDArray[np.float32], graph: Graph) -> NDArray[np.float32]:
    """Embeddings (n, d) float32 of everybody, rows L2-normalised, from features (n, f) and all their friends."""
    features = torch.from_numpy(inputs)
    if isinstance(network, GraphSage):
        rows: NDArray[np.float32] = embed_everybody(network, features, graph).numpy()
        return rows
    network.eval()
    with torch.no_grad():
        embeddings: torch.Tensor = network(features, torch.zeros(graph.n, dtype=torch.int64), edges_of(graph))
    return embeddings.float().numpy()
