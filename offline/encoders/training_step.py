"""The loss of one training step, whatever the encoder, its heads, and how the people of a step are chosen."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch_geometric.sampler import NodeSamplerInput

from models.graph import Graph
from models.networks.decoders import MlpDecoder
from models.networks.embedder import Embedder
from offline.encoders.config import TrainingConfig
from offline.encoders.inputs import GraphInputs, ProfileTargets
from offline.encoders.losses import in_batch_loss, log_inclusion
from offline.encoders.neighbour_sampler import CsrNeighbourSampler

Rows = NDArray[np.int64]
Learning = Callable[..., tuple[Tensor, Tensor | None]]


class Steps:
    """What the steps of a run share.

    `left` and `right` (m,) are the friendships to learn; `learning` is the model's method of that name, or the same
    compiled. Of the other people of a step, friends known from `known` count as no strangers.
    """

    def __init__(
        self,
        model: Embedder,
        learning: Learning,
        inputs: GraphInputs,
        left: Rows,
        right: Rows,
        known: Graph,
        config: TrainingConfig,
        targets: ProfileTargets,
        seed: int,
    ) -> None:
        self.model, self.learning, self.inputs, self.config = model, learning, inputs, config
        self.left, self.right, self.known = left, right, known
        self.device = inputs.features.device
        self.said = [one.to(self.device) for one in targets.said]
        self.tells_profiles = bool(self.said) and config.profile_weight > 0 and inputs.profile.stop > 0
        self.needs_labels = model.encoder.needs_labels
        self.sampler = None
        if config.fan_outs:
            self.sampler = CsrNeighbourSampler(inputs.graph, config.fan_outs, seed=seed)
            neighbour, person = inputs.edge_index.cpu().numpy()
            self._edges = person * inputs.n + neighbour

    def batch(self, pairs: int) -> None:
        """Says how many friendships a step has."""
        logs = log_inclusion(self.left, self.right, self.inputs.n, pairs)
        self.log_inclusion = logs.to(self.device)

    def losses(self, at: NDArray[np.int64]) -> dict[str, Tensor]:
        """By part the weighted loss of the friendships at these places; their sum is to be lowered."""
        left, right = self.left[at], self.right[at]
        people, places = np.unique(np.concatenate([left, right]), return_inverse=True)
        pairs = torch.from_numpy(places.reshape(2, -1)).to(self.device)
        part, seeds = self._part(people)
        masked = None
        if self.tells_profiles:
            masked = torch.rand(len(part.features), device=self.device) < self.config.masked_share
            hidden = part.features.clone()
            hidden[masked, part.profile] = 0
            part_features = hidden
        else:
            part_features = part.features
        embeddings, own = self.learning(part_features, part.keys, part.edge_index, part.edge_attributes)
        embeddings = embeddings.float()
        told: dict[str, Tensor] = {}
        if own is not None:
            told["own"] = own.float()
        if self.needs_labels:
            of_people = embeddings[seeds]
            told["links"] = self.config.link_weight * in_batch_loss(
                of_people, pairs, people, self.known, self.log_inclusion, self.config.temperature
            )
            if isinstance(self.model.decoder, MlpDecoder):
                told["decoder"] = self._decoder_loss(self.model.decoder, of_people, pairs, people)
        if masked is not None:
            told["profile"] = self.config.profile_weight * self._profile_loss(embeddings, masked, part, seeds)
        return told

    def _part(self, people: Rows) -> tuple[GraphInputs, Tensor]:
        """The graph that a step looks at, and where in it these people stand."""
        if self.sampler is None:
            return self.inputs, torch.from_numpy(people).to(self.device)
        drawn = self.sampler.sample_from_nodes(NodeSamplerInput(input_id=None, node=torch.from_numpy(people)))
        whole, attributes = self.inputs, self.inputs.edge_attributes
        nodes: Tensor = drawn.node
        edge_index = torch.stack([drawn.row, drawn.col])
        if attributes is not None:
            wanted = nodes[edge_index[1]].numpy() * whole.n + nodes[edge_index[0]].numpy()
            attributes = attributes[torch.from_numpy(np.searchsorted(self._edges, wanted)).to(self.device)]
        self._nodes = nodes.to(self.device)
        part = GraphInputs(
            graph=whole.graph,
            features=whole.features[self._nodes],
            profile=whole.profile,
            carried=whole.carried,
            keys=whole.keys[self._nodes],
            edge_index=edge_index.to(self.device),
            edge_attributes=attributes,
        )
        return part, torch.arange(len(people), device=self.device)

    def _profile_loss(self, embeddings: Tensor, masked: Tensor, part: GraphInputs, seeds: Tensor) -> Tensor:
        """What masked people are told to say; of a sampled step those alone whose friends were drawn."""
        if self.sampler is None:
            sampled_viewers = rows = torch.nonzero(masked).squeeze(1)
        else:
            sampled_viewers = seeds[masked[seeds]]
            rows = self._nodes[sampled_viewers]
        return self.model.profile_head.loss(embeddings[sampled_viewers], [one[rows] for one in self.said])

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
    """Embeddings (n, outputs) float32 of everybody, on the CPU, rows L2-normalised."""
    model.eval()
    device = next(model.parameters()).device
    inputs = inputs.to(device)
    embeddings = model(inputs.features, inputs.keys, inputs.edge_index, inputs.edge_attributes)
    return embeddings.float().cpu()  # type: ignore[no-any-return]
