"""Building the index in a process of its own, since FAISS's OpenMP and torch's do badly in one."""

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import PymkError
from models.files import read_array, write_array
from models.index import IndexConfig, IndexManifest, build_index, save_index


def build_index_in_own_process(
    embeddings: Path, directory: Path, neighbours: Path, rows: NDArray[np.int64], k: int, config: IndexConfig
) -> IndexManifest:
    """Builds the index of `embeddings`, an .npy (n, d) float32, in a child process and writes it to `directory`.

    Also writes `neighbours`, an .npy (len(rows), k) int32: the k nearest of each of `rows` but themselves, nearest
    first, -1 where there are fewer. The child ends when this process does, however it ends. Raises what `build_index`
    raises, and PymkError where the child was killed.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent) as pool:
        try:
            return pool.submit(_build, embeddings, directory, neighbours, rows, k, config).result()
        except BrokenProcessPool as error:
            raise PymkError(
                "the process that builds the index was killed, most likely for want of memory: "
                "give the night more, or lower the index's links"
            ) from error


def _build(
    embeddings: Path, directory: Path, neighbours: Path, rows: NDArray[np.int64], k: int, config: IndexConfig
) -> IndexManifest:
    table: NDArray[np.float32] = read_array(embeddings, np.float32, (None, None))
    index = build_index(table, config)
    write_array(neighbours, index.nearest_others(table, rows, k))
    return save_index(index, directory)


def _end_with_parent() -> None:
    """Watches the parent from a thread, and ends this process at once when it is gone."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
