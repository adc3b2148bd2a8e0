"""The training step of a night: embeddings and ranker, from friendships hidden from what they read."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from models.candidates.generator import DEFAULT_PRERANK_WEIGHTS
from models.features.profile_encoder import ProfileEncoder
from models.graph import Graph
from models.networks.decoders import DotConfig
from models.networks.embedder import EmbedderConfig
from models.networks.identity import NoIdentityConfig
from offline.encoders.embed import Network
from offline.encoders.inputs import PARTS, graph_inputs
from offline.encoders.train_graphsage import train_graphsage
from offline.encoders.trainer import train_encoder
from offline.features.edge_splits import dates_of
from offline.features.graph_features import (
    GraphFeatures,
    People,
    SpectralReference,
    compute_graph_features,
)
from offline.features.temporal_graph import EdgeSplit, Friendships, UserHistory
from offline.night.candidates import build_candidates
from offline.night.config import NightConfig
from offline.night.model_bundle import ModelBundle, Training
from offline.ranker.calibration import calibration_splits, outcome_weight, sampled_viewers
from offline.ranker.train import train_ranker
from offline.ranker.training_lists import Purpose, TrainingLists, training_lists
from offline.snapshot.snapshot import Snapshot

FEW = 3
"""friends that are left to a newcomer with some, at most"""

log = structlog.get_logger(__name__)


def train(
    snapshot: Snapshot,
    encoder: ProfileEncoder,
    user_history: UserHistory,
    readable: Friendships,
    known: Friendships,
    moment: int,
    config: NightConfig,
    directory: Path,
    trained_at: datetime,
) -> ModelBundle:
    """Learns from the friendships that training may read, all made before `moment`; probabilities are calibrated on all
    that are `known`, which are the graph that serves.

    Two parts of them are hidden one after the other: the ranker's outcomes, and, of what remains, the encoder's. The
    encoder passes messages over neither; the ranker's graph lacks only its own outcomes, so that the embeddings it
    reads say no more of them than they will of the future. Where one such part makes few lists, more are hidden, each
    alone and from all that is read; and some people are made newcomers, so that the ranker knows what to make of a
    profile alone. Thin parts are hidden last, to calibrate on.
    """
    split = config.split
    outcomes = readable.split_edges(split.labels_of(readable.count), split.seed + 1)
    seen = outcomes.kept
    labels = seen.split_edges(split.labels_of(seen.count), split.seed + 2)
    messages = labels.kept
    log.info(
        "training_split",
        messages=messages.count,
        encoder_labels=len(labels.hidden.indices) // 2,
        ranker_labels=len(outcomes.hidden.indices) // 2,
    )

    people_then = user_history.before(labels.moment(moment), messages)
    early = compute_graph_features(messages.graph, people_then)
    network, told = _embedder(early, labels.hidden, people_then, config)
    reference = SpectralReference.of(early)

    ordinary = [outcomes, *extra_splits(readable, messages, outcomes, config)]
    hidings = [(one, Purpose.ORDINARY) for one in ordinary]
    if user_history.people.coded.has_values:
        hidings += [(one, Purpose.NEWCOMERS) for one in _newcomers(outcomes, config)]
    thin = calibration_splits(known, messages, config.ranker, split.seed + 2 + config.ranker.rounds)
    hidings += [(one, Purpose.CALIBRATION) for one in thin]
    lists, people, statistics = [], [], []
    for at, (hiding, purpose) in enumerate(hidings):
        around = user_history.before(hiding.moment(moment), hiding.kept)
        graph_features = compute_graph_features(hiding.kept.graph, around, reference)
        if purpose is Purpose.CALIBRATION:
            viewers = sampled_viewers(
                hiding.kept.graph, around.suggestible, config.ranker.calibration_lists, split.seed + at
            )
        else:
            viewers = viewers_of(hiding, around.suggestible, config, -(-config.ranker.lists // len(ordinary)))
        view = build_candidates(
            graph_features,
            around,
            network,
            DEFAULT_PRERANK_WEIGHTS,
            viewers,
            directory / f"ranker-{at}",
            config.candidates,
            config.index,
        )
        worth = outcome_weight(hiding) if purpose is Purpose.CALIBRATION else 1.0
        lists.append(
            training_lists(
                view.generator, viewers, hiding.hidden, config.candidates.kept, purpose=purpose, outcome_weight=worth
            )
        )
        people.append(view.tower_inputs)
        statistics.append(graph_features.statistics)
        log.info("training_lists_made", round=at + 1, of=len(hidings), viewers=len(viewers))
    joined = TrainingLists.stacked(lists, snapshot.n)
    learnt_from = joined.outcomes[joined.purpose != Purpose.CALIBRATION]
    found = int(learnt_from.sum())
    learners = len(np.unique(joined.users[joined.purpose != Purpose.CALIBRATION][learnt_from.any(axis=1)]))
    metrics = {f"sage_{name}": value for name, value in told.items()}
    ranker = None
    if found >= config.ranker.least_pairs and learners > 1:
        trained = train_ranker(
            joined, np.concatenate(people), np.concatenate(statistics), DEFAULT_PRERANK_WEIGHTS, config.ranker, log=log
        )
        ranker = trained.model
        metrics |= {f"ranker_{name}": value for name, value in trained.metrics.items()}
    else:
        log.warning("ranker_falls_back", to="resource_allocation", pairs=found, needed=config.ranker.least_pairs)
    return ModelBundle(
        encoder=encoder,
        embedder=network,
        ranker=ranker,
        prerank_weights=DEFAULT_PRERANK_WEIGHTS,
        spectral=early.positions,
        vocabulary=snapshot.vocabulary,
        training=Training(
            trained_at=trained_at,
            users=snapshot.n,
            connections=known.count,
            configuration=config.learning(),
            metrics=metrics,
        ),
    )


def _embedder(
    early: GraphFeatures, labels: Graph, people: People, config: NightConfig
) -> tuple[Network, dict[str, float]]:
    """The network that embeds people, trained to rank the friendships of `labels`, and how well it does."""
    if config.encoder is None:
        sage = train_graphsage(
            early.inputs,
            early.graph,
            labels.pairs(),
            config.sage,
            structural_columns=early.structural,
            carried_columns=early.carried,
            log=log,
        )
        return sage.model, sage.metrics
    inputs = graph_inputs(early, people, PARTS, np.zeros(early.graph.n, np.int64))
    shape = EmbedderConfig.shaped(
        config.encoder.encoder,
        NoIdentityConfig(),
        DotConfig(),
        features=inputs.features.shape[1],
        edge_inputs=0,
        carried_columns=inputs.carried,
        people=inputs.n,
    )
    chosen = config.encoder
    trained = train_encoder(inputs, labels.pairs(), shape, chosen.training, seed=chosen.seed, log=log)
    return trained.model, trained.metrics


def extra_splits(
    readable: Friendships, messages: Friendships, first: EdgeSplit, config: NightConfig
) -> Iterator[EdgeSplit]:
    """More parts to hide from the ranker, one at a time, until there are as many lists as it reads.

    The friendships that the encoder was asked for are in none of them: its embeddings know these better than they will
    know the future. Where friendships have dates only the last ones are hidden, and once: the future is not like a
    random part of the past.
    """
    viewers = int(np.count_nonzero(first.hidden.degrees))
    if first.cut is not None or not viewers:
        return
    for round_ in range(1, min(config.ranker.rounds, -(-config.ranker.lists // viewers))):
        share = len(first.hidden.indices) / max(len(messages.graph.indices), 1)
        hidden = messages.split_edges(min(share, 0.5), config.split.seed + 2 + round_).hidden
        yield EdgeSplit(Friendships(readable.graph.without(*hidden.pairs()), None), hidden, None)


def _newcomers(outcomes: EdgeSplit, config: NightConfig) -> Iterator[EdgeSplit]:
    """Some people made newcomers: half of them have no friend left, the others one to three."""
    graph, random = outcomes.kept.graph, np.random.default_rng(config.split.seed + 3)
    wanted = np.clip(graph.n // 20, config.ranker.least_newcomers, config.ranker.most_newcomers)
    chosen = random.permutation(np.flatnonzero(graph.degrees > 0))[: min(int(wanted), graph.n // 5)]
    if not len(chosen):
        return
    all_of_them = Graph.from_directed(
        graph.n, np.repeat(chosen, graph.degrees[chosen]), np.concatenate([graph.neighbours(one) for one in chosen])
    )
    left = np.maximum(random.permutation(len(chosen)) % (2 * FEW) - FEW + 1, 0)
    kept = [random.permutation(graph.neighbours(one))[:few] for one, few in zip(chosen, left, strict=True)]
    whose, friends = np.repeat(chosen, [len(one) for one in kept]), np.concatenate(kept)
    both_ways = np.concatenate([whose, friends]), np.concatenate([friends, whose])
    hidden = all_of_them.less(*both_ways)
    owners = np.repeat(np.arange(graph.n, dtype=np.int32), hidden.degrees)
    without = graph.without(owners, hidden.indices)
    dates = None if outcomes.kept.dates is None else dates_of(without, graph, outcomes.kept.dates)
    yield EdgeSplit(Friendships(without, dates), hidden, outcomes.cut)


def viewers_of(outcomes: EdgeSplit, active: NDArray[np.bool_], config: NightConfig, most: int) -> NDArray[np.int64]:
    """Active people with an outcome to learn from, `most` at most, ascending."""
    viewers = np.flatnonzero((outcomes.hidden.degrees > 0) & active)
    drawn = np.random.default_rng(config.split.seed).permutation(viewers)[:most]
    return np.sort(drawn).astype(np.int64)
