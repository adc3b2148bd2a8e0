"""The typer application `pymk` and its exit status."""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from models.cli.exit_status import Failure

GROUP = "pymk.commands"
"""group of entry points; each is a function `register(app: typer.Typer) -> None`"""

_BROKEN_PIPE = 1


def main() -> None:
    """Runs the command line and exits with its status."""
    from models.system import logs

    logs.unblock()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line; returns its exit status.

    0 done; 1 failed; 2 wrong usage or bad input; 3 the quality gate refused; 130 interrupted. A failure prints one line
    on stderr. `--debug`, at any position, adds the traceback.
    """
    debug = "--debug" in arguments
    rest = [argument for argument in arguments if argument != "--debug"]
    try:
        build(debug=debug)(args=["--debug", *rest] if debug and rest else rest, prog_name="pymk")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BrokenPipeError:
        status = _BROKEN_PIPE
    except KeyboardInterrupt:
        status = 130
    except Exception as error:  # every failure becomes one line and a status here
        failure = Failure.of(error)
        if debug:
            traceback.print_exc()
        typer.echo(f"pymk: {failure.line}", err=True)
        status = failure.exit_status
    return _flushed(status)


def build(*, debug: bool = False) -> typer.Typer:
    """The application with the commands of every entry point; warns on stderr about one that fails to load."""
    app = typer.Typer(
        help="People You May Know: from a friendship graph to ranked, explained suggestions.",
        add_completion=False,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            entry.load()(app)
        except Exception as error:  # a broken package must not hide the other commands
            if debug:
                traceback.print_exc()
            reason = f"{type(error).__name__}: {error}"
            typer.echo(f"pymk: warning: the commands of {entry.value!r} are missing: {reason}", err=True)
    return app


def _release(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pymk {metadata.version('pymk')}")
        raise typer.Exit


def _options(
    *,
    home: Annotated[
        Path | None,
        typer.Option(help="Directory of versions and the embedded store; same as PYMK_HOME.", metavar="DIR"),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Log more, and show tracebacks.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the release and exit.", is_eager=True, callback=_release),
    ] = False,
) -> None:
    from models.system import logs

    logs.configure(debug=debug)
    if home is not None:
        os.environ["PYMK_HOME"] = str(home)


def _flushed(status: int) -> int:
    """The status after flushing stdout; ends quietly if the reader has gone (`pymk … | head`)."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return status or _BROKEN_PIPE
    return status
