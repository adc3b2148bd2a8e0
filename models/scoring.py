"""Scores a candidate block with NumPy: the trained ranker, folded for one viewer at a time.

What depends on the viewer alone goes into the weights before the candidates are touched: the query tower's output and
the ranges of the block's codes are multiplied into the head's first layer, so that one product over codes, derived
inputs and candidate vectors gives its hidden units.
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from models import files
from models.block import Block
from models.errors import ArtefactError
from models.features.names import LOG_DEGREE
from models.features.pair import ALLOCATION, COMMON, extra_inputs

WEIGHTS = "ranker.safetensors"
DESCRIPTION = "ranker.json"
MASS_OF = 20
"""how many of a list's best set its level"""

Floats = NDArray[np.float32]


class PersonTables(Protocol):
    """What scoring reads of a version's tables: rows of everybody."""

    @property
    def candidate_vectors(self) -> Floats: ...
    @property
    def tower_inputs(self) -> NDArray[np.float16]: ...
    @property
    def statistics(self) -> Floats: ...


class Ranker:
    """Scores of a block's candidates; immutable, so that threads may share it."""

    def __init__(self, kind: str, calibration: Floats, config: dict[str, Any], weights: dict[str, Floats]) -> None:
        self.kind = kind
        """"two_tower", or "resource_allocation" where there was too little to learn from"""
        self._calibration = calibration
        if kind != "two_tower":
            return
        both = np.concatenate([weights["first.weight"], weights["past.weight"]])
        product = config["tower"][-1]
        pair = both[:, product:] / weights["scale"]
        spans = np.cumsum([config["kept_features"], config["kept_features"], config["extra_inputs"]])
        self._absolute, self._relative, self._extra, self._viewer = (
            np.ascontiguousarray(part.T) for part in np.split(pair, spans, axis=1)
        )
        self._product = np.ascontiguousarray(both[:, :product].T) * np.float32(product**0.5)
        self._bias = np.append(weights["first.bias"], np.float32(0)) - pair @ weights["mean"]
        self._second, self._second_bias = np.ascontiguousarray(weights["second.weight"].T), weights["second.bias"]
        self._last, self._last_bias = weights["last.weight"][0], weights["last.bias"][0]
        layers = sorted({int(name.split(".")[1]) for name in weights if name.startswith("query.")})
        self._tower = [
            (np.ascontiguousarray(weights[f"query.{at}.weight"].T), weights[f"query.{at}.bias"]) for at in layers
        ]
        self._user_mean, self._user_scale = weights["user_mean"], weights["user_scale"]

    @classmethod
    def open(cls, directory: Path) -> "Ranker":
        """The ranker of a version's `model` directory. Raises ArtefactError where a file is missing or altered."""
        description = files.read_json(directory / DESCRIPTION)
        if description.get("kind") == "resource_allocation":
            return cls("resource_allocation", np.asarray(description["calibration"], dtype=np.float32), {}, {})
        try:
            weights = load_file(directory / WEIGHTS)
            return cls("two_tower", weights["calibration"], description["config"], weights)
        except (KeyError, OSError, ValueError, SafetensorError) as error:
            raise ArtefactError(f"{directory / WEIGHTS} is missing, truncated or altered: {error}") from error

    def query(self, person: Floats) -> Floats:
        """(d,) float32, L2-normalised: the query tower's output for a row of tower inputs."""
        hidden = (person - self._user_mean) / self._user_scale
        for at, (weight, bias) in enumerate(self._tower):
            hidden = hidden @ weight + bias
            if at < len(self._tower) - 1:
                np.maximum(hidden, 0, out=hidden)
        return np.asarray(hidden / max(float(np.sqrt(hidden @ hidden)), 1e-12), dtype=np.float32)

    def logits(self, tables: PersonTables, block: Block) -> Floats:
        """(m,) float32 scores before calibration, in the order of the block."""
        if self.kind != "two_tower":
            return np.asarray(block.codes[ALLOCATION] * block.step[ALLOCATION] + block.low[ALLOCATION])
        viewer = tables.statistics[block.viewer]
        query = self.query(tables.tower_inputs[block.viewer].astype(np.float32))
        common = block.codes[COMMON] * block.step[COMMON] + block.low[COMMON]
        extra = extra_inputs(common, tables.statistics[block.rows], viewer, block.sources)
        by_code = self._absolute * block.step[:, None] + self._relative / np.float32(255)
        constant = self._bias + block.low @ self._absolute + viewer @ self._viewer
        hidden = tables.candidate_vectors[block.rows] @ (query[:, None] * self._product)
        hidden += block.codes.T.astype(np.float32) @ by_code
        hidden += extra @ self._extra
        hidden += constant
        past = hidden[:, -1].copy()
        np.maximum(hidden, 0, out=hidden)
        second = hidden[:, :-1] @ self._second
        second += self._second_bias
        np.maximum(second, 0, out=second)
        return np.asarray(second @ self._last + past + self._last_bias, dtype=np.float32)

    def scores(self, tables: PersonTables, block: Block, context: str) -> Floats:
        """(m,) float32 probabilities of friendship, 0-1, in the order of the block."""
        logits = self.logits(tables, block)
        return self.calibrated(logits, float(tables.statistics[block.viewer, LOG_DEGREE]))

    def calibrated(self, logits: Floats, viewer_log_degree: float) -> Floats:
        """Probabilities of (m,) logits of one viewer: a logistic curve that never changes their order.

        The listwise loss leaves the level of each list free; it is set by the viewer's degree and the mass of the
        list's best.
        """
        if not len(logits):
            return logits
        slope, level, by_degree, by_mass = self._calibration
        odds = slope * logits + (level + by_degree * viewer_log_degree + by_mass * list_mass(logits))
        return np.asarray(1 / (1 + np.exp(-odds)), dtype=np.float32)


def list_mass(logits: Floats) -> float:
    """ln of the mean of exp over the MASS_OF best logits of a list."""
    best = np.partition(logits, -min(MASS_OF, len(logits)))[-MASS_OF:]
    highest = float(best.max())
    return float(np.log(np.exp(best - highest).mean())) + highest
