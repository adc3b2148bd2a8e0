"""Checkpoints of every network, written by earlier releases, load and give the embeddings that they gave."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from models.graph import Graph
from models.networks import checkpoint
from models.networks.embedder import Embedder
from models.networks.graphsage import GraphSage, embed_everybody
from models.networks.neighbours import edges_of

GOLDEN = Path(__file__).parents[3] / "golden" / "checkpoints"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.json"))


@pytest.fixture(scope="module")
def expected() -> dict[str, torch.Tensor]:
    """The inputs, and by checkpoint the embeddings (12, 4) of the release that wrote it."""
    return load_file(GOLDEN / "embeddings.safetensors")


def test_every_network_has_a_checkpoint() -> None:
    assert {name.partition("-")[2] or name for name in NAMES} == {
        "graphsage", "mean", "max", "lstm", "sage", "gat", "gcn", "vgae", "dgi", "temporal_gat", "lightgcn",
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_checkpoint_gives_the_embeddings_it_gave(name: str, expected: dict[str, torch.Tensor]) -> None:
    features = expected["features"]
    graph = Graph.from_pairs(len(features), *expected["pairs"].numpy())
    loaded = checkpoint.load(GOLDEN / name)
    assert loaded.metrics == {"gain": 0.25}
    edges = edges_of(graph)
    with torch.no_grad():
        if isinstance(loaded.model, Embedder):
            embeddings = loaded.model(features, torch.zeros(graph.n, dtype=torch.int64), edges)
        elif isinstance(loaded.model, GraphSage):
            embeddings = embed_everybody(loaded.model, features, graph)
        else:
            embeddings = loaded.model(features, edges)
    torch.testing.assert_close(embeddings, expected[name], atol=1e-5, rtol=0)
