"""The losses of a batch: its pairs must score higher than its strangers, among whom known friends do not count."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.graph import Graph
from models.kernels.numba_cache import compiled


def in_batch_loss(
    embeddings: Tensor,
    pairs: Tensor,
    people: NDArray[np.int64],
    known: Graph,
    log_inclusion: Tensor,
    temperature: float,
) -> Tensor:
    """Softmax cross-entropy of each pair's friend among all people of the batch, from both ends.

    `embeddings` (u, d) are of `people` (u,), each once; `pairs` (2, m) number into them. From each score the
    logarithm of the chance to be in the batch is subtracted: the popular are in every batch, and would be pushed
    down (Bengio, Senécal 2008; Yi and others 2019). Of the other candidates those that are the anchor or a known
    friend of the anchor do not count.
    """
    anchors, friends = torch.cat([pairs[0], pairs[1]]), torch.cat([pairs[1], pairs[0]])
    excluded = torch.from_numpy(known_among(known, people[anchors.cpu().numpy()], people)).to(embeddings.device)
    excluded[torch.arange(len(anchors), device=embeddings.device), friends] = False
    scores = embeddings[anchors] @ embeddings.T / temperature - log_inclusion[torch.from_numpy(people)]
    return functional.cross_entropy(scores.masked_fill(excluded, -torch.inf), friends)


def random_negatives_loss(
    embeddings: Tensor,
    pairs: Tensor,
    labels: Tensor,
    people: NDArray[np.int64],
    known: Graph,
    temperature: float,
) -> Tensor:
    """Binary cross-entropy of each pair's scaled cosine; known friendships and self-pairs are no negatives.

    `labels` (m,) is 1 for a friendship and 0 for a random pair. The cosine is moved by a half, so that strangers
    (cosine about zero) are improbable rather than a coin's toss.
    """
    first, second = people[pairs[0].cpu().numpy()], people[pairs[1].cpu().numpy()]
    accidental = torch.from_numpy(known.contains(first, second) | (first == second)).to(embeddings.device)
    counted = (labels > 0) | ~accidental
    cosines = (embeddings[pairs[0]] * embeddings[pairs[1]]).sum(dim=1)
    losses = functional.binary_cross_entropy_with_logits((cosines - 0.5) / temperature, labels, reduction="none")
    return losses[counted].mean()


def log_inclusion(left: NDArray[np.int64], right: NDArray[np.int64], n: int, batch_pairs: int) -> Tensor:
    """Logarithm of each person's chance to be in a batch of so many of the pairs, (n,) float32."""
    ends = np.bincount(np.concatenate([left, right]), minlength=n)
    share = np.minimum(ends / max(len(left), 1), 1.0)
    chance = -np.expm1(batch_pairs * np.log1p(-np.minimum(share, 1 - 1e-9)))
    return torch.from_numpy(np.log(np.maximum(chance, 1e-9)).astype(np.float32))


def known_among(known: Graph, anchors: NDArray[np.int64], candidates: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each of `candidates` (u,), all different, is the anchor or their friend, (m, u) bool."""
    place = np.full(known.n, -1, dtype=np.int64)
    place[candidates] = np.arange(len(candidates))
    return _known_among(known.indptr, known.indices, anchors.astype(np.int64), place, len(candidates))  # type: ignore[no-any-return]


@compiled()
def _known_among(indptr, indices, anchors, place, width):  # type: ignore[no-untyped-def]
    known = np.zeros((len(anchors), width), np.bool_)
    for number, anchor in enumerate(anchors):
        if place[anchor] >= 0:
            known[number, place[anchor]] = True
        for at in range(indptr[anchor], indptr[anchor + 1]):
            column = place[indices[at]]
            if column >= 0:
                known[number, column] = True
    return known
