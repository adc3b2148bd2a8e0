"""Ranker networks of random weights, with people and blocks for them to score."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from models.networks import checkpoint
from models.networks.ranker_head import RankerHead, RankerHeadConfig
from models.schema.pair_features import ALLOCATION, KEPT_FEATURES, PAIR_FEATURES, extra_input_names
from models.schema.statistic_names import STATISTICS
from models.version.candidate_block import Block, quantise
from models.version.towers import Towers
from offline.ranker.training_lists import TrainingLists

N, D = 60, 11


@dataclass(frozen=True)
class People:
    """The tables that scoring reads."""

    towers: Towers
    statistics: np.ndarray


def network(seed: int, width: int = len(STATISTICS)) -> RankerHead:
    """A network with nothing left at its beginning."""
    torch.manual_seed(seed)
    config = RankerHeadConfig(
        pair_features=PAIR_FEATURES,
        extra_inputs=len(extra_input_names(width)),
        viewer_inputs=width,
        hidden=9,
        second=6,
    )
    model = RankerHead(config).eval()
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            tensor.copy_(torch.rand_like(tensor) + 0.5 if name.endswith("scale") else torch.randn_like(tensor) * 0.4)
        model.calibration.copy_(torch.tensor([0.7, -1.0, 0.2, -0.1]))
    return model


def people(model: RankerHead, seed: int) -> People:
    random = np.random.default_rng(seed)
    codes = random.integers(-127, 128, (N, D)).astype(np.int8)
    weights = random.random((3, D)).astype(np.float32) / [[500], [1], [1]]
    degrees = random.integers(0, 90, N)
    statistics = np.stack([np.log1p(degrees), random.random(N), random.random(N) * 4, -random.random(N) * 5], axis=1)
    dated = model.config.viewer_inputs - len(STATISTICS)
    statistics = np.concatenate([statistics, random.random((N, dated)) * 3], axis=1)
    return People(Towers(codes, *weights.astype(np.float32)), statistics.astype(np.float32))


def block(seed: int, m: int = 30) -> Block:
    random = np.random.default_rng(seed)
    rows = random.permutation(N)[: m + 1].astype(np.uint32)
    values = random.gamma(1, 2, (len(KEPT_FEATURES), m)).astype(np.float32)
    values[: ALLOCATION + 1, random.random(m) < 0.5] = 0
    return quantise(int(rows[0]), rows[1:], random.integers(1, 64, m).astype(np.uint8), values)


def saved(model: RankerHead, directory: Path) -> Path:
    checkpoint.save(directory / "ranker", model, model.config, {})
    return directory


def as_list(asked: Block) -> TrainingLists:
    """A block as training holds it."""
    m = len(asked)
    return TrainingLists(
        users=np.array([asked.viewer]),
        rows=asked.rows[None],
        sources=asked.sources[None],
        codes=asked.codes[None],
        low=asked.low[None],
        step=asked.step[None],
        counts=np.array([m]),
        outcomes=np.zeros((1, m), np.bool_),
        friends_made=np.zeros(1, np.int64),
        offset=np.zeros(1, np.int64),
        purpose=np.zeros(1, np.uint8),
        outcome_weight=np.ones(1, np.float32),
    )
