"""The training step of a night: embeddings and ranker, from friendships hidden from what they read."""

from datetime import datetime
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from models.candidates import CHEAP_DEFAULT
from models.features.profile import ProfileEncoder
from offline.config import NightConfig
from offline.learnt import Learnt, Training
from offline.perspective import Reference, perspective, survey
from offline.population import Friendships, Parted, Population
from offline.ranker import train_ranker
from offline.sage_training import train_graphsage
from offline.snapshot import Snapshot
from offline.training_lists import training_lists

log = structlog.get_logger(__name__)


def train(
    snapshot: Snapshot,
    encoder: ProfileEncoder,
    population: Population,
    readable: Friendships,
    whole: int,
    moment: int,
    config: NightConfig,
    directory: Path,
    trained_at: datetime,
) -> Learnt:
    """Learns from the friendships that training may read, all made before `moment`; there are `whole` in all.

    Two parts of them are hidden one after the other: the ranker's outcomes, and, of what remains, the encoder's. The
    encoder passes messages over neither; the ranker's graph lacks only its own outcomes, so that the embeddings it
    reads say no more of them than they will of the future.
    """
    split = config.split
    outcomes = readable.parted(split.labels_of(readable.count), split.seed + 1)
    seen = outcomes.kept
    labels = seen.parted(split.labels_of(seen.count), split.seed + 2)
    messages = labels.kept
    log.info(
        "training_split",
        messages=messages.count,
        encoder_labels=len(labels.hidden.indices) // 2,
        ranker_labels=len(outcomes.hidden.indices) // 2,
    )

    early = survey(messages.graph, population.before(labels.moment(moment), messages))
    a, b = labels.hidden.pairs()
    sage = train_graphsage(
        early.inputs,
        messages.graph,
        (a, b),
        config.sage,
        structural_columns=early.structural,
        carried_columns=early.carried,
        log=log,
    )
    reference = Reference.of(early)

    people = population.before(outcomes.moment(moment), seen)
    surroundings = survey(seen.graph, people, reference)
    viewers = _viewers(outcomes, people.suggestible, config)
    view = perspective(
        surroundings, people, sage.model, CHEAP_DEFAULT, viewers, directory / "ranker", config.candidates, config.index
    )
    lists = training_lists(view.maker, viewers, outcomes.hidden, config.candidates.kept)
    found, learners = int(lists.outcomes.sum()), np.count_nonzero(lists.outcomes.any(axis=1))
    metrics = {f"sage_{name}": value for name, value in sage.metrics.items()}
    ranker = None
    if found >= config.ranker.least_pairs and learners > 1:
        trained = train_ranker(lists, view.tower_inputs, surroundings.statistics, CHEAP_DEFAULT, config.ranker, log=log)
        ranker = trained.model
        metrics |= {f"ranker_{name}": value for name, value in trained.metrics.items()}
    else:
        log.warning("ranker_falls_back", to="resource_allocation", pairs=found, needed=config.ranker.least_pairs)
    return Learnt(
        encoder=encoder,
        sage=sage.model,
        ranker=ranker,
        cheap=CHEAP_DEFAULT,
        spectral=early.positions,
        vocabulary=snapshot.vocabulary,
        training=Training(
            trained_at=trained_at,
            users=snapshot.n,
            connections=whole,
            configuration=config.learning(),
            metrics=metrics,
        ),
    )


def _viewers(outcomes: Parted, active: NDArray[np.bool_], config: NightConfig) -> NDArray[np.int64]:
    """Active people with an outcome to learn from, at most as many as the ranker reads, ascending."""
    viewers = np.flatnonzero((outcomes.hidden.degrees > 0) & active)
    drawn = np.random.default_rng(config.split.seed).permutation(viewers)[: config.ranker.users]
    return np.sort(drawn).astype(np.int64)
