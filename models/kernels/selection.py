"""Keeps the best of many rows: the n-th largest score, and a hash of two rows to break ties."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.candidate_arrays import WorkBuffers
from models.kernels.numba_cache import compiled

LARGEST_KEY = 2**63 - 1
"""of `tie_key`"""
BUCKET_BITS = 11
"""bits of a number that choose its bucket: the sign, the exponent and two of the fraction"""
_REST = np.uint32(32 - BUCKET_BITS)
_SIGN = np.uint32(0x80000000)


@compiled()
def bucket_of(bits: np.uint32) -> np.uint32:
    """The bucket of a float32 with these bits: higher for a larger number."""
    flipped = np.uint32(np.int32(bits) >> 31) | _SIGN  # all bits of a number below zero, else the sign alone
    return np.uint32((bits ^ flipped) >> _REST)


@compiled()
def nth_largest(values: NDArray[np.float32], nth: int) -> np.float32:
    """The `nth` largest of `values` (m,) float32, none of them NaN, with nth from 1 to m.

    Counts how many are in each bucket of like bits and sorts out only the bucket that holds it: half the time of
    quickselect, whose branches cannot be foreseen.
    """
    bits, counts = values.view(np.uint32), np.zeros(1 << BUCKET_BITS, np.int64)
    for one in bits:
        counts[bucket_of(one)] += 1
    bucket, left = len(counts) - 1, nth
    while counts[bucket] < left:
        left -= counts[bucket]
        bucket -= 1
    inside, m = np.empty(counts[bucket] + 1, np.float32), 0  # each is written, and overwritten unless it is inside
    for at in range(len(values)):
        inside[m] = values[at]
        m += bucket_of(bits[at]) == bucket
    found: np.float32 = np.partition(inside[:m], m - left)[m - left]
    return found


@compiled()
def mixed(a: int, b: int) -> int:
    """A hash of two rows to break ties, 0 to 2^31 - 1."""
    mask = np.uint64(0xFFFFFFFFFFFFFFFF)
    x = (np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(b) + np.uint64(1)) & mask
    x = ((x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)) & mask
    x = ((x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)) & mask
    return int((x ^ (x >> np.uint64(31))) >> np.uint64(33))


@compiled()
def tie_break(work: WorkBuffers, user: int, row: int) -> int:
    """`mixed` of two rows by their numbers in the whole graph."""
    if len(work.numbers) == 0:
        return mixed(user, row)
    return mixed(work.numbers[user], work.numbers[row])


@compiled()
def tie_key(work: WorkBuffers, user: int, row: int) -> int:
    """`tie_break`, and after it the number of the row: two rows may have one hash."""
    number = row if len(work.numbers) == 0 else work.numbers[row]
    return tie_break(work, user, row) << 32 | number


@compiled()
def last_tied(work: WorkBuffers, user: int, eligible: int, score: np.float32, tied: int, room: int) -> int:
    """The highest key that is kept, if `room` of the `tied` among the first `eligible` rows with this score are."""
    if tied == room:
        return LARGEST_KEY
    keys, count = np.empty(tied, np.int64), 0
    for at in range(eligible):
        if work.ranking[at] == score:
            keys[count] = tie_key(work, user, work.eligible[at])
            count += 1
    return int(np.partition(keys, room - 1)[room - 1])


@compiled()
def keep_best(work: WorkBuffers, user: int, eligible: int, limit: int) -> int:
    """Moves the `limit` best of the first `eligible` rows to the front of `work.eligible`; returns their number.

    They stay in their order. Ties keep the rows with the lowest hash.
    """
    if eligible <= limit:
        return eligible
    if limit == 0:
        return 0
    least = nth_largest(work.ranking[:eligible], limit)
    above, tied = 0, 0
    for at in range(eligible):
        above += work.ranking[at] > least
        tied += work.ranking[at] == least
    last = last_tied(work, user, eligible, least, tied, limit - above)
    kept = 0
    for at in range(eligible):  # each row is written, and overwritten by the next unless it is kept
        row, score = work.eligible[at], work.ranking[at]
        work.eligible[kept] = row
        kept += score > least or (score == least and tie_key(work, user, row) <= last)
    return kept
