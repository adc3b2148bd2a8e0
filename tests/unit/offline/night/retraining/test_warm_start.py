"""An encoder that begins with former weights does as the former one did, whatever profile columns it reads."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
import torch

from models.graph import Graph
from models.networks.config import GatConfig, GraphSageConfig
from models.networks.gat import Gat
from models.networks.graphsage import GraphSage
from models.networks.neighbours import edges_of
from models.schema.vocabulary import Vocabulary
from offline.features.graph_features import SpectralReference
from offline.night.model_bundle import ModelBundle
from offline.night.retraining.warm_start import WarmStart, profile_map

N, THEN, NOW, OTHERS = 60, 5, 7, 4


def shape(columns: int, **changed: Any) -> GraphSageConfig:
    fields: dict[str, Any] = {"hidden": 8, "outputs": 6, "layers": 2, "dropout": 0.0} | changed
    inputs = columns + OTHERS
    return GraphSageConfig(
        inputs=inputs, carried_columns=(columns + 1, inputs), structural_columns=(columns, inputs), **fields
    )


@dataclass(frozen=True)
class Former:
    """The part of a bundle that encoders are taken from."""

    embedder: Any
    vocabulary: Vocabulary
    spectral: np.ndarray

    reference = ModelBundle.reference


def people(first: int, last: int) -> Vocabulary:
    return Vocabulary.from_ids(f"p{number}" for number in range(first, last))


def warm(embedder: Any) -> WarmStart:
    rows = np.arange(N)
    former = cast("ModelBundle", Former(embedder, people(0, N), np.zeros((N, 2), np.float32)))
    return WarmStart(former, SpectralReference(np.zeros((N, 2), np.float32), rows, rows))


def profiles() -> tuple[np.ndarray, np.ndarray]:
    """Columns as they were, and the same in another order and scale, with two that are new."""
    random = np.random.default_rng(0)
    then = random.normal(size=(N, THEN)).astype(np.float32)
    now = np.concatenate([then[:, ::-1] * 2, random.normal(size=(N, NOW - THEN))], axis=1).astype(np.float32)
    return then, now


def test_the_map_finds_columns_in_another_order_and_scale() -> None:
    then, now = profiles()
    found = profile_map(now, then)
    assert found.shape == (NOW, THEN)
    np.testing.assert_allclose(now @ found, then, atol=0.02)
    assert np.abs(found[THEN:]).max() < 0.02, "new columns stand for nothing that was"


def test_an_encoder_with_mapped_weights_embeds_people_as_before() -> None:
    torch.manual_seed(0)
    then, now = profiles()
    former, encoder = GraphSage(shape(THEN)).eval(), GraphSage(shape(NOW)).eval()
    weights = warm(former).encoder_weights(shape(NOW), now, then)
    assert weights is not None
    encoder.load_state_dict(weights)
    others = torch.from_numpy(np.random.default_rng(1).normal(size=(N, OTHERS)).astype(np.float32))
    edges = edges_of(Graph.from_pairs(N, np.arange(N), (np.arange(N) + 1) % N))
    with torch.no_grad():
        before = former(torch.cat([torch.from_numpy(then), others], dim=1), edges)
        after = encoder(torch.cat([torch.from_numpy(now), others], dim=1), edges)
    torch.testing.assert_close(after, before, atol=0.05, rtol=0)
    assert all(torch.equal(one, former.state_dict()[name]) for name, one in weights.items() if "1" in name)


@pytest.mark.parametrize(
    ("columns", "changed"), [(NOW, {"hidden": 16}), (NOW, {"layers": 1}), (NOW, {"aggregation": "max"}), (NOW + 1, {})]
)
def test_an_encoder_of_another_shape_begins_anew(columns: int, changed: dict[str, Any]) -> None:
    then, now = profiles()
    wanted = shape(columns, **changed)
    assert warm(GraphSage(shape(THEN))).encoder_weights(wanted, now, then) is None


def test_another_kind_of_encoder_begins_anew() -> None:
    then, now = profiles()
    gat = Gat(GatConfig(inputs=THEN + OTHERS, hidden=8, outputs=6))
    assert warm(gat).encoder_weights(shape(NOW), now, then) is None


@pytest.mark.parametrize(("first", "last", "begins"), [(0, N, True), (20, N + 20, True), (50, N + 50, False)])
def test_a_network_of_other_people_begins_anew(first: int, last: int, begins: bool) -> None:
    former = cast("ModelBundle", Former(GraphSage(shape(THEN)), people(0, N), np.ones((N, 2), np.float32)))
    found = WarmStart.of(former, people(first, last))
    assert (found is not None) is begins
    assert WarmStart.of(None, people(0, N)) is None


def test_weights_of_a_network_without_friendships_are_none_to_begin_with() -> None:
    former = cast("ModelBundle", Former(GraphSage(shape(THEN)), people(0, N), np.zeros((N, 2), np.float32)))
    assert WarmStart.of(former, people(0, N)) is None
