"""`pymk outcomes`: what came of the lists that were given out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from models.settings import Settings

_SPANS = {"h": 3600, "d": 86_400, "w": 7 * 86_400}
"""seconds by unit"""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("outcomes")(outcomes)


def outcomes(
    *,
    out: Annotated[
        Path | None, typer.Option(help="Write the table, one Parquet file a day, into this directory.", metavar="DIR")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(help="Only lists given out from a time on: 2026-11-01, or the last 7d, 36h, 2w.", metavar="T"),
    ] = None,
    parity: Annotated[
        int | None,
        typer.Option(min=1, help="Also compute the features of at most so many lists again, and compare.", metavar="N"),
    ] = None,
    evaluate: Annotated[
        str | None,
        typer.Option(
            help="Estimate what another version on disk, or the settings in a file, would have earned.",
            metavar="VERSION|FILE.toml",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON document instead of tables.")] = False,
) -> None:
    """Join the lists that were given out with the events that followed.

    Each person of each list is one row: what the list showed, what the ranker read, the probability with which
    exploration put the person there; and whether the viewer clicked, invited, dismissed, blocked or reported the
    person, and the person accepted or declined. Events belong to the list whose request_id they carry; those without
    one to the last list that showed the person within PYMK_OUTCOME_JOIN_HOURS. Without --out the rates are printed;
    with it the files, and what --parity finds on stderr.

    --evaluate judges another version by the lists that exploration drew: by importance weights, self-normalised and
    doubly robust, with intervals by viewer. Where drawn lists hardly show what the version would, there is no figure.
    --since says which lists are judged; whom their viewers had invited or refused is known since the version's cut.
    A file judges settings in the same way, those that an arm of an experiment may change (pymk experiment start
    --help), over the active version or the one that it names: version = "...", outcome_blend = "accepted:2".

    \b
    pymk outcomes --since 7d --parity 1000
    pymk outcomes --out outcomes && python -c 'import polars; print(polars.read_parquet("outcomes/*.parquet"))'
    pymk outcomes --evaluate bolder.toml --since 14d
    pymk outcomes --json | jq '.by.source[] | [.value, .invited]'
    """
    from contextlib import closing

    from models.cli.paths import make_output_directory
    from models.errors import UsageError
    from models.settings import Settings
    from models.store.connect import check_address, open_sync
    from models.store.keys import Keys
    from models.system.clock import now_us

    # settings and arguments: nothing that takes seconds to load before they are right
    settings, now = Settings(), now_us()
    check_address(settings)
    since_us = since_of(since, now)
    if evaluate is not None:
        for option, is_given in (("--out", out is not None), ("--parity", parity is not None)):
            if is_given:
                raise UsageError(
                    f"{option} does not go with --evaluate, which prints one estimate: leave one of them out"
                )
        _evaluate(settings, evaluate, since_us, now, json=json)
        return
    if out is not None:
        make_output_directory(out, "--out")

    from offline.outcomes.table import read_outcomes, write_outcomes

    keys, found_parity = Keys(settings.namespace), None
    with closing(open_sync(settings)) as store:
        table = read_outcomes(settings, store, keys, since=since_us, now=now)
        if parity is not None:
            from offline.outcomes.parity import feature_parity
            from offline.outcomes.table import every_entry

            days, entries = settings.forbidden_days, every_entry(settings, store, keys, now)
            found_parity = feature_parity(table, entries, settings.home, forbidden_days=days, most=parity)
    found: dict[str, Any]
    if out is not None:
        found = {"files": [str(file) for file in write_outcomes(table, out)]}
    else:
        from offline.outcomes.rates import rates

        found = rates(table)
    if found_parity is not None:
        found["parity"] = found_parity.as_json()
    if json:
        import orjson

        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    from offline.outcomes.rendering import parity_in_words, render

    if out is None:
        render(found)
        return
    typer.echo("\n".join(found["files"]))
    if found_parity is not None:
        typer.echo(parity_in_words(found["parity"]), err=True)


def _evaluate(settings: "Settings", wanted: str, since: int, now: int, *, json: bool) -> None:
    """Prints what a version, or the settings in a file, would have earned in lists drawn since the version's cut."""
    import re
    from contextlib import closing

    from models.errors import UsageError
    from models.publishing.pointer import read_pointer
    from models.store.connect import open_sync
    from models.store.keys import Keys
    from models.version.local_versions import Versions
    from models.version.manifest import VERSION_PATTERN
    from offline.experiments.policy import Policy
    from offline.experiments.version_policy import as_text, evaluate_version
    from offline.experiments.version_scores import DiskVersionScores
    from offline.outcomes.events import read_events
    from offline.outcomes.table import read_outcomes

    versions, keys, path = Versions(settings.home), Keys(settings.namespace), Path(wanted)
    is_version = re.fullmatch(VERSION_PATTERN, wanted) is not None
    if not is_version and not path.is_file():
        raise UsageError(f"--evaluate {wanted} is neither a version (pymk versions lists them) nor a file of settings")
    with closing(open_sync(settings)) as store:
        # what is judged: before anything of the log is read
        if is_version:
            policy = Policy.of(wanted, settings)
        else:
            pointer = read_pointer(store, keys=keys)
            policy = Policy.read(path, settings, None if pointer is None else pointer.version)
        cut = versions.manifest(policy.version).cut_us
        scores = DiskVersionScores(versions.path(policy.version), policy.rules)
        table = read_outcomes(settings, store, keys, since=cut, now=now)
        events = read_events(settings.home, store, keys, since=cut, until=now)
    found = evaluate_version(
        policy.version,
        table,
        scores,
        draws=policy.draws,
        changed=policy.changed,
        since=since,
        events=events,
        hold_minutes=settings.exploration_hold_minutes,
    )
    typer.echo(found.model_dump_json(indent=2) if json else "\n".join(as_text(found)))


def since_of(since: str | None, now: int) -> int:
    """The time that an option names, microseconds: a timestamp, or how long ago it was; 0 for None.

    Raises UsageError for another form.
    """
    from models.errors import UsageError
    from models.schema.timestamps import TimestampFaultError, timestamp_us
    from models.system.clock import MICROSECONDS

    if since is None:
        return 0
    number, unit = since[:-1], since[-1:]
    if unit in _SPANS and number.isascii() and number.isdigit():
        return max(0, now - int(number) * _SPANS[unit] * MICROSECONDS)
    try:
        return timestamp_us(since)
    except TimestampFaultError as error:
        where = f"--since {since} is neither a time such as 2026-11-01 nor a span such as 7d"
        raise UsageError(f"{where}: {error}") from error
