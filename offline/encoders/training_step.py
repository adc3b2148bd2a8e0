"""The loss of one training step, for every encoder and head, over the whole graph or sampled neighbourhoods."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch_geometric.sampler import NodeSamplerInput

from models.networks.decoders import MlpDecoder
from models.networks.embedder import Embedder
from models.networks.graphsage import GraphSage, Hops
from offline.encoders.config import TrainingConfig
from offline.encoders.inputs import GraphInputs
from offline.encoders.labels import Labels, Rows
from offline.encoders.losses import in_batch_loss, log_inclusion, random_negatives_loss
from offline.encoders.neighbour_sampler import CsrNeighbourSampler
from offline.training.processes import ALONE, Processes

_VALIDATED_AT_ONCE = 2_048
"""people whose sampled neighbourhoods are embedded at once"""

Learning = Callable[..., tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class _Part:
    """The people and friendships that a step reads: the whole graph, or a sampled neighbourhood."""

    features: Tensor
    keys: Tensor
    edge_index: Tensor
    edge_attributes: Tensor | None
    rows: Tensor | None = None
    """(u,) rows of these people, the seeds first; None: all people"""
    hops: Hops | None = None
    """the order of a sampled neighbourhood, for an encoder that reads it"""


class Steps:
    """What the steps of a run share; `learning` is the model's method of that name, or the same compiled.

    Of a step's friendships each process has its own part, and of the people of a sampled step as well: it embeds these,
    and all embeddings are exchanged, so that every friendship is told from the people of the whole step.
    """

    def __init__(
        self,
        model: Embedder,
        learning: Learning,
        inputs: GraphInputs,
        labels: Labels,
        config: TrainingConfig,
        seed: int,
        processes: Processes = ALONE,
    ) -> None:
        self.processes = processes
        self.model, self.learning, self.inputs, self.config = model, learning, inputs, config
        (self.left, self.right), self.known = labels.training, labels.known
        self.device = inputs.features.device
        self.profile_labels = [one.to(self.device) for one in inputs.targets.labels]
        self.predicts_profiles = bool(self.profile_labels) and config.profile_weight > 0 and inputs.profile.stop > 0
        self.needs_labels = model.encoder.needs_labels
        self.reads_hops = isinstance(model.encoder, GraphSage)
        self.sampler = None
        if config.fan_outs:
            self.sampler = CsrNeighbourSampler(inputs.graph, config.fan_outs, seed=seed)
            if inputs.edge_attributes is not None:
                neighbour, person = inputs.edge_index.cpu().numpy()
                self._edges = person * inputs.n + neighbour

    def batch(self, pairs: int) -> None:
        """Sets how many friendships a step has."""
        logs = log_inclusion(self.left, self.right, self.inputs.n, pairs)
        self.log_inclusion = logs.to(self.device)

    def losses(self, at: NDArray[np.int64]) -> dict[str, Tensor]:
        """By part the weighted loss of the friendships at these places; their sum is to be lowered.

        Of several processes each has the loss of its own friendships, and the mean over processes is that of all.
        """
        # the pairs of the step and the people in them
        part_of_pairs, weight = self.processes.own(len(at)), self.processes.weight(len(at))
        if self.config.loss == "random_negatives":  # a pair's loss is its own, whoever else is in the step
            at, part_of_pairs = at[part_of_pairs], slice(None)
        sides, labels = np.stack([self.left[at], self.right[at]]), np.ones(len(at), np.float32)
        if self.config.loss == "random_negatives":
            drawn = torch.randint(self.inputs.n, (2, len(at) * self.config.negatives_per_pair)).numpy()
            sides, labels = np.concatenate([sides, drawn], axis=1), np.append(labels, np.zeros(drawn.shape[1], "f4"))
        people, places = np.unique(sides, return_inverse=True)
        pairs = torch.from_numpy(places.reshape(2, -1)[:, part_of_pairs]).to(self.device)

        # their embeddings, some as new users and some with their profile masked
        is_shared = self.sampler is not None and self.config.loss == "in_batch"
        part, seeds = self._part(people[self.processes.own(len(people))] if is_shared else people)
        part, masked = self._with_newcomers(part, seeds), None
        if self.predicts_profiles:
            masked = torch.rand(len(part.features), device=self.device) < self.config.masked_share
            hidden = part.features.clone()
            hidden[masked, self.inputs.profile] = 0
            part = replace(part, features=hidden)
        read = part.features, part.keys, part.edge_index, part.edge_attributes
        embeddings, own = self.learning(*read) if part.hops is None else self.learning(*read, part.hops)
        embeddings = embeddings.float()

        # what is to be lowered
        losses: dict[str, Tensor] = {}
        if own is not None:
            losses["own"] = own.float()
        if self.needs_labels:
            of_people, temperature = embeddings[seeds], self.config.temperature
            if is_shared:
                of_people = self.processes.whole_to_learn(of_people, len(people))
            if not weight:
                loss = of_people.sum()
            elif self.config.loss == "in_batch":
                loss = in_batch_loss(of_people, pairs, people, self.known, self.log_inclusion, temperature)
            else:
                wanted = torch.from_numpy(labels).to(self.device)
                loss = random_negatives_loss(of_people, pairs, wanted, people, self.known, temperature)
            losses["links"] = self.config.link_weight * loss * weight
            if isinstance(self.model.decoder, MlpDecoder):
                told = pairs[:, : len(at)]
                losses["decoder"] = self._decoder_loss(self.model.decoder, of_people, told, people) * weight
        if masked is not None:
            losses["profile"] = self.config.profile_weight * self._profile_loss(embeddings, masked, part, seeds)
        return losses

    @torch.no_grad()
    def embed(self, people: Rows) -> Tensor:
        """Embeddings (p, outputs) float32 of these people, on the CPU; from sampled neighbourhoods if steps are.

        Of several processes each embeds its own part of the people, and all return those of everybody.
        """
        if self.sampler is None:
            return embed(self.model, self.inputs)[torch.from_numpy(people)]
        self.model.eval()
        own, made = people[self.processes.own(len(people))], list[Tensor]()
        for start in range(0, len(own), _VALIDATED_AT_ONCE):
            part, seeds = self._part(own[start : start + _VALIDATED_AT_ONCE])
            read = part.features, part.keys, part.edge_index, part.edge_attributes
            embeddings = self.model(*read)[seeds] if part.hops is None else self.model.learning(*read, part.hops)[0]
            made.append(embeddings.float().cpu())
        width = self.model.config.encoder.outputs
        return self.processes.whole(torch.cat(made) if made else torch.empty(0, width), len(people))

    def _part(self, people: Rows) -> tuple[_Part, Tensor]:
        """The graph that a step reads, and the places of these people in it."""
        whole = self.inputs
        if self.sampler is None:
            part = _Part(whole.features, whole.keys, whole.edge_index, whole.edge_attributes)
            return part, torch.from_numpy(people).to(self.device)
        drawn = self.sampler.sample_from_nodes(NodeSamplerInput(input_id=None, node=torch.from_numpy(people)))
        edge_index, attributes = torch.stack([drawn.row, drawn.col]), whole.edge_attributes
        if attributes is not None:
            wanted = drawn.node[edge_index[1]].numpy() * whole.n + drawn.node[edge_index[0]].numpy()
            attributes = attributes[torch.from_numpy(np.searchsorted(self._edges, wanted)).to(self.device)]
        rows = drawn.node.to(self.device)
        part = _Part(
            features=whole.features[rows],
            keys=whole.keys[rows],
            edge_index=edge_index.to(self.device),
            edge_attributes=attributes,
            rows=rows,
            hops=Hops(drawn.num_sampled_nodes, drawn.num_sampled_edges) if self.reads_hops else None,
        )
        return part, torch.arange(len(people), device=self.device)

    def _with_newcomers(self, part: _Part, seeds: Tensor) -> _Part:
        """The part in which a random share of the seeds has neither friends nor columns that come from the graph."""
        if not self.config.newcomer_share:
            return part
        chosen = torch.zeros(len(part.features), dtype=torch.bool, device=self.device)
        chosen[seeds] = torch.rand(len(seeds), device=self.device) < self.config.newcomer_share
        features, kept = part.features.clone(), ~chosen[part.edge_index[1]]
        start, end = self.inputs.structural
        features[chosen, start:end] = 0
        hops = part.hops
        if hops is not None:  # friends of seeds are drawn in the first hop
            hops = Hops(hops.nodes, [int(kept[: hops.edges[0]].sum()), *hops.edges[1:]])
        attributes = None if part.edge_attributes is None else part.edge_attributes[kept]
        edge_index = part.edge_index[:, kept]
        return replace(part, features=features, edge_index=edge_index, edge_attributes=attributes, hops=hops)

    def _profile_loss(self, embeddings: Tensor, masked: Tensor, part: _Part, seeds: Tensor) -> Tensor:
        """The loss of masked people's profiles; in a sampled step only of its seeds, whose friends were drawn."""
        if part.rows is None:
            places = rows = torch.nonzero(masked).squeeze(1)
        else:
            places = seeds[masked[seeds]]
            rows = part.rows[places]
        return self.model.profile_head.loss(embeddings[places], [one[rows] for one in self.profile_labels])

    def _decoder_loss(self, decoder: MlpDecoder, embeddings: Tensor, pairs: Tensor, people: Rows) -> Tensor:
        """Softmax of each friend among people drawn from the step, known friends left out."""
        count = decoder.config.negatives
        anchors, friends = torch.cat([pairs[0], pairs[1]]), torch.cat([pairs[1], pairs[0]])
        others = torch.randint(len(people), (len(anchors), count), device=self.device)
        first, second = people[anchors.cpu().numpy()][:, None], people[others.cpu().numpy()]
        excluded = torch.from_numpy(self.known.contains(first, second) | (first == second)).to(self.device)
        candidates = torch.cat([friends[:, None], others], dim=1)
        scores = decoder(embeddings[anchors][:, None, :], embeddings[candidates])
        scores = torch.cat([scores[:, :1], scores[:, 1:].masked_fill(excluded, -torch.inf)], dim=1)
        wanted = torch.zeros(len(anchors), dtype=torch.int64, device=self.device)
        return decoder.config.weight * functional.cross_entropy(scores, wanted)


@torch.no_grad()
def embed(model: Embedder, inputs: GraphInputs) -> Tensor:
    """Embeddings (n, outputs) float32 of all people, on the CPU, rows L2-normalised."""
    model.eval()
    device = next(model.parameters()).device
    inputs = inputs.to(device)
    embeddings = model(inputs.features, inputs.keys, inputs.edge_index, inputs.edge_attributes)
    return embeddings.float().cpu()  # type: ignore[no-any-return]
