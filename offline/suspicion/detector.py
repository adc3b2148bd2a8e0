"""Scores from 0 to 1 how little an account fits its neighbourhood."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from structlog.typing import FilteringBoundLogger
from torch import Tensor

from models.arrays import Float64s
from models.graph import Graph
from models.networks.config import DgiConfig, VgaeConfig
from models.networks.dgi import Dgi
from models.networks.vgae import Vgae
from offline.suspicion.config import SuspicionConfig
from offline.training.repeatable import repeatable

FARTHEST = 5.0
"""standard deviations at which standardised features are clipped"""
LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class Evidence:
    """Three measures of misfit of n accounts, three (n,) arrays, higher is worse, each on its own scale."""

    reconstruction: Float64s
    """vgae: negative cosine of the features to those reconstructed from its friends; dgi: negative agreement with its
    graph"""
    dissimilarity: Float64s
    """minus the mean dot product with its friends' embeddings"""
    distance: Float64s
    """distance of its embedding from the mean of its friends'"""


def standardised(profile: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, f) encoded profiles as z-scores, clipped at FARTHEST."""
    spread = np.maximum(profile.std(axis=0), LEAST_SPREAD)
    scaled: NDArray[np.float32] = np.clip((profile - profile.mean(axis=0)) / spread, -FARTHEST, FARTHEST)
    return scaled.astype(np.float32)


@repeatable()
def train_detector(
    features: NDArray[np.float32], graph: Graph, config: SuspicionConfig, *, log: FilteringBoundLogger
) -> Vgae | Dgi:
    """The detector trained on the graph by its own loss alone, without labels, on the CPU.

    One layer: with more, a link farm supports itself.
    """
    torch.manual_seed(config.seed)
    shape = {"inputs": features.shape[1], "hidden": config.width, "outputs": config.width, "layers": 1}
    model: Vgae | Dgi = (
        Vgae(VgaeConfig.model_validate(shape)) if config.detector == "vgae" else Dgi(DgiConfig.model_validate(shape))
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    inputs, edges = torch.from_numpy(features), _edges(graph)
    for epoch in range(1, config.epochs + 1):
        loss = model.learning(inputs, edges, None)[1]
        if loss is None:
            raise TypeError(f"{config.detector} has no loss of its own: use vgae or dgi")
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if epoch % 20 == 0 or epoch == config.epochs:
            log.info("detector_epoch", detector=config.detector, epoch=epoch, loss=round(float(loss.detach()), 4))
    return model.eval()


@torch.no_grad()
def evidence(model: Vgae | Dgi, features: NDArray[np.float32], graph: Graph) -> Evidence:
    """The evidence on every account; meaningless for users without friends."""
    inputs, edges = torch.from_numpy(features), _edges(graph)
    vectors = model(inputs, edges).numpy().astype(np.float64)
    if isinstance(model, Vgae):
        reconstructed = model.reconstructed(inputs, edges).numpy().astype(np.float64)
        lengths = np.linalg.norm(reconstructed, axis=1) * np.linalg.norm(features, axis=1)
        misfit = -(reconstructed * features).sum(axis=1) / np.maximum(lengths, LEAST_SPREAD)
    else:
        misfit = -model.agreement(inputs, edges).numpy().astype(np.float64)
    friends = csr_array((np.ones(len(graph.indices)), graph.indices, graph.indptr), shape=(graph.n, graph.n))
    centres = (friends @ vectors) / np.maximum(graph.degrees, 1)[:, None]
    return Evidence(
        reconstruction=misfit,
        dissimilarity=-(vectors * centres).sum(axis=1),
        distance=np.linalg.norm(vectors - centres, axis=1),
    )


@dataclass(frozen=True)
class Calibration:
    """Distribution of the evidence among ordinary users with about as many friends."""

    edges: NDArray[np.int64]
    """(b,) least number of friends of each band"""
    middles: Float64s
    """(b, 3) medians of the evidence"""
    spreads: Float64s
    """(b, 3) standard deviations, by the median absolute deviation"""
    ordinary: Float64s
    """(o,) ascending: joint evidence of ordinary users"""

    @classmethod
    def fit(
        cls, found: Evidence, degrees: NDArray[np.integer], bands: int, ordinary: NDArray[np.bool_] | None = None
    ) -> "Calibration":
        """Fits to ordinary users (n,), or to all: medians are robust to the few who are not ordinary.

        Raises ValueError if none of them has a friend.
        """
        used = degrees > 0 if ordinary is None else ordinary & (degrees > 0)
        if not used.any():
            raise ValueError("no ordinary user has a friend: the detector needs friendships to compare by")
        edges = np.unique(np.quantile(degrees[used], np.arange(bands) / bands).astype(np.int64))
        values = _stacked(found)
        of = _band(edges, degrees)
        middles, spreads = np.zeros((len(edges), 3)), np.ones((len(edges), 3))
        for band in range(len(edges)):
            members = values[used & (of == band)]
            if len(members):
                middles[band] = np.median(members, axis=0)
                spreads[band] = np.maximum(1.4826 * np.median(np.abs(members - middles[band]), axis=0), LEAST_SPREAD)
        joint = ((values - middles[of]) / spreads[of]).mean(axis=1)
        return cls(edges, middles, spreads, np.sort(joint[used]))

    def scores(self, found: Evidence, degrees: NDArray[np.integer]) -> NDArray[np.float16]:
        """(n,) float16: the share of ordinary users with less joint evidence; 0 for users without friends."""
        of = _band(self.edges, degrees)
        joint = ((_stacked(found) - self.middles[of]) / self.spreads[of]).mean(axis=1)
        below = np.searchsorted(self.ordinary, joint, side="left") / len(self.ordinary)
        return np.where(degrees > 0, below, 0).astype(np.float16)


def suspicion(
    profile: NDArray[np.float32],
    graph: Graph,
    config: SuspicionConfig,
    *,
    log: FilteringBoundLogger,
    ordinary: NDArray[np.bool_] | None = None,
) -> NDArray[np.float16]:
    """(n,) float16, 0–1, from encoded profiles (n, f): how much more suspicious than ordinary users each account is.

    `ordinary` (n,) marks users known to be ordinary; None: most are. Raises ValueError if none of them has a friend.
    """
    features = standardised(profile)
    found = evidence(train_detector(features, graph, config, log=log), features, graph)
    return Calibration.fit(found, graph.degrees, config.bands, ordinary).scores(found, graph.degrees)


def _edges(graph: Graph) -> Tensor:
    """(2, m) int64, friend → user."""
    owners = np.repeat(np.arange(graph.n, dtype=np.int64), graph.degrees)
    return torch.from_numpy(np.stack([graph.indices.astype(np.int64), owners]))


def _stacked(found: Evidence) -> Float64s:
    return np.stack([found.reconstruction, found.dissimilarity, found.distance], axis=1)


def _band(edges: NDArray[np.int64], degrees: NDArray[np.integer]) -> NDArray[np.int64]:
    """(n,) the band of each number of friends."""
    return np.maximum(np.searchsorted(edges, degrees, side="right") - 1, 0).astype(np.int64)
