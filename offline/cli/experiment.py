"""`pymk experiment`: starts, lists and stops experiments, and reads them out."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from models.experiments.experiment import Run
    from models.settings import Settings
    from models.store.keys import Keys
    from models.store.protocol import SyncStore

NAME = typer.Argument(help="The name of an experiment, from pymk experiment list.", metavar="NAME")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    experiment = typer.Typer(
        help="Try a change on a share of the viewers: start an experiment, list, stop, and read it out.",
        no_args_is_help=True,
    )
    app.add_typer(experiment, name="experiment")
    experiment.command("start")(start)
    experiment.command("list")(show)
    experiment.command("stop")(stop)


def start(
    file: Annotated[Path, typer.Argument(help="The experiment, a TOML file.", metavar="FILE.toml")],
) -> None:
    """Start an experiment; every service process follows within a second, and no restart is needed.

    \b
    name = "less-fatigue"
    [[arms]]                    # the first arm is the control
    name = "control"
    share = 0.5                 # of the viewers, by a salted hash of their ids
    [[arms]]
    name = "mild"
    share = 0.5
    [arms.settings]             # settings without PYMK_, or version = "..."
    fatigue_factor = 0.95
    [candidates]
    holdout = 0.1               # of the people: their places are the control's in every list

    Answers carry `arms` while it runs. The settings that an arm may change are those of the soft rules:
    diversity_column, diversity_most, fatigue_factor, fatigue_limit, suspicious, suspicious_above, context_limits.
    """
    from models.experiments import registry
    from models.experiments.experiment import Experiment
    from models.publishing.pointer import read_pointer
    from models.system.toml_file import read_model

    experiment = read_model(file, Experiment)
    with opened() as (_, store, keys):
        pointer = read_pointer(store, keys=keys)
        versions = () if pointer is None else pointer.lasting
        run = registry.start(store, experiment, keys=keys, versions=versions)
    typer.echo(run.name)


def show(
    *, json: Annotated[bool, typer.Option("--json", help="Print a JSON array instead of a table.")] = False
) -> None:
    """List the experiments, running and stopped, the latest first."""
    import orjson

    from models.experiments import registry

    with opened() as (_, store, keys):
        runs = registry.read(store, keys=keys).runs[::-1]
    if json:
        listed = [run.model_dump(mode="json", exclude_unset=True) for run in runs]
        typer.echo(orjson.dumps(listed, option=orjson.OPT_INDENT_2).decode())
    elif runs:
        _print(runs)
    else:
        typer.echo("no experiment was started; pymk experiment start FILE.toml starts one", err=True)


def stop(name: Annotated[str, NAME]) -> None:
    """Stop an experiment: within a second its viewers get the lists of everybody again."""
    from models.experiments import registry

    with opened() as (_, store, keys):
        registry.stop(store, name, keys=keys)
    typer.echo(name)


@contextmanager
def opened() -> Iterator[tuple["Settings", "SyncStore", "Keys"]]:
    """The settings, their store and its keys."""
    from models.settings import Settings
    from models.store.connect import open_sync
    from models.store.keys import Keys

    settings = Settings()
    store = open_sync(settings)
    try:
        yield settings, store, Keys(settings.namespace)
    finally:
        store.close()


_COLUMNS = ("experiment", "state", "started", "stopped", "arms", "changes", "holdout")


def _row(run: "Run") -> tuple[str, ...]:
    return (
        run.name,
        "running" if run.stopped_at is None else "stopped",
        f"{run.started_at:%Y-%m-%d %H:%M} UTC",
        "-" if run.stopped_at is None else f"{run.stopped_at:%Y-%m-%d %H:%M} UTC",
        " ".join(f"{arm.name}:{arm.share:g}" for arm in run.experiment.arms),
        ", ".join(sorted(run.experiment.changes)),
        f"{run.experiment.candidates.holdout:g}",
    )


def _print(runs: "tuple[Run, ...]") -> None:
    """Prints a table on a terminal, else tab-separated lines under a header."""
    rows = [_row(run) for run in runs]
    if not sys.stdout.isatty():
        for row in [_COLUMNS, *rows]:
            typer.echo("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE)
    for name in _COLUMNS:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)
