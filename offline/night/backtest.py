"""A backtest: what a night would serve on the friendships it knows, evaluated on those it does not."""

import random
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import structlog
from numpy.typing import NDArray

from models.cold_start.network import Network
from models.errors import DatasetError
from models.features.profile_encoder import ProfileEncoder
from models.graph import Graph
from models.schema.columns import Flag
from models.schema.profiles import CategoricalColumn
from models.schema.vocabulary import Vocabulary
from models.version.tables import most_connected
from offline.dataset.pairs import read_connections
from offline.dataset.table_files import open_table
from offline.evaluation.baselines import POPULARITY, baseline_lists, popular_of_group
from offline.evaluation.newcomers.profile_answers import ProfileAnswers, profile_answers
from offline.evaluation.report import (
    RATIO_LIMIT,
    SYSTEM,
    Report,
    Slice,
    judge_lists,
)
from offline.evaluation.study import study
from offline.features.edge_splits import dates_of, hide_people
from offline.features.graph_features import People
from offline.features.temporal_graph import Friendships, friendships, user_history
from offline.night.config import NightConfig
from offline.night.context import NightContext
from offline.night.evaluate import CandidateSystem
from offline.night.model_bundle import ModelBundle
from offline.night.train import train
from offline.snapshot.snapshot import Snapshot

HIDDEN_SHARE = 0.1
"""of the friendships, if none are held out beforehand"""
MOST_USERS = 3000
NEWCOMERS = "a profile alone, as if they came tomorrow"
NEWCOMER_SHARE = 0.05
"""of the users with friends"""
log = structlog.get_logger(__name__)


