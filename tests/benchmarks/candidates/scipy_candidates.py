"""Candidates a second beside scipy: everybody's 500 people of the highest resource allocation who are no friends.

    python tests/benchmarks/candidates/scipy_candidates.py --people 100000 --friends 20

scipy multiplies the friendships by themselves over the mutual friends' degrees, `A @ W @ A`, a block of rows at a time,
and numpy keeps the best of each row. The night's kernel walks over friends of friends and keeps the best of what it
reached; all other sources and features are left out, so that both do the same work. Blocks are made by one and the
other in turn, in one thread each, and the lists are compared: they are equal but for people of one score at the end.
Exit status 1 where lists differ, or the kernel makes less than 3 times as many candidates a second.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from models.graph import Graph
from models.kernels.candidate_arrays import WorkBuffers, new_work_buffers
from models.kernels.graph_walks import ALLOCATED, LIFTED, MUTUAL, spread_two_hops
from models.kernels.numba_cache import compiled
from models.kernels.selection import keep_best
from offline.synth import network

MOST = 500
AT_ONCE = 2_000
LEAST_RATIO = 3.0
ALIKE = 1e-5
"""difference of two sums of float32 in another order, as a share"""

Rows = NDArray[np.int64]
Best = tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]
"""of some users, (U, MOST) rows and their scores in any order, and how many of them each has"""


def empty(users: int) -> Best:
    return np.zeros((users, MOST), np.int32), np.zeros((users, MOST), np.float32), np.zeros(users, np.int64)


def by_scipy(graph: Graph) -> Callable[[Rows], Best]:
    """The work in scipy and numpy."""
    n = graph.n
    ones = np.ones(len(graph.indices), np.float32)
    friendships = sp.csr_array((ones, graph.indices, graph.indptr.astype(np.int32)), shape=(n, n))
    weights = sp.diags_array((1 / np.maximum(graph.degrees, 1)).astype(np.float32))
    weighted = (weights @ friendships).tocsr()
    is_friend = np.zeros(n, bool)

    def best(users: Rows) -> Best:
        rows, scores, counts = empty(len(users))
        product = friendships[users] @ weighted
        for at, user in enumerate(users.tolist()):
            part = slice(product.indptr[at], product.indptr[at + 1])
            found, allocated = product.indices[part], product.data[part]
            known = graph.neighbours(user)
            is_friend[known] = is_friend[user] = True
            others = ~is_friend[found]
            is_friend[known] = is_friend[user] = False
            found, allocated = found[others], allocated[others]
            if len(found) > MOST:
                kept = np.argpartition(allocated, len(found) - MOST)[-MOST:]
                found, allocated = found[kept], allocated[kept]
            counts[at] = len(found)
            rows[at, : len(found)], scores[at, : len(found)] = found, allocated
        return rows, scores, counts

    return best


@compiled()
def fill_best(
    indptr: Rows,
    indices: NDArray[np.int32],
    users: Rows,
    work: WorkBuffers,
    rows: NDArray[np.int32],
    scores: NDArray[np.float32],
    counts: Rows,
) -> None:
    """Fills rows, scores and counts as `Best` has them, by the night's kernels."""
    for at in range(len(users)):
        user = users[at]
        reached = spread_two_hops(indptr, indices, user, work.near, work.two)
        work.hidden[user] = 1
        for edge in range(indptr[user], indptr[user + 1]):
            work.hidden[indices[edge]] = 1
        eligible = 0
        for row in work.two[:reached]:
            if work.hidden[row] == 0:
                work.eligible[eligible] = row
                work.ranking[eligible] = work.near[row, ALLOCATED]
                eligible += 1
        counts[at] = keep_best(work, user, eligible, rows.shape[1])
        for place in range(counts[at]):
            row = work.eligible[place]
            rows[at, place], scores[at, place] = row, work.near[row, ALLOCATED]
        work.hidden[user] = 0
        for edge in range(indptr[user], indptr[user + 1]):
            work.hidden[indices[edge]] = 0
        for row in work.two[:reached]:
            work.near[row, MUTUAL] = work.near[row, ALLOCATED] = work.near[row, LIFTED] = 0.0


def by_kernel(graph: Graph) -> Callable[[Rows], Best]:
    """The work by the night's kernels."""
    work = new_work_buffers(graph.indptr, np.ones(graph.n, bool))

    def best(users: Rows) -> Best:
        found = empty(len(users))
        fill_best(graph.indptr, graph.indices, users, work, *found)
        return found

    return best


def unlike(one: Best, other: Best) -> int:
    """Of how many users the lists differ: in their number, their scores, or in anybody above the last score."""
    count = 0
    for rows, scores, m, others, expected, k in zip(*one, *other, strict=True):
        if m != k or not np.allclose(np.sort(scores[:m]), np.sort(expected[:k]), rtol=ALIKE, atol=0):
            count += 1
            continue
        above = scores[:m].min(initial=np.inf) * (1 + 2 * ALIKE)
        count += set(rows[:m][scores[:m] > above].tolist()) - set(others[:k].tolist()) != set()
    return count


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, compares and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--friends", type=int, default=20, help="mean friends of a person")
    chosen = parser.parse_args(arguments)
    made = network.generate(chosen.people, mean_friends=chosen.friends)
    graph = Graph.from_pairs(chosen.people, made.connections[:, 0], made.connections[:, 1])
    ways = {"scipy": by_scipy(graph), "kernel": by_kernel(graph)}
    ways["kernel"](np.arange(min(graph.n, 10)))  # compiles
    took, candidates, differing = dict.fromkeys(ways, 0.0), 0, 0
    for number, start in enumerate(range(0, graph.n, AT_ONCE)):
        users, found = np.arange(start, min(start + AT_ONCE, graph.n)), {}
        for name in sorted(ways, reverse=bool(number % 2)):
            begun = time.perf_counter()
            found[name] = ways[name](users)
            took[name] += time.perf_counter() - begun
        candidates += int(found["scipy"][2].sum())
        differing += unlike(found["scipy"], found["kernel"])
    ratio = took["scipy"] / took["kernel"]
    sys.stdout.write(
        f"{graph.n:,} people, {len(graph.indices) // 2:,} friendships, {candidates:,} candidates\n"
        f"scipy {candidates / took['scipy']:,.0f} a second\n"
        f"kernel {candidates / took['kernel']:,.0f} a second, {ratio:.1f} times\n"
        f"lists that differ: {differing:,}\n"
    )
    sys.exit(differing > 0 or ratio < LEAST_RATIO)


if __name__ == "__main__":
    main()
