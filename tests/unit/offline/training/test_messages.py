"""What processes send each other arrives as it was, in the memory that it arrived in."""

from dataclasses import dataclass

import numpy as np
import torch

from models.graph import Graph
from offline.training.messages import packed, unpacked


@dataclass(frozen=True)
class Sent:
    graph: Graph
    features: torch.Tensor
    named: dict[str, object]


def test_a_message_arrives_as_it_was() -> None:
    graph = Graph.from_pairs(4, [0, 1], [1, 2])
    transposed = torch.arange(6.0).reshape(2, 3).T
    learned = torch.ones(2, requires_grad=True)
    half = torch.ones(3, dtype=torch.bfloat16)
    sent = Sent(graph, transposed, {"learned": learned, "half": half, "none": None, "few": torch.zeros(0, 2)})
    found = unpacked([part.copy() for part in packed(sent)])
    assert np.array_equal(found.graph.indices, graph.indices)
    assert torch.equal(found.features, transposed)
    assert torch.equal(found.named["learned"], learned)
    assert found.named["learned"].requires_grad
    assert torch.equal(found.named["half"], half)
    assert found.named["none"] is None
    assert found.named["few"].shape == (0, 2)


def test_arrays_stay_out_of_the_description() -> None:
    features = torch.zeros(1000, 100)
    described, *memory = packed({"features": features, "rows": np.zeros(5000)})
    assert len(described) < 1000
    assert sorted(map(len, memory)) == [40_000, 400_000]
    assert max(memory, key=len).ctypes.data == features.data_ptr(), "sent from where it is"


def test_what_arrives_can_be_written() -> None:
    found = unpacked([part.copy() for part in packed((torch.zeros(3), np.zeros(3)))])
    found[0][0] = found[1][0] = 7
    assert (found[0][0], found[1][0]) == (7, 7)
