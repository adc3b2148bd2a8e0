"""The offline commands: nightly, evaluate, compare, inference, synth."""

import typer

from offline.cli import compare, evaluate, latency, nightly, synth


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    nightly.register(app)
    evaluate.register(app)
    compare.register(app)
    synth.register(app)
    latency.register(app)
