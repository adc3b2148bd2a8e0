"""The trainer of every encoder, with any identity and heads; a resumed run gives the weights of a whole one."""

import copy
import hashlib
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from structlog.typing import FilteringBoundLogger
from torch.optim.lr_scheduler import ReduceLROnPlateau

from models.networks import checkpoint
from models.networks.embedder import Embedder, EmbedderConfig
from models.networks.graphsage import GraphSage
from models.system import files
from offline.encoders.batch_size import kept_bytes, largest_batch
from offline.encoders.config import TrainingConfig
from offline.encoders.device import (
    autocast,
    chosen_device,
    compiled,
    free_bytes,
    synchronise,
)
from offline.encoders.inputs import GraphInputs
from offline.encoders.labels import Labels, Rows
from offline.encoders.loss_curve import write_curve
from offline.encoders.training_step import Steps
from offline.encoders.validation import HeldOutRanking
from offline.training.processes import ALONE, Processes
from offline.training.repeatable import repeatable
from offline.training.resume import RunState, read_state


@dataclass(frozen=True)
class RunOutput:
    """What a run reports to, and the directory that it writes."""

    log: FilteringBoundLogger
    directory: Path | None = None
    """takes the checkpoints best, last and epoch-N, the loss curve, and the state that a killed run resumes from"""
    epoch_done: Callable[[RunState], None] = lambda state: None
    """called after each epoch"""
    state: Path | None = None
    """directory that takes the state alone"""

    @property
    def resumes_from(self) -> Path | None:
        """The directory of the state; None: a killed run begins again."""
        return self.directory or self.state


@dataclass(frozen=True)
class Trained:
    """The embedder with the best weights seen, in evaluation mode on the CPU, and how it came there."""

    model: Embedder
    metrics: dict[str, float]
    """of the best epoch"""
    history: list[dict[str, float]]
    """a line for each epoch"""
    seconds: float
    """that training took"""
    batch_pairs: int
    """friendships of a step"""
    memory_mb: float
    """what a step keeps for its backward pass, beside weights, gradients and moments; on CUDA the peak allocation"""
    device: str
    """what it was trained on"""


def train_encoder(
    inputs: GraphInputs,
    labels: tuple[NDArray[np.integer], NDArray[np.integer]],
    shape: EmbedderConfig,
    config: TrainingConfig,
    *,
    seed: int,
    output: RunOutput,
    begins: Mapping[str, torch.Tensor] | None = None,
    processes: Processes = ALONE,
) -> Trained:
    """An embedder that ranks the friends named by `labels`, two (m,), high.

    `inputs` are the features and the graph that messages pass over, `begins` the weights that the encoder begins with;
    None: random ones. Training stops by steps or by validation, never by the clock: on as many threads of a CPU the
    same arguments give the same weights, resumed or not. Several processes call this with the same arguments but
    `output`, which rank 0 alone writes; their weights are those of one process within rounding and the draws of
    newcomers and neighbourhoods. Raises ValueError if a label is an edge of the graph.
    """
    parts = Labels.split(inputs.graph, labels, config.validation_share, config.labels, seed)
    device = chosen_device(processes.device if config.device == "auto" else config.device)
    if output.resumes_from is not None:
        output.resumes_from.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), repeatable(device.type):
        torch.manual_seed(seed)
        model = Embedder(shape)
        model.identity.know(inputs.keys)
        if begins is not None:
            model.encoder.load_state_dict(begins)
        run = _Run(inputs, parts, model.to(device), config, seed, output, processes)
        run.is_warm = begins is not None
        return run.finished()


