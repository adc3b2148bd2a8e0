"""The commands of the service: `pymk serve`, `pymk worker`, `pymk recommend`, `pymk loadtest`, `pymk hash-contacts`."""

import os
from pathlib import Path
from typing import Annotated

import structlog
import typer

from service.loadtest.command import loadtest

_FAULTS_SHOWN = 5
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("serve")(serve)
    app.command("worker")(worker)
    app.command("recommend")(recommend)
    app.command("loadtest")(loadtest)
    app.command("hash-contacts")(hash_contacts)


def serve(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on; any but the loopback needs PYMK_KEYS.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: a free one.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that share the port.")] = 1,
) -> None:
    """Answer requests over HTTP.

    May be started before anything is published: it serves a version as soon as there is one.

        curl 'http://127.0.0.1:8000/pymk/recommendations?user_id=alice'

    /health/ready says whether lists can be served, /metrics counts, /openapi.json describes the routes. SIGTERM
    finishes the requests in progress and stops.
    """
    _one_thread_each()
    from models.settings import Settings

    settings = Settings()
    from service.server.serve import serve as run

    run(settings, host, port, workers)


def worker(
    *,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of health and metrics; 0: a free one; left out: neither."),
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="Address that they are answered on.")] = "127.0.0.1",
) -> None:
    """Process the events: refreshed candidates, candidates for newcomers, the archive, erasures.

    A user who connects, disconnects, changes a profile, or asks for a list without having candidates is queued; the
    worker generates candidates from current data. Several may run at once. SIGTERM finishes the users in progress and
    stops.

        pymk worker --metrics-port 9101

    answers /health/live, /health/ready and /metrics.
    """
    _one_thread_each()
    from models.settings import Settings
    from models.store.connect import check_address

    # settings and address: nothing that takes seconds to load before they are right
    settings = Settings()
    check_address(settings)
    if metrics_port is not None:
        from service.worker.address import check_metrics_address

        check_metrics_address(metrics_host, metrics_port)
    structlog.get_logger().info("worker_starting")  # the numeric libraries take seconds
    from service.worker.command import work

    work(settings, metrics_host, metrics_port)


def recommend(
    *,
    users: Annotated[
        Path | None, typer.Option(help="File of user ids, one a line; - reads stdin.", allow_dash=True, metavar="FILE")
    ] = None,
    everyone: Annotated[bool, typer.Option("--all", help="All active users.")] = False,
    context: Annotated[str, typer.Option(help="The surface the lists are for.")] = "web",
    limit: Annotated[int, typer.Option(min=1, max=100, help="People per list at most.")] = 20,
    log: Annotated[bool, typer.Option("--log", help="Record who is shown, as for lists over HTTP.")] = False,
) -> None:
    """Write lists for many people at once, one JSON document a line on stdout.

    The same ranking and rules as over HTTP, for e-mail and other bulk use:

        pymk recommend --users ids.txt --limit 5 > lists.jsonl

    With --log the lists count as given out: pymk outcomes joins what comes of them. Each document then has a
    request_id; send it with the events that follow from the list.
    """
    _one_thread_each()
    from models.settings import Settings
    from models.store.connect import check_address
    from service.recommend.viewers_file import chosen_viewers

    # settings and arguments: nothing that takes seconds to load before they are right
    settings = Settings()
    check_address(settings)
    ids = chosen_viewers(settings, users, everyone=everyone, context=context)
    from service.recommend.batch_command import run

    run(settings, ids, context=context, limit=limit, log=log)


def _one_thread_each() -> None:
    """Bounds the threads of numeric libraries before any is loaded: processes, not threads, share the cores here."""
    for variable in _ONE_THREAD:
        os.environ.setdefault(variable, "1")


def hash_contacts(
    addresses: Annotated[Path, typer.Argument(help="E-mail addresses and phone numbers, one a line; - for stdin.")],
    *,
    region: Annotated[
        str | None, typer.Option(help="Country of phone numbers that do not name theirs, such as DE.")
    ] = None,
) -> None:
    """Print the hashes that PUT /pymk/users/ID/contacts takes, one a line, in the order of the addresses; equal
    ones once.

    An address is normalised first, so that everybody hashes the same text: an e-mail address as email-validator does,
    in lower case; a phone number as +COUNTRY and digits. Lines that are neither are named on stderr, and nothing is
    printed. Nothing is sent or kept.

    Example:  pymk hash-contacts addresses.txt --region DE > hashes.txt
    """
    import sys

    from models.contacts.address import address_hash
    from models.errors import UsageError
    from models.system import files

    text = sys.stdin.read() if str(addresses) == "-" else files.read_bytes(addresses).decode()
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    hashes, faults = [], []
    for number, line in lines:
        try:
            hashes.append(address_hash(line, region))
        except UsageError as error:
            faults.append(f"line {number}: {error}")
    if faults:
        shown = "; ".join(faults[:_FAULTS_SHOWN])
        more = f"; and {len(faults) - _FAULTS_SHOWN} more" if len(faults) > _FAULTS_SHOWN else ""
        raise UsageError(f"{addresses}: {shown}{more}")
    typer.echo("\n".join(dict.fromkeys(hashes)))
