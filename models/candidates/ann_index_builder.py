"""Building the index in a process of its own, since FAISS's OpenMP and torch's do badly in one."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.candidates.ann_index import (
    IndexConfig,
    IndexManifest,
    build_index,
    save_index,
)
from models.errors import PymkError
from models.system.files import read_array, write_array

BuildIndex = Callable[[Path, Path, Path, NDArray[np.int64], int, IndexConfig], IndexManifest]
"""embeddings, directory, neighbours, rows, k and configuration of `build_index_in_own_process`"""


def build_index_in_own_process(
    embeddings: Path, directory: Path, neighbours: Path, rows: NDArray[np.int64], k: int, config: IndexConfig
) -> IndexManifest:
    """Builds the index of `embeddings`, an .npy (n, d) float32, in a child process and writes it to `directory`.

    Also writes `neighbours`, an .npy (len(rows), k) int32: the k nearest of each of `rows` but themselves, nearest
    first, -1 where there are fewer. The child ends when this process does, however it ends, and with this call. Raises
    what `build_index` raises, and PymkError where the child was killed.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(target=_run, args=(sending, embeddings, directory, neighbours, rows, k, config))
    with receiving:
        with _without_interrupts():
            child.start()
        sending.close()
        try:
            outcome: IndexManifest | Exception = receiving.recv()
        except EOFError as error:
            raise PymkError(
                "the process that builds the index was killed, most likely for want of memory: "
                "give the night more, or lower the index's links"
            ) from error
        finally:
            child.kill()
            child.join()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Starts processes that Ctrl-C does not reach: it goes to all of a terminal's, and the parent ends its own."""
    resource_tracker.ensure_running()  # which would let the signal through again when it starts itself
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(
    sending: Connection,
    embeddings: Path,
    directory: Path,
    neighbours: Path,
    rows: NDArray[np.int64],
    k: int,
    config: IndexConfig,
) -> None:
    """What the child does; sends what came of it."""
    _end_with_parent()
    try:
        outcome: IndexManifest | Exception = build_index_here(embeddings, directory, neighbours, rows, k, config)
    except Exception as error:  # raised again by the parent
        outcome = error
    sending.send(outcome)


def build_index_here(
    embeddings: Path, directory: Path, neighbours: Path, rows: NDArray[np.int64], k: int, config: IndexConfig
) -> IndexManifest:
    """The same in this process, for so few people that a process would cost more than the index."""
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
