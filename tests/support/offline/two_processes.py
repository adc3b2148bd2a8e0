"""Two processes that train together in a test, over Gloo on the loopback address."""

import multiprocessing
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

WAIT_S = 120.0


class TwoProcesses:
    """They do one piece of work after the other."""

    def __init__(self, pipes: list[Connection]) -> None:
        self._pipes = pipes

    def run(self, work: Callable[..., Any], *arguments: Any) -> list[Any]:
        """What `work(*arguments, processes=...)` returns in each of the two; `work` is a function of a module.

        Raises AssertionError with the traceback of a failure.
        """
        for pipe in self._pipes:
            pipe.send((work, arguments))
        answers = []
        for pipe in self._pipes:
            assert pipe.poll(WAIT_S), "a process does not answer"
            failure, answer = pipe.recv()
            assert failure is None, failure
            answers.append(answer)
        return answers


@contextmanager
def two_processes(directory: Path) -> Iterator[TwoProcesses]:
    """Two processes, which end with the block; `directory` takes the file by which they find each other."""
    context = multiprocessing.get_context("spawn")
    pipes, started = [], []
    for rank in range(2):
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(rank, directory / "rendezvous", theirs), daemon=True)
        process.start()
        theirs.close()
        pipes.append(ours)
        started.append(process)
    try:
        yield TwoProcesses(pipes)
    finally:
        for pipe in pipes:
            pipe.close()
        for process in started:
            process.join(WAIT_S)
            process.kill()


def _work(rank: int, rendezvous: Path, pipe: Connection) -> None:
    """One of the two, which ends when its pipe is closed."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    import torch
    import torch.distributed as dist

    from offline.training.processes import Processes

    torch.set_num_threads(1)
    timeout = timedelta(seconds=WAIT_S)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2, timeout=timeout)
    processes = Processes(rank, 2, "cpu", *(dist.new_group(timeout=timeout) for _ in range(3)))
    while True:
        try:
            work, arguments = pipe.recv()
        except EOFError:
            break
        try:
            pipe.send((None, work(*arguments, processes=processes)))
        except Exception:
            pipe.send((traceback.format_exc(), None))
    dist.destroy_process_group()
