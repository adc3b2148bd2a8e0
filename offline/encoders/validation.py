"""How well embeddings rank friendships that were not trained on, fast enough for every epoch."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.graph import Graph
from offline.encoders.losses import known_among


class HeldOutRanking:
    """Ranks each end of every held-out pair for the other, among a fixed random sample of people.

    People count alike, however many friendships they have, as in the quality that a user meets. At most `candidates`
    are drawn beside the ends of the pairs; a stranger with an equal score counts for half a place, so that a collapsed
    encoder scores as chance.
    """

    def __init__(
        self,
        known: Graph,
        pairs: tuple[NDArray[np.int64], NDArray[np.int64]],
        *,
        seed: int,
        candidates: int = 5_000,
    ) -> None:
        left, right = np.concatenate(pairs), np.concatenate(pairs[::-1])
        self.pairs = len(pairs[0])
        self._shares = 1.0 / np.maximum(known.degrees[left], 1)
        drawn = np.random.default_rng(seed).permutation(known.n)[:candidates]
        self.people = np.unique(np.concatenate([left, right, drawn]))
        """(p,) int64 rows of the people whose embeddings are needed"""
        self._anchors, self._friends = np.searchsorted(self.people, left), np.searchsorted(self.people, right)
        self._known = known

    @torch.no_grad()
    def metrics(self, embeddings: Tensor) -> dict[str, float]:
        """Gain, mean reciprocal rank, recall at 20 and area under the curve, each 0-1, by the inner products of the
        embeddings (p, d) of `people`; nothing without pairs.

        The gain is the mean of 1 / log2(1 + rank): less at the mercy of a few first places than the reciprocal rank.
        """
        if not self.pairs:
            return {}
        embeddings = embeddings.cpu()
        ranks, areas = [], []
        for start in range(0, len(self._anchors), 256):
            anchors, friends = self._anchors[start : start + 256], self._friends[start : start + 256]
            scores = (embeddings[anchors] @ embeddings.T).numpy()
            wanted = scores[np.arange(len(anchors)), friends][:, None]
            strangers = ~known_among(self._known, self.people[anchors], self.people)
            above = ((scores > wanted) & strangers).sum(1) + 0.5 * ((scores == wanted) & strangers).sum(1)
            ranks.append(1 + above)
            areas.append(1 - above / np.maximum(strangers.sum(1), 1))
        rank, area = np.concatenate(ranks), np.concatenate(areas)
        measured = {"gain": 1 / np.log2(1 + rank), "mrr": 1 / rank, "recall_at_20": rank <= 20, "auc": area}
        return {name: float(np.average(values, weights=self._shares)) for name, values in measured.items()}
