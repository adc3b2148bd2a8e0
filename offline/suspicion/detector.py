"""How little an account fits its neighbourhood, on one scale from 0 to 1."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from structlog.typing import FilteringBoundLogger
from torch import Tensor

from models.graph import Graph
from models.networks.dgi import Dgi, DgiConfig
from models.networks.vgae import Vgae, VgaeConfig
from offline.suspicion.config import SuspicionConfig

Floats = NDArray[np.float64]
FARTHEST = 5.0
"""standard deviations beyond which a feature is as far as it can be"""
LEAST_SPREAD = 1e-6


@dataclass(frozen=True)
class Evidence:
    """What speaks against each of n accounts, three (n,) arrays, higher is worse, each on a scale of its own."""

    reconstruction: Floats
    """how little its features are what those of its friends let expect; for dgi how little it belongs where it is"""
    affinity: Floats
    """less the mean cosine to its friends' embeddings"""
    distance: Floats
    """of its embedding from the centre of its friends'"""


def standardised(profile: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, f) encoded profiles on a common scale, as the detectors read them."""
    spread = np.maximum(profile.std(axis=0), LEAST_SPREAD)
    scaled: NDArray[np.float32] = np.clip((profile - profile.mean(axis=0)) / spread, -FARTHEST, FARTHEST)
    return scaled.astype(np.float32)


def train_detector(
    features: NDArray[np.float32], graph: Graph, config: SuspicionConfig, *, log: FilteringBoundLogger
) -> Vgae | Dgi:
    """The detector fitted to the graph and its own losses alone, without a label, on the CPU.

    One layer: with more, a link farm vouches for itself.
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
            raise TypeError(f"{config.detector} has no loss of its own")
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if epoch % 20 == 0 or epoch == config.epochs:
            log.info("detector_epoch", detector=config.detector, epoch=epoch, loss=round(float(loss.detach()), 4))
    return model.eval()


@torch.no_grad()
def evidence(model: Vgae | Dgi, features: NDArray[np.float32], graph: Graph) -> Evidence:
    """What the detector says against everybody; of no meaning for people without friends."""
    inputs, edges = torch.from_numpy(features), _edges(graph)
    vectors = model(inputs, edges).numpy().astype(np.float64)
    if isinstance(model, Vgae):
        told = model.reconstructed(inputs, edges).numpy().astype(np.float64)
        lengths = np.linalg.norm(told, axis=1) * np.linalg.norm(features, axis=1)
        against = -(told * features).sum(axis=1) / np.maximum(lengths, LEAST_SPREAD)
    else:
        against = -model.agreement(inputs, edges).numpy().astype(np.float64)
    friends = csr_array((np.ones(len(graph.indices)), graph.indices, graph.indptr), shape=(graph.n, graph.n))
    centres = (friends @ vectors) / np.maximum(graph.degrees, 1)[:, None]
    return Evidence(
        reconstruction=against,
        affinity=-(vectors * centres).sum(axis=1),
        distance=np.linalg.norm(vectors - centres, axis=1),
    )


@dataclass(frozen=True)
class Calibration:
    """What is usual among ordinary people with about as many friends."""

    edges: NDArray[np.int64]
    """(b,) the least number of friends of each band"""
    middles: Floats
    """(b, 3) medians of the evidence"""
    spreads: Floats
    """(b, 3) standard deviations, by the median absolute deviation"""
    ordinary: Floats
    """(o,) ascending: the joint evidence of ordinary people"""

    @classmethod
    def fit(
        cls, said: Evidence, degrees: NDArray[np.integer], bands: int, ordinary: NDArray[np.bool_] | None = None
    ) -> "Calibration":
        """Fitted to ordinary people (n,), or to everybody: medians pass over the few who are not.

        Raises ValueError where none of them has a friend.
        """
        used = degrees > 0 if ordinary is None else ordinary & (degrees > 0)
        if not used.any():
            raise ValueError("nobody ordinary has a friend to be compared by")
        edges = np.unique(np.quantile(degrees[used], np.arange(bands) / bands).astype(np.int64))
        values = _stacked(said)
        of = _band(edges, degrees)
        middles, spreads = np.zeros((len(edges), 3)), np.ones((len(edges), 3))
        for band in range(len(edges)):
            members = values[used & (of == band)]
            if len(members):
                middles[band] = np.median(members, axis=0)
                spreads[band] = np.maximum(1.4826 * np.median(np.abs(members - middles[band]), axis=0), LEAST_SPREAD)
        joint = ((values - middles[of]) / spreads[of]).mean(axis=1)
        return cls(edges, middles, spreads, np.sort(joint[used]))

    def scores(self, said: Evidence, degrees: NDArray[np.integer]) -> NDArray[np.float16]:
        """(n,) float16: the share of ordinary people whom less speaks against; 0 for people without friends."""
        of = _band(self.edges, degrees)
        joint = ((_stacked(said) - self.middles[of]) / self.spreads[of]).mean(axis=1)
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
    """(n,) float16, 0–1, of encoded profiles (n, f): how much more suspicious than ordinary people each account is.

    `ordinary` (n,) says who is known to be; None: most are. Raises ValueError where none of them has a friend.
    """
    features = standardised(profile)
    said = evidence(train_detector(features, graph, config, log=log), features, graph)
    return Calibration.fit(said, graph.degrees, config.bands, ordinary).scores(said, graph.degrees)


def _edges(graph: Graph) -> Tensor:
    """(2, m) int64, friend → person."""
    owners = np.repeat(np.arange(graph.n, dtype=np.int64), graph.degrees)
    return torch.from_numpy(np.stack([graph.indices.astype(np.int64), owners]))


def _stacked(said: Evidence) -> Floats:
    return np.stack([said.reconstruction, said.affinity, said.distance], axis=1)


def _band(edges: NDArray[np.int64], degrees: NDArray[np.integer]) -> NDArray[np.int64]:
    """(n,) the band of each number of friends."""
    return np.maximum(np.searchsorted(edges, degrees, side="right") - 1, 0).astype(np.int64)
