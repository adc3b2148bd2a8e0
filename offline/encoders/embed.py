"""The encoder of a night: which one it is, its training, and the embeddings of all users."""

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from structlog.typing import FilteringBoundLogger

from models.graph import Graph
from models.networks.config import DotConfig, GraphSageConfig, NoIdentityConfig
from models.networks.embedder import EmbedderConfig
from models.networks.encoder import Encoder
from models.networks.graphsage import GraphSage, embed_everybody, without_positions_of_the_friendless
from models.networks.neighbours import edges_of
from offline.encoders.config import GraphSageTrainingConfig, NightEncoder
from offline.encoders.inputs import GraphInputs
from offline.encoders.resume import RunState
from offline.encoders.trainer import RunOutput, train_encoder


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
    log: FilteringBoundLogger,
) -> tuple[Encoder, dict[str, float]]:
    """The encoder that ranks the friends named by `labels`, two (m,), high, and the metrics of its best epoch."""
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
    output = RunOutput(log, epoch_done=epoch_done)
    trained = train_encoder(inputs, labels, shape, chosen.training, seed=chosen.seed, output=output)
    return trained.model.encoder, trained.metrics


def embedded(encoder: Encoder, inputs: NDArray[np.float32], graph: Graph) -> NDArray[np.float32]:
    """Embeddings (n, d) float32 of all users, rows L2-normalised, from features (n, f) and all their friends."""
    features = torch.from_numpy(inputs)
    if isinstance(encoder, GraphSage):
        rows: NDArray[np.float32] = embed_everybody(encoder, features, graph).numpy()
        return rows
    encoder.eval()
    with torch.no_grad():
        embeddings: torch.Tensor = encoder(features, edges_of(graph))
    return embeddings.float().numpy()
