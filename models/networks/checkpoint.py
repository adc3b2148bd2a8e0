"""Trained networks on disk: weights as safetensors, everything else as JSON beside them."""

import hashlib
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of
from torch import Tensor, nn

from models.errors import ArtefactError
from models.system.files import (
    json_digest,
    read_bytes,
    read_json,
    write_bytes,
    write_json,
)

_NETWORKS = "models.networks."
_MOVED = {
    "models.networks.sage.Sage": "models.networks.graphsage.GraphSage",
    "models.networks.sage.SageConfig": "models.networks.graphsage.GraphSageConfig",
}
"""paths of classes in checkpoints of earlier releases, and their present paths"""
_COMPILED = "_orig_mod."
"""what torch.compile puts before the names of the weights of a module that it wraps"""


class _Description(BaseModel):
    """The JSON file beside the weights."""

    model_config = ConfigDict(extra="forbid")

    network: str
    """module and class of the network, under models.networks"""

    config_class: str
    """module and class of its configuration, the network's only argument"""

    config: dict[str, Any]
    """the configuration's fields"""

    metrics: dict[str, float]
    """what the weights reached when they were trained"""

    features: list[str]
    """names of the input columns, in order"""

    weights_sha256: str
    """of the file of weights"""

    digest: str = ""
    """SHA-256 of the rest of this description"""

    def sealed(self) -> "_Description":
        """The description with its digest."""
        return self.model_copy(update={"digest": json_digest(self.model_dump(mode="json", exclude={"digest"}))})


@dataclass(frozen=True)
class Checkpoint:
    """A network read back, in evaluation mode on the CPU, with what was written beside it."""

    model: nn.Module
    config: BaseModel
    metrics: dict[str, float]
    features: list[str]


def save(
    path: Path, model: nn.Module, config: BaseModel, metrics: Mapping[str, float], features: Sequence[str] = ()
) -> None:
    """Writes `path`.safetensors and then `path`.json, each whole or not at all.

    `config` must be what `type(model)(config)` was made from; the class must live under models.networks. A model that
    was compiled, or a part that was, is written as if it had not been.
    """
    model = getattr(model, _COMPILED.rstrip("."), model)
    tensors = _plain(model.state_dict())
    weights = bytes_of({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    description = _Description(
        network=_class_path(type(model)),
        config_class=_class_path(type(config)),
        config=config.model_dump(mode="json"),
        metrics=dict(metrics),
        features=list(features),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )
    write_bytes(_beside(path, ".safetensors"), weights)
    write_json(_beside(path, ".json"), description.sealed().model_dump(mode="json"))


def load(path: Path) -> Checkpoint:
    """The network written under `path`. Raises ArtefactError naming the file that is missing, truncated or altered."""
    weights_file, description_file = _beside(path, ".safetensors"), _beside(path, ".json")
    try:
        description = _Description.model_validate(read_json(description_file))
    except ValidationError as error:
        raise ArtefactError(f"{description_file} is truncated or altered: {error.errors()[0]['msg']}") from error
    if description.sealed().digest != description.digest:
        raise ArtefactError(f"{description_file} is truncated or altered: its digest does not fit")
    weights = read_bytes(weights_file)
    if hashlib.sha256(weights).hexdigest() != description.weights_sha256:
        raise ArtefactError(f"{weights_file} is truncated or altered: its digest is not that of {description_file}")
    try:
        config = _class_at(description.config_class).model_validate(description.config)
        model: nn.Module = _class_at(description.network)(config)
        model.load_state_dict(_plain(tensors_of(weights)))
    except (ImportError, AttributeError, ValueError, RuntimeError, SafetensorError) as error:
        raise ArtefactError(f"{description_file} does not fit this release's {description.network}: {error}") from error
    return Checkpoint(model.eval(), config, description.metrics, description.features)


def _plain(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights by the names that they have in a model that was not compiled."""
    return {name.replace(_COMPILED, ""): tensor for name, tensor in weights.items()}


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _class_path(kind: type) -> str:
    if not kind.__module__.startswith(_NETWORKS):
        raise ValueError(f"{kind.__module__}.{kind.__qualname__} is not under {_NETWORKS[:-1]} and could not be loaded")
    return f"{kind.__module__}.{kind.__qualname__}"


def _class_at(path: str) -> Any:
    module, _, name = _MOVED.get(path, path).rpartition(".")
    if not module.startswith(_NETWORKS):
        raise ImportError(f"{path} is not under {_NETWORKS[:-1]}")
    return getattr(importlib.import_module(module), name)
