"""Whom the members of each group know best."""

import numpy as np
from numpy.typing import NDArray

from models.arrays import Float32s
from models.kernels.numba_cache import compiled


@compiled()
def best_known(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    members: NDArray[np.int32],
    starts: NDArray[np.int64],
    group_of: NDArray[np.int32],
    shown: NDArray[np.bool_],
    background: Float32s,
    prior: float,
    ends: NDArray[np.int64],
    rows: NDArray[np.int32],
    rates: Float32s,
    counts: NDArray[np.int64],
    left: Float32s,
) -> None:
    """For each group the people whom most of its members know, best first, whether they are members or not.

    The members of group g are `members[starts[g] : starts[g + 1]]`, and `group_of` (n,) tells everybody's group, -1 for
    none. A person's rate is the share of the other members who know her, shrunk by `prior` towards her `background`
    (n,); only people `shown` (n,) are kept. Fills `rows` and `rates` from `ends[g]` on with at most
    `ends[g + 1] - ends[g]` people, `counts` (G,) with how many there are, and `left` (G,) with the highest rate of
    those who had no place: 0 if everybody had one.
    """
    n = len(indptr) - 1
    known, touched, found = np.zeros(n, np.int32), np.empty(n, np.int32), np.empty(n, np.float32)
    for g in range(len(starts) - 1):
        total = 0
        for at in range(starts[g], starts[g + 1]):
            for place in range(indptr[members[at]], indptr[members[at] + 1]):
                other = indices[place]
                if not shown[other]:
                    continue
                if known[other] == 0:
                    touched[total] = other
                    total += 1
                known[other] += 1
        size = float(starts[g + 1] - starts[g])
        for k in range(total):
            other = touched[k]
            others = size - 1.0 if group_of[other] == g else size
            found[k] = (known[other] + prior * background[other]) / (others + prior)
            known[other] = 0
        most, first = ends[g + 1] - ends[g], ends[g]
        kept = min(most, total)
        counts[g], left[g] = kept, 0.0
        if kept == 0:
            continue
        # those above the best who has no place, and of those who equal her the first
        places = np.arange(total)
        if total > most:
            bound = np.partition(found[:total], total - most - 1)[total - most - 1]
            left[g] = bound
            chosen, equal = 0, most - np.sum(found[:total] > bound)
            for k in range(total):
                if found[k] > bound or (found[k] == bound and equal > 0):
                    equal -= found[k] == bound
                    places[chosen] = k
                    chosen += 1
            places = places[:kept]
        order = np.argsort(-found[places], kind="mergesort")
        for k in range(kept):
            place = places[order[k]]
            rows[first + k], rates[first + k] = touched[place], found[place]


@compiled()
def add_gains(
    rows: NDArray[np.uint32],
    gains: Float32s,
    left: float,
    unknown: float,
    people: NDArray[np.uint32],
    background: Float32s,
    total: Float32s,
) -> None:
    """Adds to `total` (m,) the gains of `people` (m,), rising, of whom `rows` (k,), rising, have `gains` (k,).

    Anybody else has ln(`left` / `background`), 0 at most, or `unknown` if `left` is 0.
    """
    k, last = len(rows), 0
    for at in range(len(people)):
        low, high = last, k
        while low < high:
            middle = (low + high) >> 1
            if rows[middle] < people[at]:
                low = middle + 1
            else:
                high = middle
        last = low
        if low < k and rows[low] == people[at]:
            total[at] += gains[low]
        elif left <= 0:
            total[at] += np.float32(unknown)
        elif left < background[at]:
            total[at] += np.float32(np.log(left / background[at]))
