"""Runs the steps of a night, and records each where it can be watched: in the store, and beside the run."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import structlog
from pydantic import ValidationError

from models.errors import ArtefactError, DiskFullError, GateRefusedError, StoreError, StoreUnavailableError
from models.publishing.night_runs import STALE_S, NightRun, RunState, StepRun, write_run
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system import files
from offline.steps import memory
from offline.steps.config import RetryConfig
from offline.steps.usage import Usage

BEAT_S = STALE_S / 3

Result = TypeVar("Result")
Sleep = Callable[[float], None]

log = structlog.get_logger(__name__)


class Recorder:
    """The record of one run. What a store that does not answer misses is written with the next change."""

    def __init__(
        self, store: SyncStore, keys: Keys, path: Path, run: NightRun, retry: RetryConfig, sleep: Sleep = time.sleep
    ) -> None:
        """`path` is a file beside the run, by which a run that is taken up again knows its earlier steps."""
        self._store, self._keys, self._path, self._retry, self._sleep = store, keys, path, retry, sleep
        self._lock = threading.Lock()
        earlier = _earlier(path, run.run)
        self._run = run if earlier is None else _taken_up(earlier, run)

    @property
    def run(self) -> NightRun:
        """What is recorded so far."""
        return self._run

    @contextmanager
    def running(self) -> Iterator[None]:
        """Records the run while the block is at work, and how it ended."""
        stop = threading.Event()
        beat = threading.Thread(target=self._beat, args=(stop,), daemon=True)
        self._change()
        beat.start()
        try:
            yield
        except BaseException as error:
            stop.set()
            state: RunState = "refused" if isinstance(error, GateRefusedError) else "failed"
            if self._run.state == "running":  # not where it ended well, and something asks to stop
                self._change(state=state, ended_at=datetime.now(UTC), error=_said(error))
            raise
        finally:
            stop.set()
            beat.join()

    def ended(self, state: RunState) -> None:
        """Records how the run ended well."""
        self._change(state=state, ended_at=datetime.now(UTC))

    def trained(self, reason: str | None) -> None:
        """Records why the run trains."""
        self._change(trained=reason)

    def step(
        self, name: str, work: Callable[[], Result], rows: Callable[[Result], int | None], *, is_done: bool = False
    ) -> Result:
        """The result of a step, which is measured, recorded, and tried again for what passes (RetryConfig).

        `rows` of the result is what it worked on; a step that `is_done` already keeps what was recorded of it.
        """
        if is_done and any(step.name == name and step.state == "done" for step in self._run.steps):
            return work()
        began, tries, wait, failure = datetime.now(UTC), 1, self._retry.first_wait_s, None
        while True:
            before = Usage.begin()
            step = StepRun(name=name, started_at=began, tries=tries, error=failure)
            self._put(step)
            try:
                result = work()
            except BaseException as error:
                failure = _said(error)
                if tries >= _allowed(error, self._retry):
                    self._put(_measured(step, before, state="failed", error=failure))
                    raise
                log.warning("step_tried_again", step=name, tries=tries, after_s=wait, error=failure)
                self._sleep(wait)
                tries, wait = tries + 1, wait * self._retry.factor
            else:
                measured = _measured(step, before, state="done", rows=rows(result))
                self._put(measured)
                memory.tell(name, measured.peak_mb or 0.0)
                return result

    def _put(self, step: StepRun) -> None:
        """Records a step in place of what was known of it, else as the last one."""
        steps = [step if one.name == step.name else one for one in self._run.steps]
        self._change(steps=steps if step in steps else [*steps, step])

    def _change(self, **changed: Any) -> None:
        with self._lock:
            self._run = self._run.model_copy(update={"seen_at": datetime.now(UTC), **changed})
            content = self._run.model_dump_json().encode()
            try:
                if self._path.parent.is_dir():
                    files.write_bytes(self._path, content)
                write_run(self._store, self._keys, self._run)
            except (StoreError, OSError, DiskFullError) as error:
                log.warning("run_not_recorded", error=str(error))

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(BEAT_S):
            self._change()


def tried(name: str, work: Callable[[], Result], retry: RetryConfig, sleep: Sleep = time.sleep) -> Result:
    """The result of something short between the steps, tried again as a step is."""
    tries, wait = 1, retry.first_wait_s
    while True:
        try:
            return work()
        except (StoreUnavailableError, DiskFullError) as error:
            if tries >= _allowed(error, retry):
                raise
            log.warning("step_tried_again", step=name, tries=tries, after_s=wait, error=_said(error))
            sleep(wait)
            tries, wait = tries + 1, wait * retry.factor


def _allowed(error: BaseException, retry: RetryConfig) -> int:
    """How many tries a step has after this failure."""
    if isinstance(error, StoreUnavailableError):
        return retry.store_tries
    return retry.disk_tries if isinstance(error, DiskFullError) else 1


def _measured(step: StepRun, before: Usage, **changed: Any) -> StepRun:
    seconds, peak, bound = Usage.now().since(before)
    return step.model_copy(
        update={
            "ended_at": datetime.now(UTC),
            "seconds": round(seconds, 3),
            "peak_mb": round(peak, 1),
            "bound_by": bound,
            **changed,
        }
    )


def _earlier(path: Path, run: str) -> NightRun | None:
    """What was recorded of this run before it was stopped."""
    try:
        found = NightRun.model_validate_json(files.read_bytes(path))
    except (ArtefactError, ValidationError):
        return None
    return found if found.run == run else None


def _taken_up(earlier: NightRun, run: NightRun) -> NightRun:
    """A run that goes on: what was at work when it was stopped begins again."""
    done = [step for step in earlier.steps if step.state == "done"]
    return run.model_copy(update={"started_at": earlier.started_at, "steps": done, "resumed": earlier.resumed + 1})


def _said(error: BaseException) -> str:
    """The line of a failure."""
    return " ".join(str(error).split())[:1000] or type(error).__name__
