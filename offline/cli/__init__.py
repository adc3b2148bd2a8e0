"""The offline commands: one file each."""

import typer

from offline.cli import (
    check,
    compare,
    config,
    evaluate,
    experiment,
    import_formats,
    latency,
    monitor,
    nightly,
    nights,
    outcomes,
    simulate,
    synth,
)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    nightly.register(app)
    config.register(app)
    evaluate.register(app)
    compare.register(app)
    synth.register(app)
    import_formats.register(app)
    check.register(app)
    monitor.register(app)
    nights.register(app)
    latency.register(app)
    outcomes.register(app)
    experiment.register(app)
    simulate.register(app)
