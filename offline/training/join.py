"""How a process started by torchrun joins the others; started alone, it trains alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import structlog
import torch
import torch.distributed as dist

from models.errors import UsageError
from offline.training.processes import ALONE, Processes

STEP_S = 900.0
"""seconds that a process waits for the others in a step, after which the training fails"""
WAIT_DAYS = 30
"""that followers wait for rank 0, which works alone while it makes features and candidates"""
DEVICES = ("auto", "cpu", "cuda")
"""that several processes may be told to train on"""

log = structlog.get_logger(__name__)


def rank_here() -> int:
    """The rank that torchrun gave to this process; 0 without torchrun."""
    return int(os.environ.get("RANK", "0"))


def count_here() -> int:
    """How many processes torchrun started on all machines; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """The processes that torchrun started, as RANK, WORLD_SIZE and the like say; alone without it.

    They exchange gradients and embeddings by NCCL if each has a GPU of its own, else by Gloo between CPUs. The `device`
    that rank 0 gives decides; that of the others is not read. Raises UsageError if it wants GPUs that are not there.
    """
    if count_here() == 1:
        yield ALONE
        return
    dist.init_process_group("gloo", timeout=timedelta(seconds=STEP_S))
    yield _grouped(device)
    dist.destroy_process_group()  # after a failure the process ends, which the others notice at once


def _grouped(device: str) -> Processes:
    """This process, and the groups in which it exchanges."""
    waits = dist.new_group(backend="gloo", timeout=timedelta(days=WAIT_DAYS))
    processes = Processes(dist.get_rank(), dist.get_world_size(), "cpu", waits)
    wanted = processes.agreed(lambda: device)
    if wanted not in DEVICES:
        raise UsageError(f"device {wanted}: several processes train on CPUs or on CUDA GPUs; choose auto, cpu or cuda")

    # whether each process has a GPU
    place, here = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    gpus = torch.cuda.device_count() if wanted != "cpu" and torch.cuda.is_available() else 0
    with_gpu = torch.tensor([float(gpus >= here)])
    on_gpus = bool(processes.mean(with_gpu) == 1)
    if wanted == "cuda" and not on_gpus:
        raise UsageError("device cuda: some machine has fewer GPUs than processes; start as many as it has")
    if on_gpus:
        torch.cuda.set_device(place)
    if processes.leads:
        log.info("processes_joined", processes=processes.count, device="cuda" if on_gpus else "cpu")

    # how they exchange
    backend, timeout = "cpu:gloo,cuda:nccl" if on_gpus else "gloo", timedelta(seconds=STEP_S)
    gathers, gradients = (dist.new_group(backend=backend, timeout=timeout) for _ in range(2))
    return Processes(processes.rank, processes.count, "cuda" if on_gpus else "cpu", waits, gathers, gradients)
