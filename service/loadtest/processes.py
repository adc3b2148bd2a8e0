"""Runs a load in several processes that start sending at the same time, and adds up their counters."""

import asyncio
import contextlib
import gc
import multiprocessing
import multiprocessing.connection
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from models.errors import PymkError
from models.system.parent_death import end_with_parent
from service.loadtest.counters import Counters
from service.loadtest.driver import Driver
from service.loadtest.http_requests import Messages, Target
from service.loadtest.workload import Mix, Zipf, plan_requests

Pipe = multiprocessing.connection.Connection

MAX_SLICES = 240
_START_DELAY_S = 0.2
"""between the message with the start and the start"""
_PROGRESS_S = 0.25
_READY_S = 60.0


@dataclass(frozen=True)
class Load:
    """What all processes of one run send together."""

    target: Target
    ids: Sequence[str]
    mix: Mix
    rate: float
    duration_s: float
    warm_up_s: float
    processes: int
    connections: int
    timeout_s: float
    zipf: float
    seed: int
    event_kinds: tuple[str, ...]
    events: int

    @property
    def slice_s(self) -> float:
        """Length of the slices of the timeline."""
        return max(self.duration_s / MAX_SLICES, 1.0)


@dataclass(frozen=True)
class Progress:
    """The progress of a run."""

    elapsed_s: float
    started: int
    in_flight: int
    failed: int


@dataclass(frozen=True)
class RunResult:
    """The result of a run."""

    counters: Counters
    partial: bool
    """it was interrupted"""
    measured_s: float
    """length of the measured part"""
    processor_share: float
    """share of a core that a process of the harness used on average"""


OnProgress = Callable[[Progress], None]
"""called a few times a second during a run; its time delays no request"""


def run(load: Load, on_progress: OnProgress) -> RunResult:
    """Runs a load to its end, or to Ctrl-C, after which the result is partial.

    Raises PymkError if a process cannot connect or dies.
    """
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    try:
        for number in range(load.processes):
            mine, theirs = context.Pipe()
            process = context.Process(target=_run_process, args=(theirs, load, number, os.getpid()), daemon=True)
            process.start()
            theirs.close()
            pipes.append(mine)
            processes.append(process)
        for pipe in pipes:
            _receive(pipe, _READY_S)
        start_s = time.monotonic() + _START_DELAY_S
        for pipe in pipes:
            pipe.send(start_s)
        counters, partial = _collect(pipes, start_s, on_progress)
        for process in processes:
            process.join(_READY_S)
    finally:
        for process in processes:
            process.kill()
            process.join()
        for pipe in pipes:
            pipe.close()
    measured_s = load.duration_s
    if partial:
        measured_s = min(max(time.monotonic() - start_s - load.warm_up_s, 0.0), load.duration_s)
    elapsed_s = max(time.monotonic() - start_s, 1e-9) * load.processes
    return RunResult(counters, partial, measured_s, counters.processor_s / elapsed_s)


def _collect(pipes: list[Pipe], start_s: float, on_progress: OnProgress) -> tuple[Counters, bool]:
    """The counters of all processes added up, and whether the run was interrupted."""
    whole = Counters()
    states: dict[Pipe, tuple[int, int, int]] = {}
    open_pipes, partial, last_s = list(pipes), False, 0.0
    while open_pipes:
        try:
            for pipe in multiprocessing.connection.wait(open_pipes, _PROGRESS_S):
                assert isinstance(pipe, Pipe)  # noqa: S101  # nothing else was waited for
                message = _receive(pipe, 0.0)
                if isinstance(message, Counters):
                    whole.merge(message)
                    open_pipes.remove(pipe)
                elif message is not None:
                    states[pipe] = message
            now = time.monotonic()
            if now - last_s >= _PROGRESS_S and not partial:
                last_s = now
                started, in_flight, failed = (sum(state[at] for state in states.values()) for at in range(3))
                on_progress(Progress(max(now - start_s, 0.0), started, in_flight, failed))
        except KeyboardInterrupt:
            if partial:
                raise
            partial = True
            for pipe in open_pipes:
                pipe.send(None)
    return whole, partial


def _receive(pipe: Pipe, timeout_s: float) -> "Counters | tuple[int, int, int] | None":
    """The next message of a process. Raises PymkError with the error that the process reports, or if it died."""
    try:
        if timeout_s and not pipe.poll(timeout_s):
            raise PymkError(f"a process of the load test is not ready after {timeout_s:.0f} s")
        message: Counters | tuple[int, int, int] | str | None = pipe.recv()
    except EOFError as error:
        raise PymkError("a process of the load test died") from error
    if isinstance(message, str):
        raise PymkError(message)
    return message


def _run_process(pipe: Pipe, load: Load, number: int, parent: int) -> None:
    """What each process runs; its parent handles Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(parent)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the parent has ended
        try:
            pipe.send(_event_loop_runner()(_drive(pipe, load, number)))
        except Exception as error:
            reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            pipe.send(f"{load.target.origin}: {reason or type(error).__name__}")


def _event_loop_runner() -> Callable[..., Counters]:
    """`uvloop.run` if it is installed, else `asyncio.run`."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


async def _drive(pipe: Pipe, load: Load, number: int) -> Counters:
    """The counters of this process after its share of the load."""
    random = np.random.default_rng([load.seed, number])
    seconds = load.warm_up_s + load.duration_s
    zipf = Zipf(len(load.ids), load.zipf, load.seed)
    plan = plan_requests(load.rate / load.processes, seconds, load.mix, zipf, random)
    counters = Counters(slice_s=load.slice_s, planned=int((plan.starts_s >= load.warm_up_s).sum()))
    share = load.connections // load.processes + (number < load.connections % load.processes)
    driver = Driver(
        load.target,
        plan,
        Messages(load.target, load.ids, load.event_kinds, load.events, random),
        counters,
        connections=share,
        timeout_s=load.timeout_s,
        warm_up_s=load.warm_up_s,
    )
    await driver.open()
    gc.freeze()
    gc.disable()  # a run makes no reference cycles, and a collection would delay its requests
    pipe.send(None)
    start_s = pipe.recv()
    if start_s is None:
        return counters
    asyncio.get_running_loop().add_reader(pipe.fileno(), driver.stop)  # any message means: stop
    used_s = time.process_time()
    reporting = asyncio.create_task(_report_progress(pipe, driver, counters))
    await driver.run(start_s)
    reporting.cancel()
    counters.processor_s = time.process_time() - used_s
    asyncio.get_running_loop().remove_reader(pipe.fileno())
    os.set_blocking(pipe.fileno(), True)  # the event loop had made it non-blocking
    return counters


async def _report_progress(pipe: Pipe, driver: Driver, counters: Counters) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_S)
        pipe.send((driver.started, driver.in_flight, sum(one.failed for one in counters.outcomes)))
