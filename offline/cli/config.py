"""`pymk config`: the settings of a night with their defaults and meanings."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("config")(config)


def config(
    file: Annotated[
        Path | None,
        typer.Argument(help="A TOML file with settings of a night: check it, and print what is then in effect."),
    ] = None,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON array of the settings.")] = False,
) -> None:
    """Print every setting of a night with its value and its meaning, as a TOML file.

    The file can be used as it is, and changes nothing. Keep the lines that you want to be different:

    \b
    pymk config > night.toml
    pymk config night.toml                    checks it, and prints what is in effect with it
    pymk evaluate DATA --config night.toml    what it does to the quality; publishes nothing
    pymk nightly DATA --config night.toml

    A misspelt setting, a wrong type and a value out of range are refused with file, line and the nearest name (exit
    status 2). The settings of the installation, PYMK_..., are others: service/OPERATIONS.md has their table.
    """
    from offline.night import config_listing
    from offline.night.config import NightConfig

    chosen = NightConfig.read(file)
    if not json:
        typer.echo(config_listing.as_toml(chosen), nl=False)
        return
    import orjson
    from pydantic import BaseModel

    def plain(value: object) -> object:
        return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)

    listed = [one._asdict() for one in config_listing.settings(chosen)]
    typer.echo(orjson.dumps(listed, default=plain, option=orjson.OPT_INDENT_2).decode())
