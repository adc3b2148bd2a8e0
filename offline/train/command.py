"""The command: rank 0 runs the steps of a night up to training, and the other processes follow it."""

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal

import typer

from models.cli.exit_status import Failure
from models.errors import UsageError
from models.system import logs

PROGRAM = "offline.train"
INTERRUPTED = 130


def run(arguments: Sequence[str], *, rank: int = 0, count: int = 1) -> int:
    """Runs one command line as process `rank` of `count`; returns its exit status, as `pymk` does.

    Rank 0 alone reads the arguments. A failure prints one line on stderr, and with `--debug` the traceback.
    """
    debug = "--debug" in arguments
    logs.unblock()
    logs.configure(debug=debug, quiet=rank > 0)
    try:
        if rank:
            _follow()
        else:
            signal.signal(signal.SIGTERM, _end)
            application = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
            application.command(context_settings={"help_option_names": ["-h", "--help"]})(train)
            application(args=list(arguments), prog_name=f"python -m {PROGRAM}")
        return 0
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # every failure becomes one line and a status here
        failure = Failure.of(error)
        if debug:
            traceback.print_exc()
        if rank == 0 or not isinstance(error, UsageError):  # all processes have the same arguments: one says it
            who = f"{PROGRAM}, process {rank} of {count}" if count > 1 else PROGRAM
            typer.echo(f"{who}: {failure.line}", err=True)
        return failure.exit_status


def train(
    data: Annotated[Path, typer.Argument(help="The dataset directory: users, connections, interactions, schema.toml.")],
    config: Annotated[
        Path | None, typer.Option(help="Settings of the night, TOML; pymk config prints all.", metavar="FILE.toml")
    ] = None,
    retrain: Annotated[
        Literal["auto", "always"],
        typer.Option(help="Train if the active version's weights are old or the graph grew, or always."),
    ] = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Train even if people or friendships vanished since the active version.")
    ] = False,
    home: Annotated[
        Path | None,
        typer.Option(help="Directory of versions and the embedded store; same as PYMK_HOME.", metavar="DIR"),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Log more, and show tracebacks.")] = False,
) -> None:
    """Train the models of a night, in this process or in several.

    Takes the snapshot and trains encoder and ranker, as `pymk nightly DATA --until training` does. `pymk nightly` with
    the same DATA, --config, --retrain and home then goes on from there: it judges and publishes these weights, and
    trains nothing. The last line of stdout is the id of the version that it will make.

    \b
    One process:      python -m offline.train DATA
    Several:          torchrun --standalone --nproc-per-node 2 -m offline.train DATA
    Several machines: torchrun --nnodes 2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint HOST:29400 \\
                          -m offline.train DATA
    Then:             pymk nightly DATA

    Each process learns from its own part of the pairs of every step; batches, checkpoints and, within noise, losses are
    those of one process. They train on GPUs by NCCL if each has one of its own, else on CPUs by Gloo; `device` in the
    configuration says otherwise. Only the first process reads DATA, the store and the settings, and writes.

    If a process is killed, all end, torchrun with exit status 1. The same command goes on from the last checkpoint,
    also with another number of processes. Exit status without torchrun: 1 failed; 2 the dataset or an option is wrong;
    3 the gate refused to go on, and says why.
    """
    # arguments and settings, before anything that takes seconds to load
    if home is not None:
        os.environ["PYMK_HOME"] = str(home)
    if not data.is_dir():
        raise UsageError(f"{data} is not a directory; pymk synth --out DIRECTORY makes a synthetic one")
    from models.settings import Settings
    from offline.night.config import NightConfig

    settings, night_config = Settings(), NightConfig.read(config)
    from models.store.connect import check_address, open_sync
    from offline.night.workspace import ReadAhead

    check_address(settings)
    read_ahead = ReadAhead.of(data, settings.home)

    # the steps
    from models.store.keys import Keys
    from offline.night.nightly import Night
    from offline.training.join import joined

    training = night_config.sage if night_config.encoder is None else night_config.encoder.training
    with joined(training.device) as processes, closing(open_sync(settings)) as store:
        night = Night(
            data=data,
            home=settings.home,
            store=store,
            keys=Keys(settings.namespace),
            config=night_config,
            retrain=retrain,
            force=force,
            until="training",
            forbidden_days=settings.forbidden_days,
            event_days=settings.event_days,
            group_column=settings.group_column,
            read_ahead=read_ahead,
            processes=processes,
        )
        try:
            version, _ = night.run()
        except Exception:
            with suppress(Exception):  # they may be gone already
                processes.dismiss()
            raise
        processes.dismiss()
    typer.echo(version)


def _follow() -> None:
    """Joins rank 0 and does what it calls."""
    from offline.training.join import joined

    with joined("auto") as processes:
        processes.follow()


def _end(number: int, frame: FrameType | None) -> None:
    """Ends rank 0 and closes what it has open when torchrun tells it to, as it does if another process has failed.

    The others hold nothing, and end at once.
    """
    typer.echo(f"{PROGRAM}: told to end; the same command goes on from the last checkpoint", err=True)
    sys.exit(128 + number)
