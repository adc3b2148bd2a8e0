"""A progress bar for bytes loaded into the store."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from models.publishing.transfer import Progress


@contextmanager
def loading_bar(title: str) -> Iterator[Progress]:
    """A callback for bytes done and total bytes, drawn on stderr if it is a terminal, erased at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
    from rich.progress import Progress as Display

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Display(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as display:
        task = display.add_task(title, total=None)
        yield lambda done, total: display.update(task, completed=done, total=total)
