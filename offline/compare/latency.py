"""Measures the time of one prediction of each encoder and each fusion."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, TypeAdapter
from torch import Tensor, nn

from models.networks.config import DotConfig, EncoderConfig, NoIdentityConfig
from models.networks.embedder import Embedder, EmbedderConfig
from models.networks.fusion.blending import BlendingConfig
from models.networks.fusion.experts import Experts, ExpertsConfig
from models.networks.fusion.linucb import LinUcb, LinUcbConfig
from models.networks.fusion.mlp import Mlp, MlpConfig
from models.networks.fusion.q_network import QNetwork
from models.networks.fusion.weighted_average import WeightedAverage, WeightedAverageConfig
from models.networks.ranker_head import RankerHead, RankerHeadConfig
from models.schema.pair_features import EXTRA_INPUTS, PAIR_FEATURES
from models.schema.statistic_names import STATISTICS
from offline.encoders.device import synchronise
from offline.fusion.candidate_lists import PAIR_INPUTS
from offline.fusion.config import BLENDED, PRODUCT

Clock = Callable[[], float]
WARM_UP = 100
FEATURES, EDGE_FEATURES = 160, 2
FAN_OUTS = (15, 10)
"""friends sampled per user in each hop of an encoder's neighbourhood"""

ENCODERS: tuple[dict[str, str], ...] = (
    {"name": "graphsage"},
    {"name": "graphsage", "aggregation": "max"},
    {"name": "graphsage", "aggregation": "lstm"},
    {"name": "gat"},
    {"name": "gcn"},
    {"name": "vgae"},
    {"name": "dgi"},
    {"name": "temporal_gat"},
    {"name": "lightgcn"},
)


class Timing(BaseModel):
    """The timing of one model on one device; includes the copy of the result to the host."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    """encoder or fusion"""
    name: str
    device: str
    scored: int
    """users embedded, or candidates scored, in a run"""
    runs: int
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    per_second: float
    """users or candidates"""
    parameters: int
    size_bytes: int
    """size of parameters and buffers"""


def timed(
    kind: str,
    name: str,
    model: nn.Module,
    run: Callable[[], Tensor],
    scored: int,
    runs: int,
    device: torch.device,
    clock: Clock = time.perf_counter,
) -> Timing:
    """Times `runs` predictions after a warm-up; `clock` returns seconds."""
    model.eval()
    spent = np.empty(runs)
    with torch.inference_mode():
        for _ in range(min(WARM_UP, runs)):
            run()
        synchronise(device)
        for at in range(runs):
            started = clock()
            run().cpu()
            spent[at] = clock() - started
    spent *= 1000
    p50, p95, p99 = np.percentile(spent, [50, 95, 99])
    tensors = [*model.parameters(), *model.buffers()]
    return Timing(
        kind=kind,
        name=name,
        device=device.type,
        scored=scored,
        runs=runs,
        mean_ms=float(spent.mean()),
        p50_ms=float(p50),
        p95_ms=float(p95),
        p99_ms=float(p99),
        per_second=float(scored * 1000 / spent.mean()),
        parameters=sum(one.numel() for one in model.parameters()),
        size_bytes=sum(one.numel() * one.element_size() for one in tensors),
    )


def fusions() -> dict[str, nn.Module]:
    """Every fusion by name, as wide as in training, with its initial weights."""
    names = [*PAIR_INPUTS, PRODUCT]
    columns = tuple(names.index(name) for name in BLENDED)
    inputs = len(names)
    prerank_weights = tuple(float(at < len(PAIR_FEATURES)) for at in range(inputs))
    average = WeightedAverageConfig(inputs=inputs, product=inputs - 1, cheap=prerank_weights)
    head = RankerHeadConfig(
        pair_features=PAIR_FEATURES,
        extra_inputs=len(EXTRA_INPUTS),
        viewer_inputs=len(STATISTICS),
    )
    return {
        "two_tower": RankerHead(head),
        "weighted_average": WeightedAverage(average),
        "mlp": Mlp(MlpConfig(inputs=inputs)),
        "moe": Experts(ExpertsConfig(inputs=inputs)),
        "linucb": LinUcb(LinUcbConfig(columns=columns)),
        "dqn": QNetwork(BlendingConfig(columns=columns)),
    }


def fusion_timings(
    runs: int, device: torch.device, candidates: int = 1000, clock: Clock = time.perf_counter
) -> Iterator[Timing]:
    """Yields the timing of every fusion over one viewer's candidates.

    The service scores in kernels, which are measured with the stages of a request.
    """
    torch.manual_seed(0)
    features = torch.randn(candidates, len(PAIR_INPUTS) + 1, device=device)
    for name, model in fusions().items():
        model.to(device)

        yield timed("fusion", name, model, _scoring(model, features), candidates, runs, device, clock)


def _scoring(model: nn.Module, features: Tensor) -> Callable[[], Tensor]:
    """A function that runs one prediction of a fusion, for candidates' features (C, F)."""
    read = features[:, : len(PAIR_INPUTS)] if isinstance(model, RankerHead) else features
    return lambda: model(read)


def encoder_timings(
    runs: int, device: torch.device, people: int = 1, clock: Clock = time.perf_counter
) -> Iterator[Timing]:
    """Yields the timing of every encoder over the sampled neighbourhood of this many users."""
    torch.manual_seed(0)
    edges = neighbourhood(people).to(device)
    count = int(edges.max()) + 1
    features = torch.randn(count, FEATURES, device=device)
    keys = torch.zeros(count, dtype=torch.int64, device=device)
    attributes = torch.rand(edges.shape[1], EDGE_FEATURES, device=device) * 3
    adapter: TypeAdapter[EncoderConfig] = TypeAdapter(EncoderConfig)
    for variant in ENCODERS:
        config = EmbedderConfig.shaped(
            adapter.validate_python(variant),
            NoIdentityConfig(),
            DotConfig(),
            features=FEATURES,
            edge_inputs=EDGE_FEATURES,
            carried_columns=(0, 0),
            people=count,
        )
        model = Embedder(config).to(device)

        def run(model: Embedder = model) -> Tensor:
            embeddings: Tensor = model(features, keys, edges, attributes)
            return embeddings[:people]

        yield timed("encoder", " ".join(variant.values()), model, run, people, runs, device, clock)


def neighbourhood(people: int) -> Tensor:
    """(2, m) int64: the edges friend → user of users 0 to `people` and FAN_OUTS friends of theirs, all distinct."""
    targets, started, edges = torch.arange(people), people, []
    for fan_out in FAN_OUTS:
        person = targets.repeat_interleave(fan_out)
        friends = torch.arange(len(person)) + started
        edges.append(torch.stack([friends, person]))
        started += len(friends)
        targets = friends
    return torch.cat(edges, dim=1)
