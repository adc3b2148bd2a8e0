"""All that the ranker of a night learns from, and its file: it takes longer to make than to learn from."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from torch import nn

from models.features.towers import TowerShape
from models.system import files
from offline.ranker.training_lists import TrainingLists

FILE_NAME = "lists.npz"


@dataclass(frozen=True)
class RankerLists:
    """Lists of several graphs, and the rows of all users in each of them."""

    lists: TrainingLists
    statistics: NDArray[np.float32]
    """(g n, s)"""
    towers: TowerShape
    """chosen by the first of the graphs"""

    def keep(self, directory: Path, encoder: nn.Module) -> None:
        """Writes the lists, whose embeddings are those of `encoder`, whole or not at all."""
        directory.mkdir(parents=True, exist_ok=True)
        described = {"encoder": np.array(_digest(encoder)), "towers": np.array(self.towers.model_dump_json())}
        with files.writing(directory / FILE_NAME) as file:
            np.savez(file, allow_pickle=False, **vars(self.lists), statistics=self.statistics, **described)

    @classmethod
    def kept(cls, directory: Path, encoder: nn.Module) -> "RankerLists | None":
        """What `keep` wrote; None if there is nothing, it was made with another encoder, or it cannot be read."""
        path = directory / FILE_NAME
        if not path.exists():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                if str(arrays["encoder"]) != _digest(encoder):
                    return None
                lists = TrainingLists(**{name: arrays[name] for name in TrainingLists.__dataclass_fields__})
                return cls(lists, arrays["statistics"], TowerShape.model_validate_json(str(arrays["towers"])))
        except (OSError, ValueError, KeyError, BadZipFile):
            return None


def _digest(encoder: nn.Module) -> str:
    """A digest of the weights."""
    digest = hashlib.sha256()
    for tensor in encoder.state_dict().values():
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
    return digest.hexdigest()
