"""The device that training runs on, and what it supports."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from structlog.typing import FilteringBoundLogger

from models.errors import UsageError

WORTH_COMPILING = 1000
"""steps of a run that save more than compiling takes"""

Choice = Literal["auto", "never", "always"]


def chosen_device(name: str) -> torch.device:
    """The device of that name; auto is CUDA, then MPS, then the CPU. Raises UsageError if there is none."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, is_there in there.items() if is_there)
    if not there[name]:
        raise UsageError(f"device {name}: this machine has none; choose auto or cpu")
    return torch.device(name)


def autocast(device: torch.device, choice: Choice) -> AbstractContextManager[Any]:
    """Matrix products in bfloat16 if that is chosen, which needs no scaling of gradients; else no change.

    A CUDA device without bfloat16 stays at float32.
    """
    able = device.type != "cuda" or torch.cuda.is_bf16_supported()
    if choice == "always" or (choice == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, dtype=torch.bfloat16, enabled=able)
    return nullcontext()


def compiled(
    function: Callable[..., Any], device: torch.device, choice: Choice, steps: int, log: FilteringBoundLogger
) -> Callable[..., Any]:
    """The function compiled if that is chosen; if compiling fails, the function as it is, with a warning in the log.

    Auto compiles on CUDA, for runs long enough to save the minute that it takes.
    """
    if choice == "never" or (choice == "auto" and (device.type != "cuda" or steps < WORTH_COMPILING)):
        return function
    fast, works = torch.compile(function, dynamic=True), True

    def called(*arguments: Any) -> Any:
        nonlocal works
        if works:
            try:
                return fast(*arguments)
            except Exception as error:
                works = False
                log.warning("compile_failed", error=str(error).splitlines()[0][:200])
        return function(*arguments)

    return called


def free_bytes(device: torch.device) -> int:
    """Free memory of the device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    memory = Path("/proc/meminfo")
    for line in memory.read_text("ascii").splitlines() if memory.exists() else ():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 2**31


def synchronise(device: torch.device) -> None:
    """Waits until the device has finished its queued work, so that times are right."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
