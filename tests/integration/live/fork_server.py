"""Forks pymk commands out of a process in which the heavy libraries are imported: a script, for test_killed_processes.

Each command is a process of its own that may be killed like any other. It does not wait seconds for torch, so that
many more of them are begun and killed at work in the same time.

A line on stdin is JSON of `arguments`, `environment` and three files: `stdout` and `stderr` are appended to, `status`
gets the exit status of a command that ends by itself. The line on stdout that answers it is the process id. A process
that ended is buried with the next request at the earliest, until which its id is nobody else's. All end with this one,
which ends with its stdin.
"""

import gc
import json
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from models.cli.app import run
from models.system.parent_death import end_with_parent

IMPORTED = (
    "faiss",
    "models.features.profile_encoder",
    "models.kernels.profile_affinity",
    "models.candidate_refresh.generator",
    "models.networks.graphsage",
    "scipy.optimize",
    "service.app",
    "service.server.serve",
    "service.worker.worker",
    "sklearn.linear_model",
    "torch_geometric.loader",
)
"""what takes long and starts no thread, of which a fork would have none: polars, and so the night, does"""


def serve() -> None:
    """Forks until stdin ends."""
    for name in IMPORTED:
        import_module(name)
    threads = os.listdir("/proc/self/task")  # noqa: PTH208 - names are all that is wanted
    assert len(threads) == 1, f"{len(threads)} threads would not be there in a fork"
    gc.freeze()
    this = os.getpid()
    while line := sys.stdin.readline():
        bury()
        process = os.fork()
        if not process:
            command(this, **json.loads(line))
        print(process, flush=True)  # noqa: T201 - the answer


def bury() -> None:
    """Takes leave of the processes that ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def command(
    parent: int, arguments: list[str], environment: dict[str, str], stdout: str, stderr: str, status: str
) -> NoReturn:
    """What a fork does: one command, to its end."""
    end_with_parent(parent, signal.SIGKILL)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, stdout), (2, stderr)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_APPEND | os.O_CREAT), number)
    ended = run(arguments)
    Path(status).write_text(str(ended))
    os._exit(ended)


if __name__ == "__main__":
    serve()
