"""`pymk nights`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from models.publishing.night_runs import NightRun, StepRun


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("nights")(nights)


def nights(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON array instead of lines.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many runs.")] = 10,
) -> None:
    """List the runs of pymk nightly, newest first, each with its steps.

    Of each step: seconds, most memory, rows, what took its time, and how often it was tried. A run at work is among
    them; one that was not heard of for 90 seconds was stopped, and the same command resumes it.
    """
    from contextlib import closing

    import orjson

    from models.publishing.night_runs import read_runs
    from models.settings import Settings
    from models.store.connect import open_sync
    from models.store.keys import Keys

    settings = Settings()
    with closing(open_sync(settings)) as store:
        runs = read_runs(store, Keys(settings.namespace))[:limit]
    if json:
        listed = [run.model_dump(mode="json") for run in runs]
        typer.echo(orjson.dumps(listed, option=orjson.OPT_INDENT_2).decode())
    elif runs:
        _print(runs)
    else:
        typer.echo(f"no night has run in {settings.home}; pymk nightly DATA runs one", err=True)


_COLUMNS = ("step", "state", "seconds", "memory", "rows", "bound by", "tries", "error")


def _print(runs: "list[NightRun]") -> None:
    """Prints a table a run on a terminal, else tab-separated lines."""
    if not sys.stdout.isatty():
        typer.echo("\t".join(("run", "run state", *_COLUMNS)))
        for run in runs:
            for step in run.steps:
                typer.echo("\t".join((run.run, run.state, *_cells(step))))
            if not run.steps:
                typer.echo(f"{run.run}\t{run.state}")
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    for run in runs:
        title = f"{run.run}: {run.state}, began {run.started_at:%Y-%m-%d %H:%M} UTC on {run.host}"
        table = Table(
            title=escape(title), title_justify="left", caption=escape(run.error or ""), caption_justify="left"
        )
        for name in _COLUMNS:
            table.add_column(name, justify="right" if name in {"seconds", "memory", "rows", "tries"} else "left")
        for step in run.steps:
            table.add_row(*map(escape, _cells(step)))
        console.print(table)


def _cells(step: "StepRun") -> tuple[str, ...]:
    return (
        step.name,
        step.state,
        "-" if step.seconds is None else f"{step.seconds:,.1f}",
        "-" if step.peak_mb is None else f"{step.peak_mb:,.0f} MB",
        "-" if step.rows is None else f"{step.rows:,}",
        step.bound_by or "-",
        str(step.tries),
        step.error or "",
    )
