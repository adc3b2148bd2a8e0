"""`pymk nightly`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Engine(StrEnum):
    """Where candidates are made."""

    LOCAL = "local"
    SPARK = "spark"


class Retrain(StrEnum):
    """When the weights are learnt anew."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("nightly")(nightly)


def nightly(
    data: Annotated[Path, typer.Argument(help="The dataset directory: users, connections, interactions, schema.toml.")],
    config: Annotated[Path | None, typer.Option(help="A TOML file with the dials of offline/night/config.py.")] = None,
    engine: Annotated[Engine, typer.Option(help="This machine alone, or Spark.")] = Engine.LOCAL,
    retrain: Annotated[
        Retrain, typer.Option(help="Learn the weights anew: when they are old or the graph grew, always, or never.")
    ] = Retrain.AUTO,
    force: Annotated[bool, typer.Option("--force", help="Publish even where the quality gate refuses.")] = False,
) -> None:
    """Turn a dataset directory into a published version.

    Snapshot, training, evaluation, gate, embeddings, index, candidates, publish. A killed run is taken up where it
    died by the same command. The last line of stdout is the id of the version. Exit status 2: the dataset or a flag is
    wrong; 3: the lists would be worse than the active version's, or than counting mutual friends, and nothing was
    published.

    Example:  pymk nightly ./my-network
    """
    from contextlib import closing

    from rich.console import Console

    from models.cli.progress import loading_bar
    from models.errors import UsageError
    from models.settings import Settings
    from models.store.connect import open_sync
    from models.store.keys import Keys
    from models.system.clock import SETTLE_US
    from offline.evaluation.rendering import render
    from offline.night.config import NightConfig
    from offline.night.nightly import Night

    if engine is Engine.SPARK:
        raise UsageError("this release makes candidates on one machine; leave out --engine or say --engine local")
    settings, night_config = Settings(), NightConfig.read(config)
    if not data.is_dir():
        raise UsageError(f"{data} is no directory; pymk synth --out DIRECTORY makes one to try")
    with closing(open_sync(settings)) as store, loading_bar("Publishing") as bar:
        night = Night(
            data=data,
            home=settings.home,
            store=store,
            keys=Keys(settings.namespace),
            config=night_config,
            retrain=retrain.value,
            force=force,
            forbidden_days=settings.forbidden_days,
            superseded_ttl_s=settings.superseded_ttl_s,
            settle_us=max(SETTLE_US, 10 * settings.redis_timeout_ms * 1000),
            progress=bar,
        )
        version, report = night.run()
    render(report, Console(stderr=True, highlight=False))
    typer.echo(version)
