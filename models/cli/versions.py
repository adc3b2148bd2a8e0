"""`pymk versions`, `activate`, `rollback`, `approve`, `reject`, `audit`: versions, and what is decided of them."""

import re
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from models.cli import canary
from models.cli.deployment import Deployment, opened, replaying_of

if TYPE_CHECKING:
    from models.publishing.catalogue import Entry


_Note = Annotated[str | None, typer.Option(help="Why; kept in the audit trail.", metavar="TEXT")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("versions")(show)
    app.command("activate")(activate)
    app.command("rollback")(rollback)
    app.command("approve")(approve)
    app.command("reject")(reject)
    app.command("audit")(audit)
    canary.register(app)


def show(
    *, json: Annotated[bool, typer.Option("--json", help="Print a JSON array instead of a table.")] = False
) -> None:
    """List the published versions, newest first."""
    import orjson

    from models.publishing.catalogue import catalogue

    with opened() as deployment:
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
    share: Annotated[
        str | None,
        typer.Option(metavar="P%", help="Serve only so many viewers from it, as a canary (pymk canary)."),
    ] = None,
    note: _Note = None,
) -> None:
    """Serve another version; pymk rollback returns to the previous one.

    With --share 5% it becomes a canary: a hashed share of the viewers is served from it beside the active version, on
    every process. The worker compares both all the time, takes a canary back that does worse, and serves one that
    holds to more viewers, step by step (PYMK_CANARY_STEPS), up to all of them.
    """
    from models.cli.progress import loading_bar
    from models.publishing.audit import Actor
    from models.publishing.publish import activate

    wanted = None if share is None else canary.share_of(share)
    if wanted is not None and wanted < 1:
        canary.start(version, wanted, note)
        return
    with opened() as deployment, loading_bar(f"loading {version}") as progress:
        pointer = activate(
            deployment.store,
            deployment.versions,
            version,
            keys=deployment.keys,
            superseded_ttl_s=deployment.settings.superseded_ttl_s,
            replay=replaying_of(deployment),
            progress=progress,
            by=Actor.here(note),
        )
        _await_processes(deployment, pointer.version)


def rollback(note: _Note = None) -> None:
    """Serve the previously active version."""
    from models.cli.progress import loading_bar
    from models.publishing.audit import Actor
    from models.publishing.publish import rollback

    with opened() as deployment, loading_bar("loading the previous version") as progress:
        pointer = rollback(
            deployment.store,
            deployment.versions,
            keys=deployment.keys,
            superseded_ttl_s=deployment.settings.superseded_ttl_s,
            replay=replaying_of(deployment),
            progress=progress,
            by=Actor.here(note),
        )
        _await_processes(deployment, pointer.version)


_Waiting = Annotated[str, typer.Argument(help="The id of a version that waits.", callback=_version_id)]


def approve(version: _Waiting, note: _Note = None) -> None:
    """Publish a version that waits for an approval, once.

    With PYMK_APPROVAL=true a version that passed the gate waits; pymk versions lists it. Older ones that wait are
    rejected, since this one supersedes them. With PYMK_CANARY=true a share of the viewers is served from it first
    (pymk canary). Prints the id when the live processes serve it.
    """
    from models.cli.progress import loading_bar
    from models.publishing.approvals.approval import approve
    from models.publishing.audit import Actor
    from models.publishing.canary_record import Canary

    with opened() as deployment, loading_bar(f"loading {version}") as progress:
        served = approve(
            deployment.store,
            deployment.versions,
            version,
            keys=deployment.keys,
            by=Actor.here(note),
            canary_share=deployment.settings.canary_share,
            superseded_ttl_s=deployment.settings.superseded_ttl_s,
            replay=replaying_of(deployment),
            progress=progress,
        )
        if isinstance(served, Canary):
            canary.await_processes(deployment, version)
            said = f"{version} is served to {100 * served.share:g}% of the viewers first, beside {served.control}"
            typer.echo(f"{said}; pymk canary says how it does", err=True)
            typer.echo(version)
            return
        if served.version != version:
            typer.echo(f"{version} was served before; {served.version} is active since, and stays so", err=True)
        _await_processes(deployment, served.version)


def reject(version: _Waiting, note: _Note = None) -> None:
    """Remove a version that waits for an approval, once; what is served does not change."""
    from models.publishing.approvals.approval import reject
    from models.publishing.audit import Actor

    with opened() as deployment:
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

    with opened() as deployment:
        entries = read_audit(deployment.store, deployment.keys)[:limit]
    if json:
        listed = [entry.model_dump(mode="json") for entry in entries]
        typer.echo(orjson.dumps(listed, option=orjson.OPT_INDENT_2).decode())
        return
    for entry in entries:
        said = [f"{entry.at:%Y-%m-%d %H:%M:%S} UTC", entry.what, entry.version, entry.who]
        said += [f"after {entry.before}"] if entry.before else []
        typer.echo("\t".join(said + ([entry.note] if entry.note else [])))


def _await_processes(deployment: Deployment, version: str) -> None:
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
