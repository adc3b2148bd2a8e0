"""How well detectors find planted fakes, beside what needs no network."""

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from models.features.user_statistics import user_statistics
from models.graph import Graph
from models.schema.event_kinds import EventKind
from models.schema.statistic_names import CLUSTERING
from offline.snapshot.snapshot import Interactions


def plain_evidence(graph: Graph, log: Interactions) -> dict[str, NDArray[np.float64]]:
    """By name, what may be held against each of n people without learning, (n,) each.

    Degree; clustering; and declined, the share of a person's invites that were declined, 0 for who sent none.
    """
    invites = np.bincount(log.user[log.kind == EventKind.INVITE], minlength=graph.n)
    declined = np.bincount(log.other[log.kind == EventKind.DECLINE], minlength=graph.n)
    statistics = user_statistics(graph, np.ones(graph.n, np.float32))
    return {
        "degree": graph.degrees.astype(np.float64),
        "clustering": statistics[:, CLUSTERING].astype(np.float64),
        "declined": declined / np.maximum(invites, 1),
    }


def profile_misfit(features: NDArray[np.float32], graph: Graph) -> NDArray[np.float64]:
    """(n,) less the mean cosine of a person's features (n, f) to those of the friends: a detector without learning."""
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-6)
    owners = np.repeat(np.arange(graph.n), graph.degrees)
    cosines = (unit[owners] * unit[graph.indices]).sum(axis=1)
    misfit: NDArray[np.float64] = -np.bincount(owners, cosines, graph.n) / np.maximum(graph.degrees, 1)
    return misfit


def separation(scores: NDArray[np.floating], fakes: NDArray[np.bool_], *, either_way: bool = False) -> float:
    """AUROC: how likely a fake has the higher score; `either_way` for evidence whose direction is not known."""
    area = float(roc_auc_score(fakes, scores))
    return max(area, 1 - area) if either_way else area
