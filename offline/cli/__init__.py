"""The offline commands: nightly, config, evaluate, compare, inference, synth."""

import typer

from offline.cli import compare, config, evaluate, latency, nightly, synth


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    nightly.register(app)
    config.register(app)
    evaluate.register(app)
    compare.register(app)
    synth.register(app)
    latency.register(app)
