"""The stages of a step, each with its time in the log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

log = structlog.get_logger(__name__)


@contextmanager
def stage(name: str, **said: object) -> Iterator[None]:
    """Logs how long the block took by the clock, and of processors in this process alone; `said` goes with it."""
    begun, worked = time.monotonic(), time.process_time()
    yield
    seconds, cpu = time.monotonic() - begun, time.process_time() - worked
    log.info("stage_done", stage=name, seconds=round(seconds, 2), processor_s=round(cpu, 2), **said)
