"""The training step of a night: embeddings and ranker, from friendships hidden from what they read."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from models.features.towers import TowerShape
from models.graph import Graph
from models.networks.config import GraphSageConfig
from models.networks.encoder import Encoder
from models.networks.ranker_head import RankerHead
from models.schema.pair_features import DEFAULT_PRERANK_WEIGHTS, PAIR_FEATURES
from models.system import files, memory_budget
from offline.encoders.config import PARTS
from offline.encoders.embed import graphsage_encoder, train_night_encoder
from offline.encoders.inputs import graph_inputs
from offline.features.edge_splits import dates_of
from offline.features.graph_features import GraphFeatures, SpectralReference, compute_graph_features
from offline.features.temporal_graph import EdgeSplit, Friendships
from offline.night.config import NightConfig
from offline.night.context import NightContext
from offline.night.former import WeightsPlan
from offline.night.model_bundle import ModelBundle, Training
from offline.night.retraining.label_window import label_share, oldest_label
from offline.night.retraining.warm_start import WarmStart
from offline.night.towers import chosen_towers
from offline.night.workspace import Workspace
from offline.ranker.calibration import calibration_splits, outcome_weight, sampled_viewers
from offline.ranker.one_input import best_single_input
from offline.ranker.ranker_lists import RankerLists
from offline.ranker.train import train_ranker
from offline.ranker.training_lists import Purpose, TrainingLists, training_lists
from offline.steps.stages import stage

FEW = 3
"""friends that are left to a newcomer with some, at most"""

LEAST_LEFT = 0.45
"""of the friendships: an earlier window begins no earlier than when so many were there"""

LEAST_LISTS = 1000
"""to learn from, however small the budget of memory is"""

_BYTES_OF_PLACE = 6
"""of a training list, beside the codes: row, sources, outcome"""

log = structlog.get_logger(__name__)


def train_or_keep(work: Workspace, night: NightContext, split: EdgeSplit, plan: WeightsPlan) -> None:
    """Makes the training step of a night: trains, or saves the former weights.

    A training begins with the former weights where they fit, if the configuration says so. One that is killed goes on
    from the workspace's checkpoints, which are removed at the end.
    """
    log.info("training" if plan.reason else "training_skipped", reason=plan.reason or "the former weights are kept")
    checkpoints = work.checkpoints("training")
    with work.making("training") as aside:
        if plan.kept is not None:
            replace(plan.kept, outcomes=None).save(aside)  # these are learned anew each night
            return
        scratch = aside / "scratch"
        warm = WarmStart.of(plan.replaced, night.snapshot.vocabulary) if night.config.warm_start else None
        train(night, split.kept, split.moment(night.snapshot.cut), scratch, checkpoints, warm).save(aside)
        files.remove_tree(scratch)
    files.remove_tree(checkpoints)


def train(
    night: NightContext,
    readable: Friendships,
    moment: int,
    directory: Path,
    checkpoints: Path | None = None,
    warm: WarmStart | None = None,
) -> ModelBundle:
    """Learns from the friendships that training may read, all made before `moment`.

    Probabilities are calibrated on all that the night knows, which is the graph that serves. `directory` takes what is
    made on the way, and `checkpoints` what a killed training goes on from; None: it begins again. `warm` are weights to
    begin with.
    """
    hidden = hide(night, readable)
    embedding = embed(night, hidden, moment, checkpoints, warm)
    lists = None if checkpoints is None else RankerLists.kept(checkpoints, embedding.encoder)
    if lists is None:
        lists = make_lists(night, hidden, embedding, moment, directory)
        if checkpoints is not None:
            lists.keep(checkpoints, embedding.encoder)
    else:
        log.info("training_lists_kept", lists=len(lists.lists))
    ranker, ranked = fit(night, lists, checkpoints, None if warm is None else warm.former.ranker)
    metrics = {f"sage_{name}": value for name, value in embedding.metrics.items()} | ranked
    metrics["tower_dimensions"] = float(lists.towers.dimensions)
    return ModelBundle(
        encoder=night.encoder,
        embedder=embedding.encoder,
        ranker=ranker,
        prerank_weights=DEFAULT_PRERANK_WEIGHTS,
        spectral=embedding.features.positions,
        vocabulary=night.snapshot.vocabulary,
        training=Training(
            trained_at=night.started_at,
            users=night.snapshot.n,
            connections=night.known.count,
            configuration=night.config.learning(),
            metrics=metrics,
            towers=lists.towers,
        ),
    )


@dataclass(frozen=True)
class HiddenParts:
    """Which friendships are hidden from what."""

    labels: EdgeSplit
    """the encoder's: it passes messages over what is kept, and learns what is hidden"""
    ordinary: list[EdgeSplit]
    """the ranker's outcomes"""
    newcomers: list[EdgeSplit]
    """outcomes of users who have few friends left, or none"""
    calibration: list[EdgeSplit]
    """thin parts, to calibrate probabilities on"""

    @property
    def purposes(self) -> list[tuple[EdgeSplit, Purpose]]:
        """Every part that the ranker's lists are made of, in their order."""
        parts = (
            (self.ordinary, Purpose.ORDINARY),
            (self.newcomers, Purpose.NEWCOMERS),
            (self.calibration, Purpose.CALIBRATION),
        )
        return [(one, purpose) for several, purpose in parts for one in several]


