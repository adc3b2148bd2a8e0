"""The commands of the night: nightly, evaluate, compare, latency, synth."""

import typer

from offline.cli import compare, evaluate, latency, nightly, synth


def register(app: typer.Typer) -> None:
    """Adds every command of this package."""
    nightly.register(app)
    evaluate.register(app)
    compare.register(app)
    synth.register(app)
    latency.register(app)
