"""The soft rule of diversity: not everybody on a page from the same company."""

import numpy as np
from numpy.typing import NDArray

from service.kernels.diversity import PAGE, page_by_page


def diversified(
    rows: NDArray[np.uint32], codes: NDArray[np.int32], places: int, most: int
) -> tuple[NDArray[np.int32], bool]:
    """Positions of the people at `rows` (m,), best first, for the first `places` places, and whether a page was filled.

    As service.kernels.diversity.page_by_page chooses them. A page that is filled holds more than `most` of a code: it
    might be another, were there more people.
    """
    pages = -(-places // PAGE) * PAGE
    chosen = np.empty(min(pages, len(rows)), dtype=np.int32)
    _, was_filled = page_by_page(rows, codes, most, chosen)
    return chosen[:places], was_filled
