"""How far a run is: a line that moves on a terminal, log lines elsewhere; always on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from service.loadtest.processes import Progress

LOGGED_EVERY_S = 5.0


@contextmanager
def shown(title: str, seconds: float) -> Iterator[Callable[[Progress], None]]:
    """What to call with the progress of a run of so many seconds, the warm-up included."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    if not (console.is_terminal and sys.stderr.isatty()):
        yield _logging(title, seconds)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[begun]} asked, {task.fields[in_work]} in work, {task.fields[failed]} errors"),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        task = bars.add_task(title, total=seconds, begun=0, in_work=0, failed=0)
        yield lambda progress: bars.update(
            task,
            completed=progress.elapsed_s,
            begun=progress.begun,
            in_work=progress.in_work,
            failed=progress.failed,
        )


def _logging(title: str, seconds: float) -> Callable[[Progress], None]:
    log = structlog.get_logger("pymk.loadtest")
    due_s = LOGGED_EVERY_S

    def line(progress: Progress) -> None:
        nonlocal due_s
        if progress.elapsed_s >= due_s:
            due_s += LOGGED_EVERY_S
            log.info(
                "load_runs",
                run=title,
                second=round(progress.elapsed_s, 1),
                of=seconds,
                asked=progress.begun,
                in_work=progress.in_work,
                errors=progress.failed,
            )

    return line
