"""Builds the index in a child process, since the OpenMP of FAISS and that of torch conflict in one process."""

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

from models.candidates.ann_index import IndexManifest
from models.candidates.config import IndexConfig
from models.candidates.index_build import build_index
from models.errors import PymkError
from models.system import memory_budget
from models.system.files import read_array, write_array

BuildIndex = Callable[[Path, Path, Path, NDArray[np.int64], int, IndexConfig], IndexManifest]
"""signature of `build_index_in_own_process`: embeddings, directory, neighbours, rows, k and configuration"""


def build_index_in_own_process(
    embeddings: Path, directory: Path, neighbours: Path, rows: NDArray[np.int64], k: int, config: IndexConfig
) -> IndexManifest:
    """Builds the index of `embeddings`, an .npy (n, d) float32, in a child process and writes it to `directory`.

    Also writes `neighbours`, an .npy (len(rows), k) int32: the k nearest of each of `rows`, excluding itself, nearest
    first, -1 past the last. The child ends with this call and if this process dies. Raises what `build_index` raises,
    and PymkError if the child was killed.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    child = context.Process(
        target=_run, args=(sending, memory_budget.room(), embeddings, directory, neighbours, rows, k, config)
    )
    with receiving:
        with _without_interrupts():
            child.start()
        sending.close()
        try:
            outcome: IndexManifest | Exception = receiving.recv()
        except EOFError as error:
            raise PymkError(
                "the process that builds the index was killed, probably out of memory: "
                "give the night more memory, or lower the index's links"
            ) from error
        finally:
            child.kill()
            child.join()
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Children started in this block ignore Ctrl-C, which a terminal sends to every process; the parent ends them."""
    resource_tracker.ensure_running()  # else it starts inside the block and unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run(
    sending: Connection,
    room: int | None,
    embeddings: Path,
    directory: Path,
    neighbours: Path,
    rows: NDArray[np.int64],
    k: int,
    config: IndexConfig,
) -> None:
    """Runs in the child; sends the manifest or the exception."""
    _end_with_parent()
    try:
        outcome: IndexManifest | Exception = _build(embeddings, directory, neighbours, rows, k, config, room)
    except Exception as error:  # raised again by the parent
        outcome = error
    sending.send(outcome)


def build_index_here(
    embeddings: Path, directory: Path, neighbours: Path, rows: NDArray[np.int64], k: int, config: IndexConfig
) -> IndexManifest:
    """Builds in this process: for few users a child process costs more than the index."""
    return _build(embeddings, directory, neighbours, rows, k, config, memory_budget.room())


def _build(
    embeddings: Path,
    directory: Path,
    neighbours: Path,
    rows: NDArray[np.int64],
    k: int,
    config: IndexConfig,
    room: int | None,
) -> IndexManifest:
    table: NDArray[np.float32] = read_array(embeddings, np.float32, (None, None))
    index = build_index(table, config, directory, room)
    write_array(neighbours, index.nearest_others(rows, k))
    return index.manifest


def _end_with_parent() -> None:
    """Ends this process when its parent dies; a thread watches."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