class _Run:
    """One training run: what its epochs share."""

    def __init__(
        self,
        inputs: GraphInputs,
        labels: Labels,
        model: Embedder,
        config: TrainingConfig,
        seed: int,
        output: RunOutput,
        processes: Processes,
    ) -> None:
        self.model, self.config, self.seed, self.output, self.log = model, config, seed, output, output.log
        self.processes = processes
        self.is_warm = False
        """whether the encoder begins with weights that were given"""
        self.device = next(model.parameters()).device
        self.described = inputs, labels
        self.ranking = HeldOutRanking(labels.whole, labels.held_out, seed=seed)
        learning = compiled(model.learning, self.device, config.compile, config.max_steps, self.log)
        # every parameter of a GraphSAGE of means is in every loss; of others perhaps only if somebody has a friend
        is_complete = isinstance(model.encoder, GraphSage) and model.encoder.config.aggregation == "mean"
        learning = processes.data_parallel(model, learning, may_leave_out=not is_complete)
        inputs = inputs.to(self.device)
        self.steps = Steps(model, learning, inputs, labels, config, seed, processes)
        self.tried = self.steps
        if processes.count > 1:  # what one process tries for itself exchanges nothing
            self.tried = Steps(model, model.learning, inputs, labels, config, seed)
        self.pairs = len(labels.training[0])
        self.optimiser = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        self.schedule = ReduceLROnPlateau(
            self.optimiser,
            mode="max",
            factor=config.plateau_factor,
            patience=config.plateau_patience,
            min_lr=config.least_learning_rate,
            threshold=1e-4,
        )

    def finished(self) -> Trained:
        """The run to its end, resumed if its directory holds its state."""
        kept, directory, run = self.output.resumes_from, self.output.directory, ""
        if kept is not None:
            weights = self.model.encoder.state_dict() if self.is_warm else {}
            run = _digest(*self.described, self.model.config, self.config, self.seed, weights)
        state = self._resumed(kept, run)

        # epochs
        if not self.pairs:
            self.log.warning("encoder_untrained", reason="no friendship to learn from")
            state.ended, state.best = True, copy.deepcopy(self.model.state_dict())
        state.batch_pairs = state.batch_pairs or self.processes.agreed(self._batch_pairs)
        self.steps.batch(state.batch_pairs)
        saved = time.monotonic()
        while not state.ended:
            self._epoch(state)
            if kept is not None and (state.ended or time.monotonic() - saved >= self.config.state_every_s):
                state.save(kept, run, self.model, self.optimiser, self.schedule)
                saved = time.monotonic()
            if directory is not None:
                self._checkpoints(directory, state)
            self.output.epoch_done(state)

        # the best weights
        self.model.load_state_dict(state.best)
        metrics = state.best_metrics
        if directory is not None:
            checkpoint.save(directory / "best", self.model, self.model.config, metrics)
            write_curve(directory, state.history)
        memory = self._memory_mb(state.batch_pairs)
        model = self.model.cpu().eval()
        return Trained(model, metrics, state.history, state.seconds, state.batch_pairs, memory, str(self.device))

    def _resumed(self, directory: Path | None, run: str) -> RunState:
        """The state that rank 0 finds of this run, in every process; a new one if there is none."""
        content = self.processes.agreed(lambda: None if directory is None else read_state(directory, run))
        if content is None:
            return RunState()
        state = RunState.loaded(content, self.model, self.optimiser, self.schedule)
        if not state.ended:
            self.log.info("training_resumed", epoch=state.epoch)
        return state

    def _epoch(self, state: RunState) -> None:
        begun, config = time.monotonic(), self.config
        # training
        torch.manual_seed(_seed(self.seed, state.epoch, self.processes.rank))
        random = np.random.default_rng([self.seed, state.epoch])
        order = random.permutation(self.pairs)
        batch, (per_epoch, total) = state.batch_pairs, self._plan(state.batch_pairs)
        steps = min(per_epoch, total - state.step)
        order = np.tile(order, math.ceil(steps * batch / self.pairs))
        self.model.train()
        sums: dict[str, float] = {}
        for number, start in enumerate(range(0, steps * batch, batch), state.step):
            if config.schedule == "cosine":
                for group in self.optimiser.param_groups:
                    group["lr"] = config.learning_rate * _cosine(number, total)
            for name, value in self._step(np.unique(order[start : start + batch])).items():
                sums[name] = sums.get(name, 0.0) + value / steps
        if self.processes.count > 1:
            sums = dict(zip(sums, self.processes.mean(torch.tensor(list(sums.values()))).tolist(), strict=True))
        state.step, state.epoch = state.step + steps, state.epoch + 1

        # validation
        line = {f"loss_{name}": value for name, value in sums.items()} | {"loss": sum(sums.values())}
        embeddings = self.steps.embed(self.ranking.people)
        line |= self.processes.agreed(lambda: self.ranking.metrics(embeddings))
        rate = self.optimiser.param_groups[0]["lr"]
        worth = line.get("gain", -line["loss"]) if self.steps.needs_labels else -line["loss"]
        line |= {"worth": worth, "learning_rate": rate}
        if config.schedule == "plateau":
            self.schedule.step(worth)
        synchronise(self.device)
        state.seconds += time.monotonic() - begun
        line = {"epoch": float(state.epoch), "step": float(state.step), "seconds": state.seconds, **line}
        state.history.append(line)
        self.log.debug("epoch", **{name: round(value, 4) for name, value in line.items()})

        # the best so far, and whether to stop
        state.since_best += 1
        best = state.best_metrics
        better = not best or worth > best["worth"]
        if better or (worth == best["worth"] and line["loss"] < best["loss"]):
            state.best_metrics = line
            state.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        state.since_best = 0 if better else state.since_best
        state.ended = state.step >= total or state.since_best >= config.patience

    def _plan(self, batch: int) -> tuple[int, int]:
        """Steps of an epoch, and of the whole run at most."""
        config = self.config
        a_pass = max(math.ceil(self.pairs / batch), config.least_steps)
        total = min(config.max_steps, config.epochs * a_pass)
        return (a_pass if config.evaluations is None else max(total // config.evaluations, 1)), total

    def _step(self, at: Rows) -> dict[str, float]:
        with autocast(self.device, self.config.mixed_precision):
            losses = self.steps.losses(at)
        loss = torch.stack(list(losses.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_norm)
        self.optimiser.step()
        return {name: value.item() for name, value in losses.items()}

    def _batch_pairs(self) -> int:
        """Friendships of a step: as configured, or as many as fit the memory."""
        if self.config.batch_pairs != "probe":
            return min(self.config.batch_pairs, max(self.pairs, 1))
        budget = int(free_bytes(self.device) * self.config.memory_share)
        chosen = min(largest_batch(self._forward, self.pairs, budget), max(self.pairs, 1))
        self.log.info("batch_probed", friendships=chosen, budget_mb=budget >> 20)
        return chosen

    def _forward(self, pairs: int) -> torch.Tensor:
        """The loss of a step of so many friendships in this process alone, the same each time."""
        self.model.train()
        self.tried.batch(pairs)
        torch.manual_seed(self.seed)
        with autocast(self.device, self.config.mixed_precision):
            return torch.stack(list(self.tried.losses(np.arange(min(pairs, self.pairs))).values())).sum()

    def _memory_mb(self, pairs: int) -> float:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20
        held = 4 * sum(one.numel() * one.element_size() for one in self.model.parameters())
        return (held + (kept_bytes(lambda: self._forward(pairs)) if self.pairs else 0)) / 2**20

    def _checkpoints(self, directory: Path, state: RunState) -> None:
        checkpoint.save(directory / "last", self.model, self.model.config, state.history[-1])
        if state.epoch % self.config.checkpoint_every == 0:
            checkpoint.save(directory / f"epoch-{state.epoch:04d}", self.model, self.model.config, state.history[-1])


def _digest(
    inputs: GraphInputs,
    labels: Labels,
    shape: EmbedderConfig,
    config: TrainingConfig,
    seed: int,
    begins: Mapping[str, torch.Tensor],
) -> str:
    """A digest of everything that decides the weights."""
    mark = hashlib.sha256()
    for weights in begins.values():
        mark.update(weights.cpu().contiguous().numpy().tobytes())
    attributes = [] if inputs.edge_attributes is None else [inputs.edge_attributes]
    for tensor in (inputs.features, inputs.keys, inputs.edge_index, *attributes):
        mark.update(tensor.contiguous().numpy().tobytes())
    for side in (*labels.training, *labels.held_out):
        mark.update(np.ascontiguousarray(side).tobytes())
    learning = config.model_dump(mode="json", exclude={"checkpoint_every", "state_every_s"})
    content = {"shape": shape.model_dump(mode="json"), "training": learning, "seed": seed, "data": mark.hexdigest()}
    return files.json_digest(content)


def _seed(seed: int, epoch: int, rank: int) -> int:
    """The seed of an epoch in a process, so that a resumed run needs no state of a generator."""
    drawn = f"{seed} {epoch}" if rank == 0 else f"{seed} {epoch} {rank}"
    return int.from_bytes(hashlib.blake2b(drawn.encode(), digest_size=7).digest(), "little")


def _cosine(step: int, steps: int) -> float:
    """What the highest learning rate is multiplied by: it rises over a twentieth of the steps, and falls to zero."""
    return min(1.0, (step + 1) / max(1, steps // 20)) * 0.5 * (1 + math.cos(math.pi * step / steps))
