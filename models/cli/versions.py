"""`pymk versions`, `pymk activate`, `pymk rollback`: what is published, and which of it is served."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from models.candidate_refresh.replay import Replay
    from models.publishing.catalogue import Entry
    from models.settings import Settings
    from models.store.keys import Keys
    from models.store.protocol import SyncStore
    from models.version.local_versions import Versions


def register(app: typer.Typer) -> None:
    """Adds the three commands."""
    app.command("versions")(show)
    app.command("activate")(activate)
    app.command("rollback")(rollback)


def show(*, json: Annotated[bool, typer.Option("--json", help="One JSON array instead of a table.")] = False) -> None:
    """Show what is published, newest first."""
    import orjson

    from models.publishing.catalogue import catalogue

    with _opened() as place:
        entries = catalogue(place.store, place.versions, keys=place.keys)
    if json:
        listed = [entry.model_dump(mode="json") for entry in entries]
        typer.echo(orjson.dumps(listed, option=orjson.OPT_INDENT_2).decode())
    elif entries:
        _print(entries)
    else:
        typer.echo(f"nothing is published in {place.settings.home}; pymk nightly DATA makes a version", err=True)


def _version_id(version: str) -> str:
    from models.version.manifest import VERSION_PATTERN

    if not re.fullmatch(VERSION_PATTERN, version):
        raise typer.BadParameter(f"{version!r} is no version id; pymk versions lists them")
    return version


def activate(
    version: Annotated[str, typer.Argument(help="A version id of pymk versions.", callback=_version_id)],
) -> None:
    """Serve another version; pymk rollback goes back."""
    from models.cli.progress import loading_bar
    from models.publishing.publish import activate

    with _opened() as place, loading_bar(f"loading {version}") as progress:
        pointer = activate(
            place.store,
            place.versions,
            version,
            keys=place.keys,
            superseded_ttl_s=place.settings.superseded_ttl_s,
            replay=_replaying(place),
            progress=progress,
        )
        _await_processes(place, pointer.version)


def rollback() -> None:
    """Serve the version that was active before."""
    from models.cli.progress import loading_bar
    from models.publishing.publish import rollback

    with _opened() as place, loading_bar("loading the version before") as progress:
        pointer = rollback(
            place.store,
            place.versions,
            keys=place.keys,
            superseded_ttl_s=place.settings.superseded_ttl_s,
            replay=_replaying(place),
            progress=progress,
        )
        _await_processes(place, pointer.version)


@dataclass(frozen=True)
class _Place:
    """A home, its store and how the two are named."""

    settings: "Settings"
    store: "SyncStore"
    versions: "Versions"
    keys: "Keys"


@contextmanager
def _opened() -> Iterator[_Place]:
    from models.settings import Settings
    from models.store.connect import open_sync
    from models.store.keys import Keys
    from models.version.local_versions import Versions

    settings = Settings()
    store = open_sync(settings)
    try:
        yield _Place(settings, store, Versions(settings.home), Keys(settings.namespace))
    finally:
        store.close()


def _replaying(place: _Place) -> "Replay":
    """Brings a version up to date here, or has a worker do it where its files are not on this host."""
    from models.candidate_refresh.replay import replaying

    settings = place.settings
    return replaying(place.store, place.versions, place.keys, settings.forbidden_days, settings.surfaces)


def _await_processes(place: _Place, version: str) -> None:
    """Prints the version that is served, once the live processes serve it; names on stderr those that do not."""
    from models.publishing.serving_processes import WAIT_S, wait_until_served

    for name, other in wait_until_served(place.store, version, keys=place.keys).items():
        typer.echo(f"{name} still serves {other or 'nothing'} after {WAIT_S:g} seconds", err=True)
    typer.echo(version)


_COLUMNS: dict[str, Callable[["Entry"], str]] = {
    "": lambda entry: "*" if entry.active else "<" if entry.previous else "",
    "version": lambda entry: entry.version,
    "published": lambda entry: f"{entry.published_at:%Y-%m-%d %H:%M} UTC" if entry.published_at else "-",
    "users": lambda entry: "-" if entry.users is None else f"{entry.users:,}",
    "size": lambda entry: "-" if entry.bytes is None else f"{entry.bytes / 1e6:,.1f} MB",
    "recall@20": lambda entry: "-" if entry.recall is None else f"{entry.recall:.4f}",
    "ratio": lambda entry: "-" if entry.ratio is None else f"{entry.ratio:.3f}",
    "where": lambda entry: (
        "+".join(name for name, on in (("disk", entry.on_disk), ("store", entry.in_store)) if on) or "-"
    ),
    "notes": lambda entry: entry.fault or ("forced" if entry.forced else ""),
}


def _print(entries: "list[Entry]") -> None:
    """A table on a terminal; elsewhere lines of tab-separated cells under a head, so that nothing is cut off."""
    rows = [[cell(entry) for cell in _COLUMNS.values()] for entry in entries]
    if not sys.stdout.isatty():
        for row in [list(_COLUMNS), *rows]:
            typer.echo("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, caption="* active   < where pymk rollback goes", caption_justify="left")
    for name in _COLUMNS:
        table.add_column(
            name, justify="right" if name in {"users", "size", "recall@20", "ratio"} else "left", no_wrap=True
        )
    for row in rows:
        table.add_row(*row)
    Console().print(table)