def backtest(
    snapshot: Snapshot, held_out: Path | None, home: Path, config: NightConfig, users: int = MOST_USERS
) -> Report:
    """Learns from the snapshot of a dataset as a night does, and evaluates the candidates of at most `users` users.

    The friendships in the file `held_out` are to be found; without it the last of the dataset's own, or a random part
    if they have no dates, are hidden from everything and are to be found. `home` is an empty directory that takes
    what is made on the way. Raises DatasetError if the dataset or the file cannot be used.
    """
    # what is known and what is to be found
    known, hidden, moment = known_and_hidden(snapshot, held_out, config.split.seed)
    encoder = ProfileEncoder.fit(snapshot.profiles, config.text_model)
    night = NightContext(snapshot, encoder, user_history(snapshot, encoder), known, config, datetime.now(UTC))

    # training: a night keeps a part of what it knows from it, for its gate
    gate = known.split_edges(config.split.judged_share, config.split.seed)
    train(night, gate.kept, gate.moment(moment), home / "training").save(home / "learnt")
    bundle = ModelBundle.open(home / "learnt")

    # evaluation
    people = night.history.before(moment, known)
    viewers = sample(np.flatnonzero((hidden.degrees > 0) & active_people(snapshot)), users)
    log.info("evaluating", users=len(viewers), held_out=len(hidden.indices) // 2, known=known.count)
    system = CandidateSystem.of(night, bundle, known.graph, people, viewers, home / "candidates")
    report = study(
        hidden,
        known.graph,
        viewers,
        system.ranked(viewers, config.candidates.kept),
        known=people.known,
        suggestible=people.suggestible,
        seed=config.split.seed,
        late=people.late,
    )
    parts = judge_lists(hidden, viewers, system.ablated(viewers, RATIO_LIMIT), seed=config.split.seed)
    newcomers = evaluate_newcomers(night, bundle, people, moment, home / "newcomers", users)
    ablation = {name: at[RATIO_LIMIT] for name, at in parts.methods.items()}
    return report.model_copy(
        update={
            "ablation": ablation,
            "slices": report.slices | {NEWCOMERS: newcomers},
            "newcomers": cold_starts(snapshot, known.graph, people.suggestible, night.seed, users),
        }
    )


def cold_starts(
    snapshot: Snapshot, graph: Graph, suggestible: NDArray[np.bool_], seed: int, most: int
) -> ProfileAnswers | None:
    """Cold starts of at most `most` users as if they came tomorrow, by what they have answered of their profile."""
    kept, hidden, drawn = hide_people(graph, NEWCOMER_SHARE, seed)
    active, here = active_people(snapshot), np.ones(graph.n, np.bool_)
    here[drawn] = False
    columns = {name: one for name, one in snapshot.profiles.columns.items() if isinstance(one, CategoricalColumn)}
    codes = [column.codes for column in columns.values()]
    network = Network(
        kept,
        suggestible,
        most_connected(kept, np.where(suggestible, snapshot.flags, 0).astype(np.uint8)),
        list(columns),
        np.stack(codes, axis=1).astype(np.int32) if codes else np.zeros((graph.n, 0), np.int32),
        [len(column.values) for column in columns.values()],
    )
    newcomers = sample(drawn[(hidden.degrees[drawn] > 0) & active[drawn]], most)
    return profile_answers(network, newcomers, hidden, here & active, seed=seed)


def evaluate_newcomers(
    night: NightContext, bundle: ModelBundle, people: People, moment: int, directory: Path, most: int
) -> Slice:
    """Lists of at most `most` users as if they came tomorrow with a profile and no friends, evaluated on the
    friendships that they have with those who stay.

    Beside the most popular of all and of the same value, by the profile column that does best. Training has seen their
    friendships among all the others; embeddings, profile affinities and candidates have not.
    """
    # a graph without the friendships of a share of the users
    snapshot, seed = night.snapshot, night.seed
    kept, hidden, drawn = hide_people(night.known.graph, NEWCOMER_SHARE, seed)
    viewers = sample(drawn[(hidden.degrees[drawn] > 0) & active_people(snapshot)[drawn]], most)
    if not len(viewers):
        return Slice(users=0, methods={})
    activity = people.activity.copy()
    activity[drawn] = 0
    log.info("evaluating_newcomers", users=len(viewers), held_out=len(hidden.indices) // 2)

    # their lists by the system and by popularity
    dates = night.known.dates
    left = Friendships(kept, None if dates is None else dates_of(kept, night.known.graph, dates))
    without = replace(people, activity=activity, dated=night.history.before(moment, left).dated)
    system = CandidateSystem.of(night, bundle, kept, without, viewers, directory)
    known, suggestible = people.known, people.suggestible
    lists = {SYSTEM: system.ranked(viewers, RATIO_LIMIT).rows}
    lists |= baseline_lists(kept, viewers, RATIO_LIMIT, known=known, suggestible=suggestible, methods=[POPULARITY])
    groups = {
        f"popular of the same {name}": popular_of_group(
            kept, viewers, RATIO_LIMIT, column.codes, known=known, suggestible=suggestible
        )
        for name, column in snapshot.profiles.columns.items()
        if isinstance(column, CategoricalColumn)
    }

    # the report keeps the best column
    report = judge_lists(hidden, viewers, lists | groups, seed=seed)
    methods = {name: at[RATIO_LIMIT] for name, at in report.methods.items()}
    best = sorted(groups, key=lambda name: methods[name].recall.value)[-1:]
    return Slice(users=report.users, methods={name: methods[name] for name in (*lists, *best)})


def active_people(snapshot: Snapshot) -> NDArray[np.bool_]:
    """(n,) who is active."""
    return np.asarray(snapshot.flags & np.uint8(Flag.ACTIVE), dtype=np.bool_)


def sample(rows: NDArray[np.integer], most: int, seed: int = 0) -> NDArray[np.int64]:
    """At most `most` of the rows, ascending.

    Drawn by the standard library from the sorted ids, so that another program can draw the same people.
    """
    listed = rows.tolist()
    if len(listed) > most:
        listed = sorted(random.Random(seed).sample(listed, most))  # noqa: S311 - nothing secret about it
    return np.array(listed, dtype=np.int64)


def read_held_out(path: Path, vocabulary: Vocabulary, known: Graph) -> Graph:
    """The friendships of a file with the columns user_id and other_id, without those already known.

    Users whom the dataset does not have are dropped; what was dropped is counted and logged. Raises DatasetError
    about the file, or if nothing is left.
    """
    pairs = read_connections(open_table(path))
    a, b = vocabulary.rows(pairs["user_id"].to_list()), vocabulary.rows(pairs["other_id"].to_list())
    met = (a >= 0) & (b >= 0)
    old = np.zeros(len(a), bool)
    old[met] = known.contains(a[met], b[met])
    log.info("held_out_read", pairs=len(a), of_unknown_people=int((~met).sum()), already_known=int(old.sum()))
    hidden = Graph.from_pairs(known.n, a[met & ~old], b[met & ~old])
    if not len(hidden.indices):
        raise DatasetError(f"{path} holds no friendship of two people of the dataset who are not friends in it")
    return hidden


def known_and_hidden(snapshot: Snapshot, held_out: Path | None, seed: int) -> tuple[Friendships, Graph, int]:
    """What is known, what is to be found, and the first moment that nothing may look at."""
    whole = friendships(snapshot)
    if held_out is not None:
        return whole, read_held_out(held_out, snapshot.vocabulary, whole.graph), snapshot.cut + 1
    split_edges = whole.split_edges(HIDDEN_SHARE, seed)
    return split_edges.kept, split_edges.hidden, split_edges.moment(snapshot.cut + 1)
