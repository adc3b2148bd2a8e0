"""The state of a run after an epoch, as one file from which it resumes bit for bit."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as bytes_of
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from models.system.files import write_bytes

FILE_NAME = "state.safetensors"
_RUN = "run"


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
    best: dict[str, Tensor] = field(default_factory=dict)
    """the weights of the best epoch"""

    def save(
        self, directory: Path, run: str, model: nn.Module, optimiser: Optimizer, schedule: ReduceLROnPlateau
    ) -> None:
        """Writes the state, whole or not at all; `run` identifies it, so that no other run resumes from it."""
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for number, moments in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{number}.{name}": tensor for name, tensor in moments.items()}
        counters = {name: value for name, value in vars(self).items() if name != "best"}
        rates = [group["lr"] for group in optimiser.param_groups]
        described = {"run": run, "counters": counters, "rates": rates, "schedule": schedule.state_dict()}
        whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        write_bytes(directory / FILE_NAME, bytes_of(whole, metadata={_RUN: json.dumps(described)}))

    @classmethod
    def resume(
        cls, directory: Path, run: str, model: nn.Module, optimiser: Optimizer, schedule: ReduceLROnPlateau
    ) -> "RunState | None":
        """The state of this run, loaded into model, optimiser and schedule; None if there is none.

        A file that cannot be read counts as none: the run begins again.
        """
        path = directory / FILE_NAME
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt") as file:
                described: dict[str, Any] = json.loads((file.metadata() or {}).get(_RUN, "{}"))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (SafetensorError, json.JSONDecodeError):
            return None
        if described.get("run") != run:
            return None
        model.load_state_dict(_below(tensors, "model."))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _below(tensors, "optimiser.").items():
            number, _, part = name.partition(".")
            moments.setdefault(int(number), {})[part] = tensor
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": moments, "param_groups": groups})
        for group, rate in zip(optimiser.param_groups, described["rates"], strict=True):
            group["lr"] = rate
        schedule.load_state_dict(described["schedule"])
        device = next(model.parameters()).device
        return cls(**described["counters"], best=_moved(_below(tensors, "best."), device))


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _moved(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}
