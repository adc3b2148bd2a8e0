"""Shows the progress of a run on stderr: a progress bar on a terminal, log lines elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from service.loadtest.processes import Progress

LOGGED_EVERY_S = 5.0


@contextmanager
def show_progress(title: str, seconds: float) -> Iterator[Callable[[Progress], None]]:
    """A callback for the progress of a run of `seconds`, the warm-up included."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    if not (console.is_terminal and sys.stderr.isatty()):
        yield _log_lines(title, seconds)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[started]} started, {task.fields[in_flight]} in flight, {task.fields[failed]} errors"),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        task = bars.add_task(title, total=seconds, started=0, in_flight=0, failed=0)
        yield lambda progress: bars.update(
            task,
            completed=progress.elapsed_s,
            started=progress.started,
            in_flight=progress.in_flight,
            failed=progress.failed,
        )


def _log_lines(title: str, seconds: float) -> Callable[[Progress], None]:
    log = structlog.get_logger("pymk.loadtest")
    due_s = LOGGED_EVERY_S

    def log_line(progress: Progress) -> None:
        nonlocal due_s
        if progress.elapsed_s >= due_s:
            due_s += LOGGED_EVERY_S
            log.info(
                "load_test_progress",
                run=title,
                second=round(progress.elapsed_s, 1),
                of=seconds,
                started=progress.started,
                in_flight=progress.in_flight,
                errors=progress.failed,
            )

    return log_line
