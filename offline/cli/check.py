"""`pymk check`: what a dataset directory holds, without changing anything."""

from pathlib import Path
from typing import Annotated

import typer

_WIDTH = 160
"""columns of the table where there is no terminal"""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("check")(check)


def check(
    data: Annotated[Path, typer.Argument(help="The dataset directory: users, connections, interactions, schema.toml.")],
    *,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON document instead of tables.")] = False,
) -> None:
    """Read a whole dataset directory and say what it holds; changes nothing.

    For each column: what it is taken for and why, how many cells are empty, how many values are distinct. Then what
    looks odd: columns that leak an id or a contact, one value in several spellings, a hub, people without friends,
    dates in the future, friendships older than their accounts, repeats. Exit status 0, with findings too; 2: a night
    would refuse the data, in the same words.

    \b
    pymk check DATA
    pymk check DATA --json | jq '.findings[].sentence'
    """
    import datetime as dt

    from models.errors import DatasetError, UsageError
    from offline.dataset_check.check import check_dataset

    if not data.is_dir():
        raise UsageError(f"{data} is not a directory; pymk import FORMAT SOURCE --out {data} makes one of other data")
    try:
        found = check_dataset(data, started_at=dt.datetime.now(dt.UTC))
    except DatasetError as error:
        if json:
            _print_json({"data": str(data), "ok": False, "refusal": str(error)})
        raise
    if json:
        _print_json(found.as_json())
        return
    from rich.console import Console

    from offline.dataset_check.rendering import render

    console = Console(highlight=False)
    render(found, console if console.is_terminal else Console(highlight=False, width=_WIDTH))
    typer.echo(f"\nnext: pymk nightly {data}")


def _print_json(document: object) -> None:
    import orjson

    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
