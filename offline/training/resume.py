"""The state of a run after an epoch, as one file from which it resumes bit for bit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of
from torch import Tensor, nn
from torch.optim import Optimizer

from models.system.files import write_bytes

FILE_NAME = "state.safetensors"
_RUN = "run"


class Schedule(Protocol):
    """What changes the learning rate."""

    def state_dict(self) -> dict[str, Any]:
        """All that it remembers, as JSON can say it."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from there."""


@dataclass
class RunState:
    """The counters of a run; weights and moments are the model's and the optimiser's."""

    batch_pairs: int = 0
    """friendships a step; 0: not chosen yet"""
    epoch: int = 0
    """epochs done"""
    step: int = 0
    """steps done"""
    since_best: int = 0
    """epochs since the best one"""
    seconds: float = 0.0
    """that training took, resumed runs together"""
    ended: bool = False
    """whether nothing is left to be done"""
    best_metrics: dict[str, float] = field(default_factory=dict)
    """of the best epoch; empty before the first"""
    history: list[dict[str, float]] = field(default_factory=list)
    """a line for each epoch"""
    random: dict[str, Any] = field(default_factory=dict)
    """state of the NumPy generator that the run draws from, if it draws from one throughout"""
    best: dict[str, Tensor] = field(default_factory=dict)
    """the weights of the best epoch"""

    def save(self, directory: Path, run: str, model: nn.Module, optimiser: Optimizer, schedule: Schedule) -> None:
        """Writes the state, whole or not at all; `run` identifies it, so that no other run resumes from it."""
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for number, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in moments.items()}
        counters = {name: value for name, value in vars(self).items() if name != "best"}
        groups = [{"lr": group["lr"], "betas": group["betas"]} for group in optimiser.param_groups]
        described = {"run": run, "counters": counters, "groups": groups, "schedule": schedule.state_dict()}
        whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        write_bytes(directory / FILE_NAME, bytes_of(whole, metadata={_RUN: json.dumps(described)}))

    @classmethod
    def loaded(cls, content: bytes, model: nn.Module, optimiser: Optimizer, schedule: Schedule) -> "RunState":
        """The state that `content`, of `read_state`, holds, loaded into model, optimiser and schedule."""
        described, tensors = _parsed(content)
        model.load_state_dict(_below(tensors, "model."))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below(tensors, "optimiser.").items():
            number, _, part = name.partition(".")
            moments.setdefault(int(number), {})[part] = tensor
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": moments, "param_groups": groups})
        for group, kept in zip(optimiser.param_groups, described["groups"], strict=True):
            group["lr"], group["betas"] = kept["lr"], tuple(kept["betas"])
        schedule.load_state_dict(described["schedule"])
        device = next(model.parameters()).device
        return cls(**described["counters"], best=_moved(_below(tensors, "best."), device))


def read_state(directory: Path, run: str) -> bytes | None:
    """The file of this run's state; None if there is none, it is another run's, or it cannot be read."""
    path = directory / FILE_NAME
    if not path.exists():
        return None
    content = path.read_bytes()
    try:
        described, _ = _parsed(content)
    except (SafetensorError, ValueError):
        return None
    # an earlier release kept the learning rates alone
    return content if described.get("run") == run and "groups" in described else None


def _parsed(content: bytes) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a file of safetensors says beside its tensors, and these. Raises SafetensorError or ValueError."""
    tensors = tensors_of(content)
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    return json.loads(header.get("__metadata__", {}).get(_RUN, "{}")), tensors


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _moved(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}
