"""`pymk experiment`: starts, lists and stops experiments, and reads them out."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import polars as pl

    from models.experiments.experiment import Run
    from models.publishing.audit import Action
    from models.settings import Settings
    from models.store.keys import Keys
    from models.store.protocol import SyncStore
    from offline.evaluation.exposure import Column

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
    experiment.command("readout")(readout)


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

    Answers carry `arms` while it runs. An arm may change version and these settings: diversity_column, diversity_most,
    fatigue_factor, fatigue_limit, suspicious, suspicious_above, context_limits, outcome_blend, exploration_temperature,
    exploration_fixed, exploration_uniform_share, exploration_best, exploration_boost, exploration_hold_minutes.

    With a holdout nobody is drawn in the lists of any arm, whatever exploration is set to for everybody else.
    """
    from models.errors import UsageError
    from models.experiments import registry
    from models.experiments.experiment import Experiment
    from models.publishing.canary_record import running_canary
    from models.publishing.pointer import read_pointer
    from models.system.toml_file import read_model

    experiment = read_model(file, Experiment)
    with opened() as (settings, store, keys):
        pointer = read_pointer(store, keys=keys)
        versions = () if pointer is None else pointer.lasting
        compares = any(arm.version is not None for arm in experiment.arms)
        if compares and (canary := running_canary(store, keys, pointer)) is not None:
            raise UsageError(
                f"version {canary.version} is a canary, so that some viewers of the arms would be served from it; pymk "
                "canary promote or pymk canary abort ends it"
            )
        run = registry.start(store, experiment, keys=keys, versions=versions)
        _audit(store, keys, "experiment_started", run.name)
    is_drawn = settings.exploration_temperature > 0 or settings.exploration_uniform_share > 0
    if experiment.candidates.holdout and is_drawn:
        typer.echo(f"while {run.name} runs, exploration is off for its viewers: it has a holdout", err=True)
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
        _audit(store, keys, "experiment_stopped", name)
    typer.echo(name)


def _audit(store: "SyncStore", keys: "Keys", what: "Action", name: str) -> None:
    """Notes in the audit trail who started or stopped an experiment."""
    from models.publishing.audit import Actor, write_audit
    from models.publishing.pointer import read_pointer

    pointer = read_pointer(store, keys=keys)
    write_audit(store, keys, what, "" if pointer is None else pointer.version, Actor.here(name))


def readout(
    name: Annotated[str, NAME],
    *,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON document instead of text.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the differences with their intervals.", metavar="FILE.png")
    ] = None,
) -> None:
    """Say what an experiment did, to its viewers and to the people suggested; it goes on running.

    Each arm is compared with the first one: per viewer, with CUPED by what the same viewers did before; and, with a
    holdout, per person suggested, those whom the arm may touch against those held out. Of two intervals the first
    is for one look at a time chosen beforehand; the other (`any day`) may be read every day. p-values are corrected for
    all metrics and arms of a side (Holm). Where events are few, p and interval come from groups drawn anew.
    PYMK_GROUP_COLUMN compares groups of people. Lists count seconds after they were given out.
    """
    from datetime import UTC, datetime

    from models.cli.paths import check_output_file
    from models.experiments import registry
    from models.system import files

    check_output_file(plot, "--plot")
    if plot is not None:
        from offline.experiments.rendering import check_plot

        check_plot(plot)
    now = datetime.now(UTC)
    with opened() as (settings, store, keys):
        run = registry.read(store, keys=keys).find(name)
        from offline.experiments import rendering
        from offline.experiments.readout import read_out
        from offline.outcomes.table import outcomes_around

        start, until, at = (round(one.timestamp() * 1e6) for one in (run.started_at, run.stopped_at or now, now))
        lists = outcomes_around(settings, store, keys, start=start, span=min(until, at) - start, now=at)
        people, column = _people(settings, store, keys, lists.after)
    found = read_out(run, lists.after, lists.before, people, now, column)
    if plot is not None:
        with files.writing(plot) as file:
            rendering.draw(file, found)
    typer.echo(found.model_dump_json(indent=2) if json else rendering.as_text(found))


def _people(
    settings: "Settings", store: "SyncStore", keys: "Keys", outcomes: "pl.DataFrame"
) -> tuple[list[str], "Column | None"]:
    """Everybody who may be suggested, and the column whose groups are compared.

    They are those of the active version; of the lists, if this host has not got it.
    """
    import numpy as np

    from models.publishing.pointer import read_pointer
    from models.schema.columns import Flag
    from models.version.local_versions import Versions
    from models.version.tables import Tables
    from offline.evaluation.exposure import Column

    pointer, versions = read_pointer(store, keys=keys), Versions(settings.home)
    if pointer is None or pointer.version not in versions.ids():
        return outcomes["candidate"].unique(maintain_order=True).to_list(), None
    tables = Tables.open(versions.path(pointer.version) / "tables")
    wanted = int(Flag.ACTIVE | Flag.DISCOVERABLE)
    rows = np.flatnonzero((tables.flags & wanted) == wanted)
    people = [str(tables.vocabulary.user_id(row)) for row in rows.tolist()]
    name = settings.group_column
    if not name:
        return people, None
    if name not in tables.categorical_columns:
        known = ", ".join(tables.categorical_columns) or "none"
        typer.echo(f"PYMK_GROUP_COLUMN={name} is no categorical column of the version; there are {known}", err=True)
        return people, None
    at = tables.categorical_columns.index(name)
    codes = tables.categorical_codes[rows, at].astype(np.int64)
    return people, Column(name, tables.categorical_values[at], codes)


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
