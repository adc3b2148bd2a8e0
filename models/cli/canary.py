"""`pymk canary`: how the version does that a share of the viewers is served from; promote it, or take it back."""

from typing import TYPE_CHECKING, Annotated

import typer

from models.cli.deployment import Deployment, opened, replaying_of

if TYPE_CHECKING:
    from models.publishing.canary_record import CanaryReport

_Note = Annotated[str | None, typer.Option(help="Why; kept in the audit trail.", metavar="TEXT")]

_app = typer.Typer(invoke_without_command=True)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.add_typer(_app, name="canary")


@_app.callback()
def canary(
    context: typer.Context,
    *,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of lines.")] = False,
) -> None:
    """Say how the canary does, or how the last one ended.

    pymk activate VERSION --share 5% starts one. The worker compares both versions by itself when it starts (guardrails:
    opened, candidates, towers, embeddings, agreement, odds), then what its viewers get with what all others get
    (errors, empty_answers, p99, scores, order, dismissals, invitations). It takes the canary back as soon as one fails,
    and serves it to more viewers when a step has seen enough, or has lasted PYMK_CANARY_STEP_HOURS.
    """
    if context.invoked_subcommand is not None:
        return
    from models.candidate_refresh.replay import live_workers
    from models.publishing.canary_record import told_report

    with opened() as deployment:
        store, keys = deployment.store, deployment.keys
        report = told_report(store, keys)
        is_watched = bool(live_workers(store, keys))
    if json:
        typer.echo("null" if report is None else report.model_dump_json(indent=2))
        return
    if report is None:
        typer.echo("there is no canary, and there was none; pymk activate VERSION --share 5% starts one", err=True)
        return
    _print(report)
    if report.state == "running" and not is_watched:
        typer.echo("no worker is live, so nobody compares: start pymk worker", err=True)


@_app.command()
def promote(note: _Note = None) -> None:
    """Serve everybody from the canary, which ends it."""
    from models.cli.progress import loading_bar
    from models.publishing.audit import Actor
    from models.publishing.canary_ending import promote_canary
    from models.publishing.serving_processes import WAIT_S, wait_until_served

    with opened() as deployment, loading_bar("promoting the canary") as progress:
        pointer = promote_canary(
            deployment.store,
            deployment.versions,
            keys=deployment.keys,
            by=Actor.here(note),
            superseded_ttl_s=deployment.settings.superseded_ttl_s,
            progress=progress,
        )
        others = wait_until_served(deployment.store, pointer.version, keys=deployment.keys)
    for name, other in others.items():
        typer.echo(f"{name} still serves {other or 'nothing'} after {WAIT_S:g} seconds", err=True)
    typer.echo(pointer.version)


@_app.command()
def abort(note: _Note = None) -> None:
    """Serve everybody from the active version again, which ends the canary."""
    from models.publishing.audit import Actor
    from models.publishing.canary_ending import end_canary

    with opened() as deployment:
        version = end_canary(
            deployment.store,
            deployment.versions,
            "aborted",
            keys=deployment.keys,
            by=Actor.here(note),
            superseded_ttl_s=deployment.settings.superseded_ttl_s,
        )
        await_processes(deployment, "")
    typer.echo(version)


def share_of(text: str) -> float:
    """The share that an option names. Raises BadParameter."""
    from models.setting_texts import parse_share

    try:
        return parse_share(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--share") from error


def start(version: str, share: float, note: str | None) -> None:
    """Starts a canary, or changes its share; prints its id when the live processes serve it."""
    from models.cli.progress import loading_bar
    from models.publishing.audit import Actor
    from models.publishing.canary import start_canary

    with opened() as deployment, loading_bar(f"loading {version}") as progress:
        start_canary(
            deployment.store,
            deployment.versions,
            version,
            share,
            keys=deployment.keys,
            by=Actor.here(note),
            replay=replaying_of(deployment),
            progress=progress,
        )
        await_processes(deployment, version)
    typer.echo(version)


def await_processes(deployment: Deployment, version: str) -> None:
    """Returns when the live processes serve the canary, or none; names those that do not on stderr."""
    from models.publishing.serving_processes import WAIT_S, wait_until_tried

    for name in wait_until_tried(deployment.store, version, keys=deployment.keys):
        typer.echo(
            f"{name} does not {'serve the canary' if version else 'leave it'} after {WAIT_S:g} seconds", err=True
        )


def _print(report: "CanaryReport") -> None:
    canary = report.canary
    since = f"{canary.stepped_at:%Y-%m-%d %H:%M} UTC"
    typer.echo(
        f"{canary.version}\t{report.state}\t{canary.share:.4g} of the viewers since {since}, beside {canary.control}"
    )
    if report.note:
        typer.echo(report.note)
    for side, lists in sorted(report.lists.items()):
        typer.echo(f"lists\t{side}\t{lists:,}")
    for one in report.guardrails:
        typer.echo(f"{one.name}\t{one.verdict}\t{one.sentence}")
