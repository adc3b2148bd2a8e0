"""What a person's neighbours are together: the graph as a sparse matrix, sums, maxima, and smoothing.

Edges are (2, m) int64, neighbour in the first row and person in the second; `friends` is a CSR matrix of ones
(targets, sources). Sparse products are computed in float32, whatever the precision around them: no device supports
them in every other one. Over edges that are gathered and scattered one by one, the layers of PyG take 5 to 11 times as
long as over this matrix (5,000 people, 200,000 edges, 128 columns, one thread, forward and backward).
"""

import sys
import tempfile
import warnings
from importlib.util import cache_from_source
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.graph import Graph

_GENERATED = ("_propagate", "_edge_updater")
"""how the names of modules end that PyG writes for its convolutions"""


def edges_of(graph: Graph) -> Tensor:
    """(2, m) int64: neighbour and person of every friendship, both ways, sorted by person and then neighbour."""
    people = np.repeat(np.arange(graph.n, dtype=np.int64), graph.degrees)
    return torch.from_numpy(np.stack([graph.indices.astype(np.int64), people]))


def neighbour_matrix(edge_index: Tensor, targets: int, sources: int) -> Tensor:
    """The edges source → target (2, m) int64 as a CSR matrix of ones, (targets, sources)."""
    source, target = edge_index[0], edge_index[1]
    if target.numel() and bool((target[1:] < target[:-1]).any()):
        target, order = torch.sort(target, stable=True)
        source = source[order]
    indptr = torch.zeros(targets + 1, dtype=torch.int64, device=target.device)
    torch.cumsum(torch.bincount(target, minlength=targets), 0, out=indptr[1:])
    return csr_matrix(indptr, source, targets, sources)


def csr_matrix(indptr: Tensor, indices: Tensor, rows: int, columns: int) -> Tensor:
    """The CSR matrix of ones (rows, columns) with these row pointers and column numbers."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        return torch.sparse_csr_tensor(
            indptr, indices, torch.ones(len(indices), device=indices.device), (rows, columns), check_invariants=False
        )


def summed(states: Tensor, friends: Tensor) -> Tensor:
    """(targets, d) the sum over neighbours of their states (sources, d), zero without neighbours."""
    with torch.autocast(states.device.type, enabled=False):
        total: Tensor = friends @ states.float()
    return total


def largest(states: Tensor, friends: Tensor) -> Tensor:
    """(targets, d) the maximum over neighbours of their states (sources, d), zero without neighbours."""
    counts = degrees(friends)
    if states.device.type == "cpu":
        with torch.autocast("cpu", enabled=False):
            best: Tensor = torch.sparse.mm(friends, states.float(), "amax")
        return best.masked_fill((counts == 0)[:, None], 0)
    target = torch.repeat_interleave(torch.arange(len(counts), device=states.device), counts)
    empty = states.new_zeros((len(counts), states.shape[1]))
    places = target[:, None].expand(-1, states.shape[1])
    return empty.scatter_reduce(0, places, states[friends.col_indices()], "amax", include_self=False)


def smoothed(states: Tensor, friends: Tensor) -> Tensor:
    """(n, d) (D + I)^-1/2 (A + I) (D + I)^-1/2 times the states (n, d) (Kipf, Welling 2017)."""
    root = (degrees(friends).float() + 1).rsqrt()[:, None]
    scaled = states * root
    return (summed(scaled, friends) + scaled) * root


def degrees(friends: Tensor) -> Tensor:
    """(targets,) int64: how many neighbours each has."""
    return friends.crow_indices().diff()


def remove_generated_sources() -> None:
    """Removes the sources that PyG wrote for its convolutions in this process, loaded, and left in the temporary
    directory.
    """
    temporary = Path(tempfile.gettempdir())
    for module in [module for name, module in list(sys.modules.items()) if name.endswith(_GENERATED)]:
        path = getattr(module, "__file__", None)
        if path is not None and Path(path).parent == temporary:
            for one in (path, cache_from_source(path)):
                Path(one).unlink(missing_ok=True)
