"""Room for arrays that are wanted again and again.

Arrays of a few hundred kilobytes come from the operating system page by page each time they are made anew, which
costs more than the products that are written into them.
"""

import threading

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Scratch(threading.local):
    """Arrays by name, one set a thread; each lives until one of its name is asked for again in the same thread."""

    def __init__(self) -> None:
        self._held: dict[str, Floats] = {}
        self._last: dict[str, Floats] = {}

    def array(self, name: str, rows: int, columns: int) -> Floats:
        """(rows, columns) float32, of any content."""
        last = self._last.get(name)
        if last is not None and last.shape == (rows, columns):
            return last
        size = rows * columns
        held = self._held.get(name)
        if held is None or held.size < size:
            held = self._held[name] = np.empty(size, dtype=np.float32)
        last = self._last[name] = held[:size].reshape(rows, columns)
        return last
