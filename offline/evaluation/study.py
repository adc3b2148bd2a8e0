"""The whole evaluation on one graph: lists, candidate pool, exposure, slices, negatives and calibration."""

import numpy as np
from numpy.typing import NDArray

from models.graph import Graph
from offline.evaluation import factorisation, metrics
from offline.evaluation.baselines import (
    BASELINES,
    DATED_BASELINES,
    PAGERANK,
    POPULARITY,
    RESOURCE_ALLOCATION,
    baseline_lists,
    baseline_scores,
)
from offline.evaluation.bootstrap import RESAMPLES, interval, resampled_means
from offline.evaluation.calibration import calibration
from offline.evaluation.exposure import exposure
from offline.evaluation.negatives import PairQuality, against, hard_negatives, random_negatives, true_pairs
from offline.evaluation.report import LIMITS, RATIO_LIMIT, SYSTEM, Pool, Report, Slice, difference, hits_of, judge_lists
from offline.evaluation.system import Ranked

FEW_FRIENDS = {"no friends": (0, 0), "1 to 3 friends": (1, 3)}
"""slices of the evaluated users by their friends in the graph"""
HEURISTICS = (RESOURCE_ALLOCATION, PAGERANK)
"""the heuristics that choose the hard negatives, which puts them at a disadvantage there"""


def study(
    held_out: Graph,
    graph: Graph,
    users: NDArray[np.int64],
    system: Ranked,
    *,
    known: Graph | None = None,
    suggestible: NDArray[np.bool_] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    threads: int = 0,
    late: NDArray[np.float32] | None = None,
) -> Report:
    """The full report on the system's rankings of `users` (U,), with `graph` as the known friendships.

    `late` (n,) is ln(1 + friendships made of late), None without dates.
    Users without a held-out friendship are dropped: every figure, calibration too, is over users who made a friend.
    """
    # rankings of the system and the baselines
    made = held_out.degrees[users] > 0
    users, system = users[made], Ranked(system.rows[made], system.scores[made])
    longest = max(LIMITS)
    lists = {SYSTEM: _filled(system.rows[:, :longest], longest)}
    lists |= baseline_lists(graph, users, longest, known=known, suggestible=suggestible, late=late)
    absent = {}
    if factorisation.is_installed():
        lists[factorisation.ALS] = factorisation.als_lists(
            graph, users, longest, known=known, suggestible=suggestible, threads=threads
        )
    else:
        absent[factorisation.ALS] = factorisation.MISSING
    # metrics of the lists
    report = judge_lists(held_out, users, lists, resamples=resamples, seed=seed)
    if not report.users:
        return report.model_copy(update={"absent": absent})
    # everything that needs more than the lists
    shown = system.rows[:, :RATIO_LIMIT]
    shorter = lists[SYSTEM].copy()
    shorter[:, RATIO_LIMIT - 1] = -1
    return report.model_copy(
        update={
            "newcomer_place": difference(held_out, users, lists[SYSTEM], shorter, resamples=resamples, seed=seed),
            "pool": _pool(held_out, users, system, resamples, seed),
            "exposure": {
                name: exposure(rows[:, :RATIO_LIMIT], graph.degrees, suggestible) for name, rows in lists.items()
            },
            "slices": {
                name: _slice(held_out, users, lists, (graph.degrees[users] >= least) & (graph.degrees[users] <= most))
                for name, (least, most) in FEW_FRIENDS.items()
            },
            "negatives": _negatives(held_out, graph, users, system, lists, suggestible, seed, late),
            "calibration": calibration(
                system.scores[:, :RATIO_LIMIT][shown >= 0], hits_of(held_out, users, shown)[shown >= 0]
            ),
            "absent": absent,
        }
    )


def _filled(rows: NDArray[np.int32], width: int) -> NDArray[np.int32]:
    """Lists padded with -1 to a width."""
    return np.pad(rows, ((0, 0), (0, width - rows.shape[1])), constant_values=-1)


def _pool(held_out: Graph, users: NDArray[np.int64], system: Ranked, resamples: int, seed: int) -> Pool:
    hits = hits_of(held_out, users, system.rows)
    found = metrics.recall(hits, held_out.degrees[users], hits.shape[1])
    means = resampled_means(found[:, None], resamples, seed)
    return Pool(recall=interval(float(found.mean()), means[:, 0]), size=float((system.rows >= 0).sum(axis=1).mean()))


def _slice(
    held_out: Graph, users: NDArray[np.int64], lists: dict[str, NDArray[np.int32]], among: NDArray[np.bool_]
) -> Slice:
    report = judge_lists(held_out, users[among], {name: rows[among] for name, rows in lists.items()})
    return Slice(users=report.users, methods={name: at[RATIO_LIMIT] for name, at in report.methods.items()})


def _negatives(
    held_out: Graph,
    graph: Graph,
    users: NDArray[np.int64],
    system: Ranked,
    lists: dict[str, NDArray[np.int32]],
    suggestible: NDArray[np.bool_] | None,
    seed: int,
    late: NDArray[np.float32] | None,
) -> dict[str, dict[str, PairQuality]]:
    kinds = {
        "random": random_negatives(graph, held_out, users, suggestible=suggestible, seed=seed),
        "hard": hard_negatives([lists[name] for name in HEURISTICS], held_out, users),
    }
    friends = true_pairs(held_out, users)
    every = np.concatenate([friends, *kinds.values()], axis=1)
    found: dict[str, dict[str, PairQuality]] = {kind: {} for kind in kinds}
    for method in (SYSTEM, *BASELINES, *(DATED_BASELINES if late is not None else ())):
        if method == SYSTEM:
            scores: NDArray[np.floating] = system.scores_of(every)
        elif method == POPULARITY:
            scores = graph.degrees[every].astype(np.float64)
        else:
            scores = baseline_scores(graph, users, every, method, late)
        at = friends.shape[1]
        for kind, others in kinds.items():
            quality = against(friends, scores[:, : friends.shape[1]], others, scores[:, at : at + others.shape[1]])
            at += others.shape[1]
            if quality is not None:
                found[kind][method] = quality
    return found
