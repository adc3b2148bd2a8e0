"""What the candidate jobs of the Spark engine send to their tasks, for each viewer, as the number of people grows.

    python -m tests.benchmarks.spark_growth --people 4000 16000 64000 --viewers 1024

makes a synthetic network of each size, draws the viewers of one task, and follows its rounds with the kernels of the
tasks, in this process and without Spark: which rows' friends it is sent, and whom its viewers' pools hold. Prints a
table in Markdown. Nearest neighbours come on top of the pools: `candidates.nearest` for each viewer at most.
"""

import argparse
import sys

import numpy as np

from models.candidates.config import CandidateConfig
from models.graph import Graph
from models.kernels.candidate_arrays import new_work_buffers
from offline.spark.tasks.reach import mark_missing, mark_pools
from offline.synth import network
from tests.support.offline.candidate_networks import network_of

COLUMNS = ("people", "friendships", "rounds", "lists of friends", "friends in them", "KB of friends", "people in pools")
FRIEND_BYTES = 8
"""of a friend in a list: the row, and the mark"""


def measured(people: int, viewers: int, kept: int) -> list[float]:
    """One line of the table; what is not a size of the network, or the rounds, is for one viewer."""
    pairs = network.generate(people, 20, seed=1).connections
    graph = Graph.from_pairs(people, pairs[:, 0], pairs[:, 1])
    inputs = network_of(graph, 1)
    arrays, limits = inputs.arrays(), CandidateConfig.model_validate({"kept": kept}).limits(people)
    work = new_work_buffers(graph.indptr, inputs.suggestible)
    users = np.sort(np.random.default_rng(1).choice(people, viewers, replace=False)).astype(np.int64)
    listed, rounds = np.zeros(people, np.bool_), 0
    wanted = listed.copy()
    wanted[users] = True
    while wanted.any():
        listed |= wanted
        rounds += 1
        wanted[:] = False
        mark_missing(arrays, limits, work, listed, users, wanted)
    mark_pools(arrays, limits, work, users, np.zeros((viewers, 0), np.int32), wanted)
    friends = graph.degrees[listed].sum()
    each = [count / viewers for count in (listed.sum(), friends, friends * FRIEND_BYTES / 1000, wanted.sum())]
    return [people, len(graph.indices) // 2, rounds, *each]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, nargs="+", required=True)
    parser.add_argument("--viewers", type=int, default=1024)
    parser.add_argument("--kept", type=int, default=200)
    given = parser.parse_args()
    sys.stdout.write("| " + " | ".join(COLUMNS) + " |\n" + "|" + "---|" * len(COLUMNS) + "\n")
    for people in given.people:
        line = measured(people, given.viewers, given.kept)
        cells = (f"{value:,.0f}" if value >= 10 else f"{value:.1f}" for value in line)
        sys.stdout.write("| " + " | ".join(cells) + " |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
