"""The processes of a run: started, begun at one moment, watched, and their tallies added up."""

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
from models.system.parent_death import tie
from service.loadtest.arrivals import Zipf, planned
from service.loadtest.counters import Tally, total
from service.loadtest.driver import Driver
from service.loadtest.http_requests import Messages, Target
from service.loadtest.mix import Mix

Pipe = multiprocessing.connection.Connection

LONGEST_S = 4 * 3600
MOST_SLICES = 240
_BEGIN_S = 0.2
"""from the word to begin to the beginning"""
_PROGRESS_S = 0.25
_READY_S = 60.0


@dataclass(frozen=True)
class Load:
    """What is sent in one run, by all processes together."""

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
        """Length of the stretches that the run is shown in."""
        return max(self.duration_s / MOST_SLICES, 1.0)


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    elapsed_s: float
    begun: int
    in_work: int
    failed: int


@dataclass(frozen=True)
class Finished:
    """A run that is over."""

    tally: Tally
    partial: bool
    """it was interrupted"""
    measured_s: float
    """how long it was measured"""
    processor_share: float
    """of one core, what a process of the harness used on average"""


Watch = Callable[[Progress], None]
"""called now and then while it runs; what it takes delays nothing"""


def run(load: Load, watch: Watch) -> Finished:
    """Runs a load to its end, or to Ctrl-C, which leaves a partial result.

    Raises PymkError where a process cannot connect or dies.
    """
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    try:
        for number in range(load.processes):
            mine, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, load, number, os.getpid()), daemon=True)
            process.start()
            theirs.close()
            pipes.append(mine)
            processes.append(process)
        for pipe in pipes:
            _received(pipe, _READY_S)
        begins_s = time.monotonic() + _BEGIN_S
        for pipe in pipes:
            pipe.send(begins_s)
        tallies, partial = _watched(pipes, load, begins_s, watch)
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
        measured_s = min(max(time.monotonic() - begins_s - load.warm_up_s, 0.0), load.duration_s)
    whole = total(tallies)
    busy_s = max(time.monotonic() - begins_s, 1e-9) * load.processes
    return Finished(whole, partial, measured_s, whole.processor_s / busy_s)


def _watched(pipes: list[Pipe], load: Load, begins_s: float, watch: Watch) -> tuple[list[Tally], bool]:
    """The tallies of all processes, and whether they were stopped before their time."""
    tallies: list[Tally] = []
    states: dict[Pipe, tuple[int, int, int]] = {}
    open_pipes, partial, last_s = list(pipes), False, 0.0
    while open_pipes:
        try:
            for pipe in multiprocessing.connection.wait(open_pipes, _PROGRESS_S):
                assert isinstance(pipe, Pipe)  # noqa: S101  # nothing else was waited for
                said = _received(pipe, 0.0)
                if isinstance(said, Tally):
                    tallies.append(said)
                    open_pipes.remove(pipe)
                elif said is not None:
                    states[pipe] = said
            now = time.monotonic()
            if now - last_s >= _PROGRESS_S and not partial:
                last_s = now
                begun, in_work, failed = (sum(state[at] for state in states.values()) for at in range(3))
                watch(Progress(max(now - begins_s, 0.0), begun, in_work, failed))
        except KeyboardInterrupt:
            if partial:
                raise
            partial = True
            for pipe in open_pipes:
                pipe.send(None)
    return tallies, partial


def _received(pipe: Pipe, patience_s: float) -> "Tally | tuple[int, int, int] | None":
    """What a process says. Raises PymkError with what it failed of, or that it is gone."""
    try:
        if patience_s and not pipe.poll(patience_s):
            raise PymkError("a process of the load test does not get ready")
        said: Tally | tuple[int, int, int] | str | None = pipe.recv()
    except EOFError as error:
        raise PymkError("a process of the load test died") from error
    if isinstance(said, str):
        raise PymkError(said)
    return said


def _work(pipe: Pipe, load: Load, number: int, parent: int) -> None:
    """A process of the fleet: Ctrl-C is its parent's matter."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tie(parent)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # nobody listens any more
        try:
            pipe.send(_runner()(_driven(pipe, load, number)))
        except Exception as error:
            reason = error.strerror or str(error) if isinstance(error, OSError) else str(error)
            pipe.send(f"{load.target.origin}: {reason or type(error).__name__}")


def _runner() -> Callable[..., Tally]:
    """uvloop's way to run a coroutine where it is installed, else asyncio's."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


async def _driven(pipe: Pipe, load: Load, number: int) -> Tally:
    """What this process saw of its share of the load."""
    random = np.random.default_rng([load.seed, number])
    seconds = load.warm_up_s + load.duration_s
    zipf = Zipf(len(load.ids), load.zipf, load.seed)
    plan = planned(load.rate / load.processes, seconds, load.mix, zipf, random)
    tally = Tally(slice_s=load.slice_s, planned=int((plan.starts_s >= load.warm_up_s).sum()))
    share = load.connections // load.processes + (number < load.connections % load.processes)
    driver = Driver(
        load.target,
        plan,
        Messages(load.target, load.ids, load.event_kinds, load.events, random),
        tally,
        connections=share,
        timeout_s=load.timeout_s,
        warm_up_s=load.warm_up_s,
    )
    await driver.open()
    gc.freeze()
    gc.disable()  # a run makes no cycles, and a collection would make its requests late
    pipe.send(None)
    begins_s = pipe.recv()
    if begins_s is None:
        return tally
    asyncio.get_running_loop().add_reader(pipe.fileno(), driver.stop)  # whatever comes, it is the word to stop
    used_s = time.process_time()
    telling = asyncio.create_task(_tell(pipe, driver, tally))
    await driver.run(begins_s)
    telling.cancel()
    tally.processor_s = time.process_time() - used_s
    asyncio.get_running_loop().remove_reader(pipe.fileno())
    os.set_blocking(pipe.fileno(), True)  # the event loop had changed that
    return tally


async def _tell(pipe: Pipe, driver: Driver, tally: Tally) -> None:
    while True:
        await asyncio.sleep(_PROGRESS_S)
        pipe.send((driver.begun, driver.in_work, sum(one.failed for one in tally.outcomes)))
