"""Trainings that give the same weights again, on any number of threads of a CPU."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def repeatable(device: str = "cpu") -> Iterator[None]:
    """Inside, sums on a CPU are added in one order, whatever the threads do; on other devices nothing changes.

    Gradients of rows that several pairs read are added by all threads at once otherwise, in the order in which they
    come. Takes no longer. With another number of threads sums are divided otherwise, and weights differ by rounding.
    """
    if device != "cpu":
        yield
        return
    settings: Any = torch.utils.deterministic
    before, fills = torch.get_deterministic_debug_mode(), settings.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    settings.fill_uninitialized_memory = False  # for finding faults, and slow
    try:
        yield
    finally:
        torch.set_deterministic_debug_mode(before)
        settings.fill_uninitialized_memory = fills
