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
    config: Annotated[
        Path | None, typer.Option(help="Settings of the night, TOML; pymk config prints all.", metavar="FILE.toml")
    ] = None,
) -> None:
    """Evaluate this system and the baselines by full ranking.

    Trains on DATA in a temporary directory, as pymk nightly does, and predicts friendships that training did not see:
    those of --held-out, or the latest of DATA, or a random tenth if DATA has no dates. Published versions do not
    change.

    Example:  pymk evaluate ./my-network --json report.json
    """
    import tempfile
    from datetime import UTC, datetime

    from models.cli.paths import check_output_file
    from models.errors import UsageError
    from models.system import files
    from offline.night.config import NightConfig

    # arguments, and then the data: nothing that takes seconds to load before they are right
    check_output_file(json, "--json")
    if not data.is_dir():
        raise UsageError(f"{data} is not a directory; pymk synth --out DIRECTORY makes a synthetic one")
    night_config = NightConfig.read(config)

    from offline.dataset.pairs import read_connections
    from offline.dataset.table_files import open_table
    from offline.snapshot.snapshot import write_snapshot

    if held_out is not None:
        read_connections(open_table(held_out))
    with tempfile.TemporaryDirectory(prefix="pymk-evaluate-") as home:
        snapshot = write_snapshot(data, Path(home) / "snapshot", started_at=datetime.now(UTC))

        from offline.evaluation.rendering import render
        from offline.night.backtest import backtest

        report = backtest(snapshot, held_out, Path(home), night_config, users)
    render(report)
    if json is not None:
        files.write_bytes(json, report.model_dump_json(indent=2).encode() + b"\n")
