"""Training GraphSAGE on friendships hidden from its message passing."""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from structlog.typing import FilteringBoundLogger
from torch_geometric.data import Data
from torch_geometric.loader import LinkLoader
from torch_geometric.sampler import NegativeSampling

from models.graph import Graph
from models.networks.graphsage import GraphSage, GraphSageConfig, with_positions_of_the_placed
from offline.encoders.graphsage_validation import Validation
from offline.encoders.losses import in_batch_loss, log_inclusion, random_negatives_loss
from offline.encoders.neighbour_sampler import CsrNeighbourSampler


class SageTrainingConfig(BaseModel):
    """How the encoder learns; its own shape is `hidden`, `outputs`, `layers` and `dropout` of `GraphSageConfig`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hidden: int = Field(default=128, ge=1)
    """width between the layers"""

    outputs: int = Field(default=128, ge=1)
    """dimension of an embedding"""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """share of hidden units silenced in a training step"""

    fan_outs: tuple[int, ...] = (15, 10)
    """friends drawn per person in each hop; their number is the number of layers"""

    loss: Literal["in_batch", "random_negatives"] = "in_batch"
    """softmax over the people of the batch, or binary cross-entropy on random pairs"""

    temperature: float = Field(default=0.07, gt=0)
    """what cosines are divided by before the softmax or the sigmoid"""

    negatives_per_pair: int = Field(default=5, ge=1)
    """random pairs beside each friendship; `random_negatives` alone"""

    batch_pairs: int = Field(default=1024, ge=1)
    """friendships a step"""

    learning_rate: float = Field(default=1e-3, gt=0)
    """highest step of AdamW, reached after a twentieth of the steps and falling by a cosine"""

    weight_decay: float = Field(default=1e-4, ge=0)
    """pull of the weights towards zero"""

    gradient_norm: float = Field(default=1.0, gt=0)
    """longest gradient; a longer one is shortened to it"""

    newcomer_share: float = Field(default=0.12, ge=0, lt=1)
    """share of people who, in a step, lose their friends and the structural columns, as a newcomer has neither"""

    validation_share: float = Field(default=0.1, gt=0, lt=1)
    """share of the friendships kept for early stopping, 2,000 at most"""

    max_epochs: int = Field(default=100, ge=1)
    """passes over the friendships"""

    max_steps: int = Field(default=300, ge=1)
    """steps, whatever the epochs"""

    max_seconds: float | None = Field(default=None, gt=0)
    """seconds after which training stops with the best weights so far; none: 45, and 5 more per 1,000 users up to
    half an hour"""

    evaluations: int = Field(default=20, ge=1)
    """times the validation pairs are ranked over the whole run"""

    patience: int = Field(default=10, ge=1)
    """evaluations without a better gain (see `Validation`) before training stops"""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """where to train; auto takes a GPU where there is one"""

    seed: int = 0
    """of weights, batches, neighbourhoods and negatives"""


@dataclass(frozen=True)
class TrainedSage:
    """The encoder with the best weights seen, on the CPU, and how it came there."""

    model: GraphSage
    history: list[dict[str, float]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)


def train_graphsage(
    features: NDArray[np.float32],
    message_graph: Graph,
    positive_pairs: tuple[NDArray[np.int32], NDArray[np.int32]],
    config: SageTrainingConfig,
    *,
    structural_columns: slice,
    carried_columns: slice | None = None,
    log: FilteringBoundLogger,
) -> TrainedSage:
    """An encoder that ranks the friends named by `positive_pairs`, two (m,) int32, high.

    `features` is (n, f) float32, made from `message_graph` and profiles alone; its `structural_columns` are those
    that come from the graph, and `carried_columns` (default: the same) those that the embedding begins as. Without
    pairs the encoder stays as it begins. Two runs with the same arguments on the same device type and thread count give
    the same weights, unless `max_seconds` cuts in. Raises ValueError where a pair is also an edge of `message_graph`:
    the encoder would read the answer off.
    """
    left, right = (np.asarray(side, dtype=np.int64) for side in positive_pairs)
    refuse_leaks(message_graph, left, right)
    device = chosen_device(config.device)
    carried = structural_columns if carried_columns is None else carried_columns
    shape = GraphSageConfig(
        inputs=features.shape[1],
        hidden=config.hidden,
        outputs=config.outputs,
        layers=len(config.fan_outs),
        dropout=config.dropout,
        structural_columns=(structural_columns.start, structural_columns.stop),
        carried_columns=(carried.start, carried.stop),
    )
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(config.seed)
        model = GraphSage(shape).to(device)
        if not len(left):
            log.warning("sage_untrained", reason="no friendship to learn from")
            return TrainedSage(model.cpu().eval())
        return _Run(features, message_graph, left, right, model, config, log).finished()


def refuse_leaks(message_graph: Graph, left: NDArray[np.int64], right: NDArray[np.int64]) -> None:
    """Raises ValueError where a label pair is an edge of the message-passing graph."""
    leaked = message_graph.contains(left, right) | message_graph.contains(right, left)
    if leaked.any():
        first = int(np.flatnonzero(leaked)[0])
        raise ValueError(
            f"{int(leaked.sum())} of {len(left)} label pairs are edges of the message-passing graph, "
            f"the first between rows {left[first]} and {right[first]}: take them out of it"
        )


def chosen_device(name: str) -> torch.device:
    """The device of that name; auto is a GPU where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