def hide(night: NightContext, readable: Friendships) -> HiddenParts:
    """Hides parts of the readable friendships from the encoder and from the ranker's features.

    Two parts are hidden one after the other: the ranker's outcomes, and, of what remains, the encoder's labels. The
    encoder passes messages over neither; the ranker's graph lacks only its own outcomes, so that the embeddings it
    reads know no more of them than of the future. If one such part makes few lists, more are hidden, each
    alone and from all that is read. Some users are made newcomers, so that the ranker learns to rank by a profile
    alone. Thin parts are hidden last, to calibrate on.
    """
    split = night.config.split
    oldest = oldest_label(readable, split)
    outcomes = readable.split_edges(label_share(readable, split, oldest, parts=2), split.seed + 1)
    labels = outcomes.kept.split_edges(label_share(outcomes.kept, split, oldest, parts=1), split.seed + 2)
    messages = labels.kept
    log.info(
        "training_split",
        messages=messages.count,
        encoder_labels=len(labels.hidden.indices) // 2,
        ranker_labels=len(outcomes.hidden.indices) // 2,
    )
    ranker, has_profiles = night.config.ranker, night.history.people.coded.has_values
    return HiddenParts(
        labels=labels,
        ordinary=[outcomes, *extra_splits(readable, messages, outcomes, night.config)],
        newcomers=list(_newcomers(outcomes, night.config)) if has_profiles else [],
        calibration=list(calibration_splits(night.known, messages, ranker, split.seed + 2 + ranker.rounds)),
    )


@dataclass(frozen=True)
class Embedding:
    """The trained encoder, and the graph that it passed messages over."""

    encoder: Encoder
    features: GraphFeatures
    metrics: dict[str, float]


def embed(
    night: NightContext,
    hidden: HiddenParts,
    moment: int,
    checkpoints: Path | None = None,
    warm: WarmStart | None = None,
) -> Embedding:
    """GraphSAGE, or the encoder chosen in its place, trained to rank the labels high."""
    labels = hidden.labels
    people = night.history.before(labels.moment(moment), labels.kept)
    features = compute_graph_features(labels.kept.graph, people)
    inputs = graph_inputs(features, people, PARTS, np.zeros(features.graph.n, np.int64))
    chosen = night.config.encoder or graphsage_encoder(night.config.sage, inputs.structural)
    begins = None
    if warm is not None and isinstance(chosen.encoder, GraphSageConfig):
        wanted = chosen.encoder.model_copy(update={"inputs": inputs.features.shape[1]})
        then = warm.former.encoder.encode(night.snapshot.profiles)
        begins = warm.encoder_weights(wanted, people.profile, then)
    if warm is not None and begins is not None:  # what the weights read
        features = compute_graph_features(features.graph, people, warm.reference, known=features)
        inputs = graph_inputs(features, people, PARTS, np.zeros(features.graph.n, np.int64))
    state = None if checkpoints is None else checkpoints / "encoder"
    with stage("encoder", people=features.graph.n):
        encoder, metrics = night.processes.together(
            train_night_encoder, inputs, labels.hidden.pairs(), chosen, begins, state=state
        )
    return Embedding(encoder, features, metrics | {"warm": float(begins is not None)})


