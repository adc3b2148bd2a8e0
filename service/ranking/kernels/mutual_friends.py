"""Friends who may be named, and which of them are mutual."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled


@compiled()
def nameable(
    friends: NDArray[np.int32],
    forbidden: NDArray[np.int32],
    flags: NDArray[np.uint8],
    required: int,
    named: NDArray[np.int32],
) -> int:
    """Writes into `named` those of `friends` who have all `required` bits in `flags` (n,) and are not `forbidden`.

    All three ascend; returns how many are named.
    """
    count, barred = 0, 0
    for friend in friends:
        while barred < len(forbidden) and forbidden[barred] < friend:
            barred += 1
        if barred < len(forbidden) and forbidden[barred] == friend:
            continue
        if flags[friend] & required == required:
            named[count] = friend
            count += 1
    return count


@compiled()
def mutual_friends(
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    friends: NDArray[np.int32],
    shown: NDArray[np.uint32],
    marks: NDArray[np.bool_],
    counts: NDArray[np.int64],
    examples: NDArray[np.int32],
) -> int:
    """Counts into `counts` (k,) how many of `friends` each person `shown` (k,) is connected with.

    Writes into `examples` (k x e,) the rows to name, person after person, up to e for each: those with the fewest
    connections first, equals by row. Returns how many in all. `marks` (n,) is scratch, all False before and after.
    """
    most = len(examples) // max(len(shown), 1)
    degrees = np.empty(most, dtype=np.int64)
    first = 0
    # mark the friends
    for friend in friends:
        marks[friend] = True
    # by person: the count, and the examples by insertion sort
    for person in range(len(shown)):
        row, count, held = np.int64(shown[person]), 0, 0
        for edge in range(indptr[row], indptr[row + 1]):
            friend = indices[edge]
            if not marks[friend]:
                continue
            count += 1
            degree = indptr[friend + 1] - indptr[friend]
            at = held
            while at > 0 and degrees[at - 1] > degree:
                at -= 1
            if at == most:
                continue
            held = min(held + 1, most)
            for slot in range(held - 1, at, -1):
                degrees[slot] = degrees[slot - 1]
                examples[first + slot] = examples[first + slot - 1]
            degrees[at] = degree
            examples[first + at] = friend
        counts[person] = count
        first += held
    # clear the marks
    for friend in friends:
        marks[friend] = False
    return first
