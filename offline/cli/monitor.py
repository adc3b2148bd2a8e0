"""`pymk monitor`."""

from pathlib import Path
from typing import Annotated

import typer

RETRAINING_IS_DUE = 4
"""exit status"""
_WIDTH = 160
"""columns of the table where there is no terminal"""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("monitor")(monitor)


def monitor(
    data: Annotated[Path, typer.Argument(help="The dataset directory: users, connections, interactions, schema.toml.")],
    *,
    json: Annotated[Path | None, typer.Option(help="Write the report to this file as JSON; - prints it.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report to this file as a page with plots.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="Settings of the night, TOML; pymk config prints all.", metavar="FILE.toml")
    ] = None,
    data_only: Annotated[
        bool, typer.Option("--data-only", help="Look at the data alone, not at embeddings and scores: seconds.")
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Print the checks that are in order too.")] = False,
) -> None:
    """Compare a dataset with the active version, and say whether to train again; publishes nothing.

    Profile columns (values, missing and new values, vanished, renamed, of another kind or meaning), friendships,
    features, and, with the weights of the active version, embeddings, scores and sources of candidates; what came of
    the lists that were given out, where they are recorded; age and growth. Thresholds follow the number of people, so
    that a small network gives no false alarm. Exit status 0: nothing calls for training; 4: retraining is due. pymk
    nightly does the same by itself.

    \b
    pymk monitor DATA --html drift.html
    pymk monitor DATA --data-only --json - | jq '.checks[] | select(.verdict == "alarm").sentence'
    """
    from contextlib import closing

    from models.cli.paths import check_output_file
    from models.errors import UsageError
    from models.settings import Settings
    from offline.night.config import NightConfig

    # arguments and settings: nothing that takes seconds to load before they are right
    printed = json is not None and str(json) == "-"
    check_output_file(None if printed else json, "--json")
    check_output_file(html, "--html")
    if not data.is_dir():
        raise UsageError(f"{data} is not a directory; pymk import FORMAT SOURCE --out {data} makes one of other data")
    settings, night_config = Settings(), NightConfig.read(config)

    from rich.console import Console

    from models.store.connect import open_sync
    from models.store.keys import Keys
    from models.system import files
    from offline.monitor.html import as_html
    from offline.monitor.rendering import render
    from offline.night.monitor import keep, monitor
    from offline.outcomes.join import Windows

    with closing(open_sync(settings)) as store:
        keys = Keys(settings.namespace)
        found = monitor(
            data,
            settings.home,
            store,
            keys,
            night_config,
            with_model=not data_only,
            forbidden_days=settings.forbidden_days,
            windows=Windows.of(settings),
        )
        keep(found.report, store, keys)
    # the report, where it was asked for
    content = found.report.model_dump_json(indent=2) + "\n"
    if printed:
        typer.echo(content, nl=False)
    elif json is not None:
        files.write_bytes(json, content.encode())
    if html is not None:
        files.write_bytes(html, as_html(found.report, found.then, found.now).encode())
    if not printed:
        console = Console(highlight=False)
        console = console if console.is_terminal else Console(highlight=False, width=_WIDTH)
        render(found.report, console, everything=everything)
    if found.report.retrain:
        raise typer.Exit(RETRAINING_IS_DUE)