class _Run:
    """One training run: what its steps share."""

    def __init__(
        self,
        features: NDArray[np.float32],
        message_graph: Graph,
        left: NDArray[np.int64],
        right: NDArray[np.int64],
        model: GraphSage,
        config: SageTrainingConfig,
        log: FilteringBoundLogger,
    ) -> None:
        self.model, self.config, self.log = model, config, log
        self.device = next(model.parameters()).device
        self.structural_columns = slice(*model.config.structural_columns)
        order = np.random.default_rng(config.seed).permutation(len(left))
        kept = min(round(len(left) * config.validation_share), 2_000, len(left) - 1)
        self.left, self.right = left[order[kept:]], right[order[kept:]]
        # pairs kept for validation count as strangers, like every friendship to come: spared as known, they would rise
        self.known = _joined(message_graph, self.left, self.right)
        self.sampler = CsrNeighbourSampler(message_graph, config.fan_outs, seed=config.seed)
        placed = with_positions_of_the_placed(
            torch.from_numpy(features), message_graph, model.config.structural_columns
        )
        self.table = Data(x=placed, edge_index=torch.empty((2, 0), dtype=torch.long))
        held_out = (left[order[:kept]], right[order[:kept]])
        everything = _joined(message_graph, left, right)
        self.validation = Validation(self.table, self.sampler, everything, held_out, seed=config.seed)
        batch = min(config.batch_pairs, len(self.left))
        self.steps = min(config.max_steps, config.max_epochs * math.ceil(len(self.left) / batch))
        self.log_inclusion = log_inclusion(self.left, self.right, message_graph.n, batch).to(self.device)
        self.optimizer = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        warm_up = max(1, self.steps // 20)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda step: min(1.0, (step + 1) / warm_up) * 0.5 * (1 + math.cos(math.pi * step / self.steps)),
        )

    def finished(self) -> TrainedSage:
        """The run to its end: the best weights, one line of history per evaluation, the best one's metrics.

        History begins with the encoder as it starts, which is never the one returned: it may rank the placed well, but
        knows nothing of newcomers.
        """
        begun, every = time.monotonic(), max(1, self.steps // self.config.evaluations)
        allowed = self.config.max_seconds or min(45 + 0.005 * self.known.n, 1_800.0)
        start = {"step": 0.0, "seconds": 0.0, **self.validation.metrics(self.model)}
        best, metrics = self.model.state_dict(), start
        history, losses, since_best = [start], list[float](), 0
        self.log.info("sage_training_begins", steps=self.steps, pairs=len(self.left), allowed_s=round(allowed), **start)
        for step, batch in enumerate(self._batches(), start=1):
            losses.append(self._step(batch))
            late = time.monotonic() - begun > allowed
            if step % every and step < self.steps and not late:
                continue
            line = {"step": float(step), "seconds": time.monotonic() - begun, "loss": float(np.mean(losses))}
            line |= self.validation.metrics(self.model)
            history.append(line)
            losses.clear()
            self.log.info("sage_training", **{name: round(one, 4) for name, one in line.items()})
            since_best += 1
            if metrics is start or not self.validation.pairs or line["gain"] > metrics["gain"]:
                best, metrics, since_best = copy.deepcopy(self.model.state_dict()), line, 0
            if step >= self.steps or late or since_best >= self.config.patience:
                break
        self.model.load_state_dict(best)
        return TrainedSage(self.model.cpu().eval(), history, metrics)

    def _batches(self) -> Iterator[Data]:
        negatives = None
        if self.config.loss == "random_negatives":
            negatives = NegativeSampling("binary", self.config.negatives_per_pair)
        loader = LinkLoader(
            self.table,
            self.sampler,
            edge_label_index=torch.from_numpy(np.stack([self.left, self.right])),
            neg_sampling=negatives,
            batch_size=min(self.config.batch_pairs, len(self.left)),
            shuffle=True,
            generator=torch.Generator().manual_seed(self.config.seed),
        )
        while True:
            yield from loader

    def _step(self, batch: Data) -> float:
        self.model.train()
        self._make_newcomers(batch)
        seeds = batch.n_id[: batch.num_sampled_nodes[0]]
        batch = batch.to(self.device)
        embeddings = self.model(batch.x, batch.edge_index, batch.num_sampled_nodes, batch.num_sampled_edges)
        if self.config.loss == "in_batch":
            loss = in_batch_loss(
                embeddings,
                batch.edge_label_index,
                seeds.numpy(),
                self.known,
                self.log_inclusion,
                self.config.temperature,
            )
        else:
            loss = random_negatives_loss(
                embeddings, batch.edge_label_index, batch.edge_label, seeds.numpy(), self.known, self.config.temperature
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_norm)
        self.optimizer.step()
        self.schedule.step()
        return loss.item()

    def _make_newcomers(self, batch: Data) -> None:
        """Takes friends and structural columns from a random share of the seeds, in place."""
        seeds = batch.num_sampled_nodes[0]
        chosen = torch.rand(seeds) < self.config.newcomer_share
        batch.x[:seeds][chosen, self.structural_columns] = 0.0
        first = batch.num_sampled_edges[0]
        kept = torch.ones(batch.edge_index.shape[1], dtype=torch.bool)
        kept[:first] = ~chosen[batch.edge_index[1, :first]]
        batch.edge_index = batch.edge_index[:, kept]
        batch.num_sampled_edges = [int(kept[:first].sum()), *batch.num_sampled_edges[1:]]


def _joined(graph: Graph, left: NDArray[np.int64], right: NDArray[np.int64]) -> Graph:
    """The graph with these pairs added."""
    first, second = graph.pairs()
    return Graph.from_pairs(graph.n, np.concatenate([first, left]), np.concatenate([second, right]))
