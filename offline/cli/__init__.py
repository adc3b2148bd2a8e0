"""The offline commands: nightly, config, evaluate, compare, inference, synth, import, check, monitor, nights."""

import typer

from offline.cli import check, compare, config, evaluate, import_formats, latency, monitor, nightly, nights, synth


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
