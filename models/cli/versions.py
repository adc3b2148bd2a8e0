"""`pymk versions`, `activate`, `rollback`, `approve`, `reject`, `audit`: versions, and what is decided of them."""

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
    """Adds the commands."""
    app.command("versions")(show)
    app.command("activate")(activate)
    app.command("rollback")(rollback)
    app.command("approve")(approve)
    app.command("reject")(reject)
    app.command("audit")(audit)


def show(
    *, json: Annotated[bool, typer.Option("--json", help="Print a JSON array instead of a table.")] = False
) -> None:
    """List the published versions, newest first."""
    import orjson

    from models.publishing.catalogue import catalogue

    with _opened() as deployment:
        entries = catalogue(deployment.store, deployment.versions, keys=deployment.keys)
    if json:
        listed = [entry.model_dump(mode="json") for entry in entries]
        typer.echo(orjson.dumps(listed, option=orjson.OPT_INDENT_2).decode())
    elif entries:
        _print(entries)
    else:
        typer.echo(
            f"nothing is published in {deployment.settings.home}; pymk nightly DATA publishes a version", err=True
        )


def _version_id(version: str) -> str:
    from models.version.manifest import VERSION_PATTERN

    if not re.fullmatch(VERSION_PATTERN, version):
        raise typer.BadParameter(f"{version!r} is not a version id; pymk versions lists them")
    return version


def activate(
    version: Annotated[str, typer.Argument(help="A version id from pymk versions.", callback=_version_id)],
) -> None:
    """Serve another version; pymk rollback returns to the previous one."""
    from models.cli.progress import loading_bar
    from models.publishing.publish import activate

    with _opened() as deployment, loading_bar(f"loading {version}") as progress:
        pointer = activate(
            deployment.store,
            deployment.versions,
            version,
            keys=deployment.keys,
            superseded_ttl_s=deployment.settings.superseded_ttl_s,
            replay=_replaying(deployment),
            progress=progress,
        )
        _await_processes(deployment, pointer.version)


def rollback() -> None:
    """Serve the previously active version."""
    from models.cli.progress import loading_bar
    from models.publishing.publish import rollback

    with _opened() as deployment, loading_bar("loading the previous version") as progress:
        pointer = rollback(
            deployment.store,
            deployment.versions,
            keys=deployment.keys,
            superseded_ttl_s=deployment.settings.superseded_ttl_s,
            replay=_replaying(deployment),
            progress=progress,
        )
        _await_processes(deployment, pointer.version)


_Waiting = Annotated[str, typer.Argument(help="The id of a version that waits.", callback=_version_id)]
_Note = Annotated[str | None, typer.Option(help="Why; kept in the audit trail.", metavar="TEXT")]


def approve(version: _Waiting, note: _Note = None) -> None:
    """Publish a version that waits for an approval, once.

    With PYMK_APPROVAL=true a version that passed the gate waits; pymk versions lists it. Older ones that wait are
    rejected, since this one supersedes them. Prints the id when the live processes serve it.
    """
    from models.cli.progress import loading_bar
    from models.publishing.approval import approve
    from models.publishing.audit import Actor

    with _opened() as deployment, loading_bar(f"loading {version}") as progress:
        pointer = approve(
            deployment.store,
            deployment.versions,
            version,
            keys=deployment.keys,
            by=Actor.here(note),
            superseded_ttl_s=deployment.settings.superseded_ttl_s,
            replay=_replaying(deployment),
            progress=progress,
        )
        _await_processes(deployment, pointer.version)


def reject(version: _Waiting, note: _Note = None) -> None:
    """Remove a version that waits for an approval, once; what is served does not change."""
    from models.publishing.approval import reject
    from models.publishing.audit import Actor

    with _opened() as deployment:
        reject(deployment.store, deployment.versions, version, keys=deployment.keys, by=Actor.here(note))
    typer.echo(version)


def audit(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON array instead of lines.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Print at most so many entries.")] = 100,
) -> None:
    """Say who published, activated, rolled back, approved, rejected or forced which version, when and why."""
    import orjson

    from models.publishing.audit import read_audit

    with _opened() as deployment:
        entries = read_audit(deployment.store, deployment.keys)[:limit]
    if json:
        listed = [entry.model_dump(mode="json") for entry in entries]
        typer.echo(orjson.dumps(listed, option=orjson.OPT_INDENT_2).decode())
        return
    for entry in entries:
        said = [f"{entry.at:%Y-%m-%d %H:%M:%S} UTC", entry.what, entry.version, entry.who]
        said += [f"after {entry.before}"] if entry.before else []
        typer.echo("\t".join(said + ([entry.note] if entry.note else [])))


@dataclass(frozen=True)
class _Deployment:
    """A home, its store and their settings."""

    settings: "Settings"
    store: "SyncStore"
    versions: "Versions"
    keys: "Keys"


@contextmanager
def _opened() -> Iterator[_Deployment]:
    from models.settings import Settings
    from models.store.connect import open_sync
    from models.store.keys import Keys
    from models.version.local_versions import Versions

    settings = Settings()
    store = open_sync(settings)
    try:
        yield _Deployment(settings, store, Versions(settings.home), Keys(settings.namespace))
    finally:
        store.close()


def _replaying(deployment: _Deployment) -> "Replay":
    """Brings a version up to date here, or queues it for a worker if its files are not on this host."""
    from models.candidate_refresh.replay import replaying

    settings = deployment.settings
    return replaying(deployment.store, deployment.versions, deployment.keys, settings.forbidden_days, settings.surfaces)


def _await_processes(deployment: _Deployment, version: str) -> None:
    """Prints the served version when the live processes serve it; names those that do not on stderr."""
    from models.publishing.serving_processes import WAIT_S, wait_until_served

    for name, other in wait_until_served(deployment.store, version, keys=deployment.keys).items():
        typer.echo(f"{name} still serves {other or 'nothing'} after {WAIT_S:g} seconds", err=True)
    typer.echo(version)


def _notes(entry: "Entry") -> Iterator[str]:
    if entry.state in ("waiting", "rejected", "canary"):
        yield entry.state
    if entry.forced:
        yield "forced"


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
    "notes": lambda entry: entry.fault or " ".join(_notes(entry)),
}


def _print(entries: "list[Entry]") -> None:
    """Prints a table on a terminal, else tab-separated lines under a header, so that nothing is cut off."""
    rows = [[cell(entry) for cell in _COLUMNS.values()] for entry in entries]
    if not sys.stdout.isatty():
        for row in [list(_COLUMNS), *rows]:
            typer.echo("\t".join(row))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, caption="* active   < target of pymk rollback", caption_justify="left")
    for name in _COLUMNS:
        table.add_column(
            name, justify="right" if name in {"users", "size", "recall@20", "ratio"} else "left", no_wrap=True
        )
    for row in rows:
        table.add_row(*row)
    Console().print(table)
