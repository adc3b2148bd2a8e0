"""Pages with at most so many people of one value."""

import numpy as np
from numpy.typing import NDArray

from models.kernels.numba_cache import compiled

PAGE = 20
"""places of a page"""


@compiled()
def page_by_page(
    rows: NDArray[np.uint32], codes: NDArray[np.int32], most: int, chosen: NDArray[np.int32]
) -> tuple[int, bool]:
    """Fills `chosen` (p,) with places of the people at `rows` (m,), best first, each page in the order of its places.

    A page takes the best who are left, at most `most` of one code; `codes` (n,) are those of all users, one below 0 is
    no value and never counts. If all who are left are over the limit, the best of them fill the page, so no one is
    lost. The places of a page do not depend on how many are asked for. Returns how many are chosen, and whether a page
    had to be filled.
    """
    used = np.zeros(len(rows), dtype=np.bool_)
    taken = np.empty(PAGE, dtype=np.int32)
    count, first, had_to_fill = 0, 0, False
    while count < min(len(chosen), len(rows)):
        # the best who are left, at most `most` of one code
        begin = count
        end = min(begin + PAGE, len(chosen), len(rows))
        at = first
        while count < end and at < len(rows):
            if not used[at]:
                code, same = codes[np.int64(rows[at])], 0
                for other in range(count - begin):
                    same += taken[other] == code
                if code < 0 or same < most:
                    chosen[count], taken[count - begin], used[at] = at, code, True
                    count += 1
            at += 1
        # if they do not fill the page: the best of the rest
        if count < end:
            had_to_fill = True
            at = first
            while count < end:
                if not used[at]:
                    slot = count  # a page keeps the order of its places
                    while slot > begin and chosen[slot - 1] > at:
                        chosen[slot] = chosen[slot - 1]
                        slot -= 1
                    chosen[slot], used[at] = at, True
                    count += 1
                at += 1
        while first < len(rows) and used[first]:
            first += 1
    return count, had_to_fill
