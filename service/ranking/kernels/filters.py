"""Which rules drop which candidates, and who is left."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled


@compiled()
def filter_masks(
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
    masks: NDArray[np.uint16],
) -> None:
    """Writes the `masks` (m,) of the candidates at `rows` (m,): the rules that drop each, one bit a rule.

    A person is dropped by their flags: `rules_of_flags` (256,) of `flags` (n,). And by their relationship to the
    viewer, a row, or below 0 for a viewer without one: `indptr`, `indices` are the friendships, `forbidden_*` the
    forbidden pairs and their kinds, both as compressed sparse rows; `others` (k,) and `bits` (k,) are live state, which
    overrules both. `rules_of_pair` (256,) are the rules by relationship, `connected` that of connections, `own` the
    viewer's own. `marks` (n,) is scratch, all 0 before and after.
    """
    # mark the people with a relationship to the viewer: the version's, then live state
    if viewer >= 0:
        for at in range(indptr[viewer], indptr[viewer + 1]):
            marks[indices[at]] = connected
        for at in range(forbidden_indptr[viewer], forbidden_indptr[viewer + 1]):
            marks[forbidden_indices[at]] |= rules_of_pair[forbidden_kinds[at]]
    for at in range(len(others)):
        marks[others[at]] = rules_of_pair[bits[at]]
    if viewer >= 0:
        marks[viewer] |= np.uint16(own)
    # the masks of the candidates
    for place in range(len(rows)):
        row = np.int64(rows[place])
        masks[place] = rules_of_flags[flags[row]] | marks[row]
    # clear the marks
    if viewer >= 0:
        for at in range(indptr[viewer], indptr[viewer + 1]):
            marks[indices[at]] = 0
        for at in range(forbidden_indptr[viewer], forbidden_indptr[viewer + 1]):
            marks[forbidden_indices[at]] = 0
        marks[viewer] = 0
    for at in range(len(others)):
        marks[others[at]] = 0


@compiled()
def places_left(
    masks: NDArray[np.uint16], exempted: int, places: NDArray[np.int32], dropped: NDArray[np.int64]
) -> tuple[int, int]:
    """Writes into `places` (m,) those of the candidates that no rule but `exempted` drops, in their order.

    `masks` (m,) are the rules that drop each; `dropped` (b,) counts, by bit, the candidates whose first rule it is.
    Returns how many places are written, and how many of those an exempted rule drops.
    """
    left, hidden_now = 0, 0
    for place in range(len(masks)):
        mask = np.int64(masks[place])
        if mask:
            first = 0
            while not mask >> first & 1:
                first += 1
            dropped[first] += 1
            if mask & ~exempted:
                continue
            hidden_now += 1
        places[left] = place
        left += 1
    return left, hidden_now
