"""The soft rule of diversity: not everybody on a page from the same company."""

import heapq
from collections import Counter, deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

PAGE = 20
"""places of a page"""


def is_diverse(codes: NDArray[np.int32], most: int) -> bool:
    """Whether no code from 0 up stands more than `most` times on any page of (k,) codes in the order shown."""
    if most >= PAGE:
        return True
    shown = codes.tolist()
    for begin in range(0, len(shown), PAGE):
        page = shown[begin : begin + PAGE]
        if len(set(page)) + most > len(page):  # whatever repeats, nothing stands more than `most` times
            continue
        if any(code >= 0 and count > most for code, count in Counter(page).items()):
            return False
    return True


def diversified(codes: Sequence[int], places: int, most: int) -> list[int]:
    """Positions of the candidates for the first `places` places, page by page, each page in the order of its positions.

    `codes` are the candidates' values of one column, best candidate first; a code below 0 is no value and never
    counts. A page takes the best remaining candidates, at most `most` of one value; the others wait for the next page.
    Where everybody left is over the limit, the best of those who wait fill the page, so nothing is lost.
    The places of a page do not depend on `places`. Takes every candidate up once and each waiting value once a page.
    """
    waiting: dict[int, deque[int]] = {}
    chosen: list[int] = []
    upcoming, total = 0, len(codes)
    while len(chosen) < min(places, total):
        taken: dict[int, int] = {}
        page = _waited(waiting, taken, most) if waiting else []
        room = PAGE - len(page)
        while room and upcoming < total:
            code = codes[upcoming]
            count = taken.get(code, 0)
            if count < most:
                if code >= 0:
                    taken[code] = count + 1
                page.append(upcoming)
                room -= 1
            else:
                waiting.setdefault(code, deque()).append(upcoming)
            upcoming += 1
        if room:
            page += _fill(waiting, room)
        page.sort()
        chosen += page
    return chosen[:places]


def _waited(waiting: dict[int, deque[int]], taken: dict[int, int], most: int) -> list[int]:
    """The best positions for a page of those that wait, taken out of their queues and counted in `taken`."""
    page: list[int] = []
    heads = [(queue[0], code) for code, queue in waiting.items() if queue]
    heapq.heapify(heads)
    while heads and len(page) < PAGE:
        _, code = heapq.heappop(heads)
        queue = waiting[code]
        page.append(queue.popleft())
        taken[code] = taken.get(code, 0) + 1
        if queue and taken[code] < most:
            heapq.heappush(heads, (queue[0], code))
    return page


def _fill(waiting: dict[int, deque[int]], places: int) -> list[int]:
    """The best positions that wait, at most `places`, taken out of their queues."""
    best: list[int] = []
    heads = [(queue[0], code) for code, queue in waiting.items() if queue] if places else []
    heapq.heapify(heads)
    while heads and len(best) < places:
        _, code = heapq.heappop(heads)
        queue = waiting[code]
        best.append(queue.popleft())
        if queue:
            heapq.heappush(heads, (queue[0], code))
    return best
