"""`pymk evaluate`."""

from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("evaluate")(evaluate)


def evaluate(
    data: Annotated[Path, typer.Argument(help="The dataset directory: users, connections, interactions, schema.toml.")],
    held_out: Annotated[
        Path | None,
        typer.Option(help="A table of friendships to be found (user_id, other_id), none of them in DATA."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the report here too.")] = None,
    users: Annotated[int, typer.Option(min=1, help="Judge at most this many people.")] = 3000,
    config: Annotated[Path | None, typer.Option(help="A TOML file with the dials of offline/night/config.py.")] = None,
) -> None:
    """Judge this system and the classic baselines by full ranking, side by side.

    Learns from DATA in a scratch directory, as pymk nightly would, and looks for friendships it was not told of: those
    of --held-out, or else the last of DATA's own, or a random tenth where they have no dates. Changes nothing that is
    published.

    Example:  pymk evaluate ./my-network --json report.json
    """
    import tempfile

    from models.errors import UsageError
    from models.system import files
    from offline.dataset.reader import open_table

    if json is not None and not json.absolute().parent.is_dir():
        raise UsageError(f"--json {json}: there is no directory {json.absolute().parent}")
    if held_out is not None:
        open_table(held_out)
    # what takes seconds to load comes after what is quickly refused
    from offline.evaluation.rendering import render
    from offline.night.backtest import backtest
    from offline.night.config import NightConfig

    night_config = NightConfig.read(config)
    with tempfile.TemporaryDirectory(prefix="pymk-evaluate-") as home:
        report = backtest(data, held_out, Path(home), night_config, users)
    render(report)
    if json is not None:
        files.write_bytes(json, report.model_dump_json(indent=2).encode() + b"\n")
