"""The encoder of a night: which one it is, its training, and the embeddings of all users."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from models.graph import Graph
from models.networks.config import DotConfig, GraphSageConfig, NoIdentityConfig
from models.networks.embedder import EmbedderConfig
from models.networks.encoder import Encoder
from models.networks.graphsage import GraphSage, embed_everybody, without_positions_of_the_friendless
from models.networks.neighbours import edges_of
from offline.encoders.config import GraphSageTrainingConfig, NightEncoder
from offline.encoders.inputs import GraphInputs
from offline.encoders.trainer import RunOutput, train_encoder
from offline.training.processes import ALONE, Processes
from offline.training.resume import RunState

log = structlog.get_logger(__name__)


def graphsage_encoder(config: GraphSageTrainingConfig, structural_columns: tuple[int, int]) -> NightEncoder:
    """GraphSAGE as a night trains it, with `structural_columns` of its inputs that come from the graph."""
    shape = GraphSageConfig(
        hidden=config.hidden,
        outputs=config.outputs,
        layers=len(config.fan_outs),
        dropout=config.dropout,
        structural_columns=structural_columns,
    )
    return NightEncoder(encoder=shape, training=config, seed=config.seed)


def train_night_encoder(
    inputs: GraphInputs,
    labels: tuple[NDArray[np.integer], NDArray[np.integer]],
    chosen: NightEncoder,
    begins: dict[str, torch.Tensor] | None = None,
    *,
    state: Path | None = None,
    processes: Processes = ALONE,
) -> tuple[Encoder, dict[str, float]]:
    """The encoder that ranks the friends named by `labels`, two (m,), high, and the metrics of its best epoch.

    `begins` are the weights that the encoder begins with; None: random ones. `state` is the directory of the state that
    a killed run resumes from; rank 0 alone of several processes has one.
    """
    if isinstance(chosen.encoder, GraphSageConfig):
        columns = chosen.encoder.structural_columns
        inputs = replace(inputs, features=without_positions_of_the_friendless(inputs.features, inputs.graph, columns))
    shape = EmbedderConfig.shaped(
        chosen.encoder,
        NoIdentityConfig(),
        DotConfig(),
        features=inputs.features.shape[1],
        edge_inputs=0,
        carried_columns=inputs.carried,
        people=inputs.n,
    )

    def epoch_done(state: RunState) -> None:
        log.info("encoder_epoch", **{name: round(value, 4) for name, value in state.history[-1].items()})

    log.info("encoder_training_begins", encoder=chosen.encoder.name, labels=len(labels[0]))
    output = RunOutput(log, state=state, epoch_done=epoch_done)
    training = chosen.training
    trained = train_encoder(
        inputs, labels, shape, training, seed=chosen.seed, output=output, begins=begins, processes=processes
    )
    if trained.history and trained.seconds:
        pairs = trained.history[-1]["step"] * trained.batch_pairs
        told = {"seconds": round(trained.seconds, 2), "pairs_per_s": round(pairs / trained.seconds)}
        log.info("encoder_trained", processes=processes.count, device=trained.device, **told)
    return trained.model.encoder, trained.metrics


def embedded(
    encoder: Encoder, inputs: NDArray[np.float32], graph: Graph, *, processes: Processes = ALONE
) -> NDArray[np.float32]:
    """Embeddings (n, d) float32 of all users, rows L2-normalised, from features (n, f) and all their friends.

    Of several processes rank 0 calls this, the others follow it, and each embeds a part of the users with GraphSAGE.
    """
    if isinstance(encoder, GraphSage):
        return processes.together(_layer_by_layer, encoder, inputs, graph)
    features = torch.from_numpy(inputs)
    encoder.eval()
    with torch.no_grad():
        embeddings: torch.Tensor = encoder(features, edges_of(graph))
    return embeddings.float().numpy()


def _layer_by_layer(
    encoder: GraphSage, inputs: NDArray[np.float32], graph: Graph, *, processes: Processes
) -> NDArray[np.float32]:
    device = torch.device("cuda" if processes.device == "cuda" else "cpu")
    rows = embed_everybody(encoder.to(device), torch.from_numpy(inputs), graph, shards=processes)
    encoder.cpu()
    return rows.numpy()