def make_lists(
    night: NightContext, hidden: HiddenParts, embedding: Embedding, moment: int, directory: Path
) -> RankerLists:
    """The candidates of viewers in every graph that lacks a part, with what was hidden as outcomes."""
    towers = TowerShape(dimensions=max(night.config.ranker.tower_dimensions))
    builder = night.candidates(embedding.encoder, DEFAULT_PRERANK_WEIGHTS, towers)
    reference, purposes = SpectralReference.of(embedding.features), hidden.purposes
    ranker, kept = night.config.ranker, night.config.candidates.kept
    per_list = kept * (len(PAIR_FEATURES) + _BYTES_OF_PLACE) * 2  # once by part, once stacked
    most_lists = memory_budget.within(ranker.lists, per_list, least=LEAST_LISTS)
    lists, statistics = [], []

    def add(at: int, part: EdgeSplit, purpose: Purpose) -> None:
        """Adds the lists of one part; all that its graph took is free again when this returns."""
        nonlocal builder, towers
        # the graph without the part, and who asks in it
        around = night.history.before(part.moment(moment), part.kept)
        features = compute_graph_features(part.kept.graph, around, reference)
        if purpose is Purpose.CALIBRATION:
            most, weight = ranker.calibration_lists, outcome_weight(part)
            viewers = sampled_viewers(part.kept.graph, around.suggestible, most, night.seed + at)
        else:
            most, weight = -(-most_lists // len(hidden.ordinary)), 1.0
            viewers = viewers_of(part, around.suggestible, night.config, most)
        # their candidates
        view = builder.build(features, around, viewers, directory / f"ranker-{at}")
        if at == 0:
            towers = chosen_towers(view, viewers, part.hidden, night.config)
            view, builder = view.with_towers(towers), replace(builder, towers=towers)
        with stage("lists", viewers=len(viewers)):
            made = training_lists(view.generator, viewers, part.hidden, kept, purpose=purpose, outcome_weight=weight)
        lists.append(made)
        statistics.append(features.statistics)
        log.info("training_lists_made", round=at + 1, of=len(purposes), viewers=len(viewers))

    for at, (part, purpose) in enumerate(purposes):
        add(at, part, purpose)
    stacked = TrainingLists.stacked(lists, night.snapshot.n)
    return RankerLists(stacked, np.concatenate(statistics), towers)


def fit(
    night: NightContext, made: RankerLists, checkpoints: Path | None = None, former: RankerHead | None = None
) -> tuple[RankerHead | None, dict[str, float]]:
    """The ranker and its metrics.

    If too few friendships are among the candidates to learn from, it is the order of one input, or None where resource
    allocation is the best of these. `former` is a ranker that it may begin with.
    """
    lists, config = made.lists, night.config.ranker
    learns = lists.purpose != Purpose.CALIBRATION
    outcomes = lists.outcomes[learns]
    found, learners = int(outcomes.sum()), len(np.unique(lists.users[learns][outcomes.any(axis=1)]))
    if found < config.least_pairs or learners < 2:
        single = best_single_input(lists, made.statistics, config, log=log)
        if single is not None:
            return single.model, {f"ranker_{name}": value for name, value in single.metrics.items()}
        log.warning("ranker_falls_back", to="resource_allocation", pairs=found, needed=config.least_pairs)
        return None, {}
    state = None if checkpoints is None else checkpoints / "ranker"
    with stage("ranker", lists=len(lists)):
        trained = night.processes.together(
            train_ranker, lists, made.statistics, DEFAULT_PRERANK_WEIGHTS, config, former, log=log, state=state
        )
    return trained.model, {f"ranker_{name}": value for name, value in trained.metrics.items()}


def extra_splits(
    readable: Friendships, messages: Friendships, first: EdgeSplit, config: NightConfig
) -> Iterator[EdgeSplit]:
    """More parts to hide from the ranker, one at a time, until there are as many lists as it reads.

    The encoder's labels are in none of them: its embeddings fit these better than they will fit the future. If
    friendships have dates, each part is a window before the one before it, as of its own beginning, as long as half of
    the friendships remain: the future is not like a random part of the past, nor like its beginnings.
    """
    viewers = int(np.count_nonzero(first.hidden.degrees))
    if not viewers:
        return
    rounds = range(1, min(config.ranker.rounds, -(-config.ranker.lists // viewers)))
    if first.cut is not None:
        yield from _earlier_windows(readable, messages, config, len(first.hidden.indices) // 2, len(rounds))
        return
    for round_ in rounds:
        share = len(first.hidden.indices) / max(len(messages.graph.indices), 1)
        hidden = messages.split_edges(min(share, 0.5), config.split.seed + 2 + round_).hidden
        yield EdgeSplit(Friendships(readable.graph.without(*hidden.pairs()), None), hidden, None)


def _earlier_windows(
    readable: Friendships, messages: Friendships, config: NightConfig, first: int, most: int
) -> Iterator[EdgeSplit]:
    """The windows before those of encoder and ranker, the last first, each as of its beginning.

    None of them is older than the training window, but for what `split.least_recent` wants.
    """
    left, split = messages, config.split
    oldest, found = oldest_label(readable, split), first
    for _ in range(most):
        part = left.split_edges(split.labels_of(left.count), split.seed)
        if part.cut is None or part.kept.count < readable.count * LEAST_LEFT:
            return
        if oldest is not None and part.cut < oldest and found >= split.least_recent:
            return
        yield part
        left, found = part.kept, found + len(part.hidden.indices) // 2


def _newcomers(outcomes: EdgeSplit, config: NightConfig) -> Iterator[EdgeSplit]:
    """Some users made newcomers: half of them have no friend left, the others one to three."""
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
    """(u,) active users with an outcome to learn from, `most` at most, ascending."""
    viewers = np.flatnonzero((outcomes.hidden.degrees > 0) & active)
    drawn = np.random.default_rng(config.split.seed).permutation(viewers)[:most]
    return np.sort(drawn).astype(np.int64)
