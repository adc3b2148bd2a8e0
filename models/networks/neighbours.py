"""What a person's neighbours say together: sums, means, maxima, and the smoothing of graph convolutions.

Edges are (2, m) int64, neighbour in the first row and person in the second. Each function takes states (n, d) of
everybody and gives (n, d), zero for who has no neighbour. Sparse products are computed in float32, whatever the
precision around them, since no device has them in all of the others.
"""

import numpy as np
import torch
from torch import Tensor

from models.graph import Graph
from models.networks.graphsage import neighbour_matrix


def edges_of(graph: Graph) -> Tensor:
    """(2, m) int64: neighbour and person of every friendship, both ways, sorted by person and then neighbour."""
    people = np.repeat(np.arange(graph.n, dtype=np.int64), graph.degrees)
    return torch.from_numpy(np.stack([graph.indices.astype(np.int64), people]))


def summed(states: Tensor, edge_index: Tensor) -> Tensor:
    """The sum over neighbours."""
    n = len(states)
    with torch.autocast(states.device.type, enabled=False):
        total: Tensor = neighbour_matrix(edge_index, n, n) @ states.float()
    return total


def averaged(states: Tensor, edge_index: Tensor) -> Tensor:
    """The mean over neighbours."""
    return summed(states, edge_index) / degrees(edge_index, len(states)).clamp(min=1)[:, None]


def largest(states: Tensor, edge_index: Tensor) -> Tensor:
    """The maximum over neighbours, column by column."""
    n = len(states)
    if states.device.type == "cpu":
        with torch.autocast("cpu", enabled=False):
            best: Tensor = torch.sparse.mm(neighbour_matrix(edge_index, n, n), states.float(), "amax")
        return best.masked_fill((degrees(edge_index, n) == 0)[:, None], 0)
    source, target = edge_index
    where = target[:, None].expand(-1, states.shape[1])
    empty = states.new_zeros(states.shape)
    return empty.scatter_reduce(0, where, states[source], "amax", include_self=False)


def smoothed(states: Tensor, edge_index: Tensor) -> Tensor:
    """(D + I)^-1/2 (A + I) (D + I)^-1/2 times the states (Kipf, Welling 2017)."""
    root = (degrees(edge_index, len(states)) + 1).rsqrt()[:, None]
    scaled = states * root
    return (summed(scaled, edge_index) + scaled) * root


def spread(states: Tensor, edge_index: Tensor) -> Tensor:
    """D^-1/2 A D^-1/2 times the states (He and others: LightGCN, 2020)."""
    root = degrees(edge_index, len(states)).clamp(min=1).rsqrt()[:, None]
    return summed(states * root, edge_index) * root


def degrees(edge_index: Tensor, n: int) -> Tensor:
    """(n,) float32: how many neighbours each has."""
    return torch.bincount(edge_index[1], minlength=n).float()
