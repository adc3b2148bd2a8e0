"""Progress of commands with several steps: bars on a terminal, else plain log lines."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

StepProgress = Callable[[str, int, int | None], None]
"""called with a step, what is done of it and the whole, which is None if unknown"""

_EVERY_S = 10.0
"""between two lines of one step"""


@contextmanager
def step_progress(command: str) -> Iterator[StepProgress]:
    """Reports steps on stderr: bars on a terminal, else a line for a finished step and one every ten seconds."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        with _bars(console) as bar:
            yield bar
        return
    import structlog

    log = structlog.get_logger(command)
    last = {"at": time.monotonic()}

    def line(step: str, done: int, total: int | None) -> None:
        finished = total is not None and done >= total
        if finished or time.monotonic() - last["at"] > _EVERY_S:
            last["at"] = time.monotonic()
            share = {} if not total else {"percent": round(100 * done / total)}
            log.info("step_done" if finished else "step_progress", step=step, **share)

    yield _once_done(line)


def _once_done(line: StepProgress) -> StepProgress:
    """A step is reported as done once."""
    finished: set[str] = set()

    def report(step: str, done: int, total: int | None) -> None:
        if step not in finished:
            line(step, done, total)
        if total is not None and done >= total:
            finished.add(step)

    return report


@contextmanager
def _bars(console: "Console") -> Iterator[StepProgress]:
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def bar(step: str, done: int, total: int | None) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield bar
