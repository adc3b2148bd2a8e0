"""The commands of the night, for the `pymk` application."""

import typer

from offline import evaluate_command, nightly_command
from offline.families import compare_command, inference_command
from offline.synth import command as synth_command


def register(app: typer.Typer) -> None:
    """Adds every command of this package."""
    nightly_command.register(app)
    evaluate_command.register(app)
    compare_command.register(app)
    synth_command.register(app)
    inference_command.register(app)
