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
        typer.Option(help="A table of friendships to predict (user_id, other_id), none of them in DATA."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write the report to this file.")] = None,
    users: Annotated[int, typer.Option(min=1, help="Evaluate at most this many users.")] = 3000,
    config: Annotated[Path | None, typer.Option(help="A TOML file with settings of offline/night/config.py.")] = None,
) -> None:
    """Evaluate this system and the baselines by full ranking.

    Trains on DATA in a temporary directory, as pymk nightly does, and predicts friendships that training did not see:
    those of --held-out, or the latest of DATA, or a random tenth if DATA has no dates. Published versions do not
    change.

    Example:  pymk evaluate ./my-network --json report.json
    """
    import tempfile

    from models.errors import UsageError
    from models.system import files
    from offline.dataset.table_files import open_table

    if json is not None and not json.absolute().parent.is_dir():
        raise UsageError(f"--json {json}: there is no directory {json.absolute().parent}; make it first")
    if held_out is not None:
        open_table(held_out)
    # PyTorch takes seconds to load, so arguments are checked first
    from offline.evaluation.rendering import render
    from offline.night.backtest import backtest
    from offline.night.config import NightConfig

    night_config = NightConfig.read(config)
    with tempfile.TemporaryDirectory(prefix="pymk-evaluate-") as home:
        report = backtest(data, held_out, Path(home), night_config, users)
    render(report)
    if json is not None:
        files.write_bytes(json, report.model_dump_json(indent=2).encode() + b"\n")
