"""Which rules forbid which candidates."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled


@compiled()
def judge(
    rows: NDArray[np.uint32],
    flags: NDArray[np.uint8],
    rules_of_flags: NDArray[np.uint16],
    viewer: int,
    indptr: NDArray[np.int64],
    indices: NDArray[np.int32],
    forbidden_indptr: NDArray[np.int64],
    forbidden_indices: NDArray[np.int32],
    forbidden_kinds: NDArray[np.uint8],
    others: NDArray[np.int32],
    bits: NDArray[np.uint8],
    rules_of_pair: NDArray[np.uint16],
    own: int,
    connected: int,
    marks: NDArray[np.uint16],
    verdicts: NDArray[np.uint16],
) -> None:
    """Writes the `verdicts` (m,) of the candidates at `rows` (m,): the rules that each breaks, one bit each.

    By what a person is: `rules_of_flags` (256,) of `flags` (n,). And by the tie to the viewer, a row, or below 0
    without one: `indptr`, `indices` are the friendships, `forbidden_*` the forbidden pairs and their kinds, both as
    compressed sparse rows; `others` (k,) and `bits` (k,) what is live, which has the last word. `rules_of_pair` (256,)
    are the rules by what holds of a pair, `connected` that of connections, `own` the viewer's own. `marks` (n,) is
    scratch, all 0 before and after.
    """
    if viewer >= 0:
        for at in range(indptr[viewer], indptr[viewer + 1]):
            marks[indices[at]] = connected
        for at in range(forbidden_indptr[viewer], forbidden_indptr[viewer + 1]):
            marks[forbidden_indices[at]] |= rules_of_pair[forbidden_kinds[at]]
    for at in range(len(others)):
        marks[others[at]] = rules_of_pair[bits[at]]
    if viewer >= 0:
        marks[viewer] |= np.uint16(own)
    for place in range(len(rows)):
        row = np.int64(rows[place])
        verdicts[place] = rules_of_flags[flags[row]] | marks[row]
    if viewer >= 0:
        for at in range(indptr[viewer], indptr[viewer + 1]):
            marks[indices[at]] = 0
        for at in range(forbidden_indptr[viewer], forbidden_indptr[viewer + 1]):
            marks[forbidden_indices[at]] = 0
        marks[viewer] = 0
    for at in range(len(others)):
        marks[others[at]] = 0
