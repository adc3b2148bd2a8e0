"""`pymk loadtest`: the command line."""

from pathlib import Path
from typing import Annotated

import typer


def loadtest(
    url: Annotated[str, typer.Argument(help="Address of the service, like http://127.0.0.1:8000.", metavar="URL")],
    *,
    rate: Annotated[
        float, typer.Option(help="Requests a second; with --step the first rate.", min=0.1, max=1e6)
    ] = 100.0,
    duration: Annotated[float, typer.Option(help="Seconds to measure, of each step.", min=0.5, max=14400)] = 30.0,
    warm_up: Annotated[float, typer.Option(help="Seconds of load before, not counted.", min=0, max=3600)] = 5.0,
    processes: Annotated[int, typer.Option(help="Processes that send.", min=1, max=256)] = 1,
    connections: Annotated[int, typer.Option(help="Connections at most, of all processes.", min=1, max=50000)] = 64,
    timeout: Annotated[float, typer.Option(help="Seconds until a request expires.", min=0.01, max=600)] = 2.0,
    users: Annotated[
        Path | None,
        typer.Option(
            help="Viewers: a file of ids, one a line; a table with user_id (.csv, .parquet, .jsonl); or a dataset "
            "directory. [default: the users of the version served, from PYMK_HOME on this host]",
            metavar="PATH",
        ),
    ] = None,
    zipf: Annotated[
        float, typer.Option(help="Exponent of the Zipf distribution of viewers; 0: uniform.", min=0, max=5)
    ] = 1.0,
    mix: Annotated[
        str, typer.Option(help="Weights of cached, no-cache, cold and event requests.", metavar="KIND=WEIGHT,...")
    ] = "cached=80,no-cache=15,cold=5",
    limit: Annotated[int, typer.Option(help="People per list.", min=1, max=100)] = 20,
    context: Annotated[str, typer.Option(help="Surface that the lists are for.")] = "web",
    events: Annotated[int, typer.Option(help="Events in an event request.", min=1, max=10000)] = 10,
    event_kinds: Annotated[
        str, typer.Option(help="Kinds of the events, in rotation.", metavar="KIND,...")
    ] = "impression,view,click",
    slo_p99_ms: Annotated[
        float | None, typer.Option(help="99th percentile of the latency to keep, in milliseconds.", min=0.01)
    ] = None,
    slo_error_share: Annotated[
        float, typer.Option(help="Share of requests that may go unanswered (0.001: one in a thousand).", min=0, max=1)
    ] = 0.001,
    step: Annotated[
        bool, typer.Option("--step", help="Find the highest rate that keeps --slo-p99-ms and --slo-error-share.")
    ] = False,
    max_rate: Annotated[float, typer.Option(help="Highest rate that --step tries.", min=1, max=1e6)] = 1e6,
    precision: Annotated[
        float, typer.Option(help="How close --step comes to the highest rate, as a share of it.", min=0.005, max=1)
    ] = 0.05,
    max_lateness_ms: Annotated[
        float,
        typer.Option(help="Lateness of the harness itself, at p99, above which the run has no result.", min=0.01),
    ] = 2.0,
    check: Annotated[bool, typer.Option("--check/--no-check", help="Check a few answers.")] = True,
    seed: Annotated[int, typer.Option(help="The same seed sends the same requests at the same times.", min=0)] = 0,
    json: Annotated[Path | None, typer.Option(help="Write the whole report there.", metavar="FILE")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Plot it (PNG; needs matplotlib, the extra `plot`).", metavar="FILE.png")
    ] = None,
) -> None:
    """Put load on a running service and report its latency.

    Requests start at the times of a Poisson process, whatever the outcome of those before (an open loop), and latency
    counts from those times: a stall shows in the latency of every request that was due during it. Viewers follow a Zipf
    distribution. Kinds of request:

    \b
    cached     the list of a known user, from the cache if it holds one
    no-cache   the same, always ranked (Cache-Control: no-cache)
    cold       the list of an unknown user id
    event      POST /pymk/events. The events concern real users: impression, view and click are signals only, other
               --event-kinds change who is shown to whom. Not part of the default mix.

    \b
    On the host of the service:
      pymk loadtest http://127.0.0.1:8000 --rate 500
    A minute at a fixed rate with an objective, for a script (exit status 1 if it is missed):
      pymk loadtest URL --users ids.txt --rate 1500 --duration 60 --slo-p99-ms 10 --json run.json --plot run.png
    The highest rate that keeps p99 at 10 ms:
      pymk loadtest URL --users DATA --step --slo-p99-ms 10 --duration 15
    Ranking alone; or a tenth of events, with a key:
      pymk loadtest URL --mix no-cache=1
      PYMK_LOADTEST_KEY=... pymk loadtest URL --mix cached=80,no-cache=5,cold=5,event=10

    The key comes from the environment variable PYMK_LOADTEST_KEY; it needs the scope read, and write for events.

    The harness measures how much later than intended it sends. If its p99 is above --max-lateness-ms and above a tenth
    of the latency's p99, or it started fewer than 99% of the planned requests, it was the bottleneck: the run has no
    result and exits with 1. More --processes or another machine help. A timeout is an error, and its latency is the
    time until it expired; a 503 with Retry-After is a refusal, counted apart; both count towards --slo-error-share. To
    see what a service does above its highest rate, allow more --connections than it accepts requests at a time
    (PYMK_MAX_IN_FLIGHT): requests that wait for a connection wait in the client.

    A few answers are checked, before and during the load: shape, order of scores, no user twice and, by the facts of
    the version or the dataset, no user who is connected or hidden. Any host may be loaded; a warning says if it is not
    this machine. Ctrl-C ends the run with a report marked partial.

    Exit status: 0 done and objectives kept; 1 objective missed, a wrong answer, or the harness was the bottleneck;
    2 wrong usage; 130 interrupted.
    """
    from service.loadtest.runner import Options, run

    # the options in one object
    options = Options(
        url=url,
        rate=rate,
        duration_s=duration,
        warm_up_s=warm_up,
        processes=processes,
        connections=connections,
        timeout_s=timeout,
        users=users,
        zipf=zipf,
        mix=mix,
        limit=limit,
        context=context,
        events=events,
        event_kinds=event_kinds,
        slo_p99_ms=slo_p99_ms,
        slo_error_share=slo_error_share,
        step=step,
        max_rate=max_rate,
        precision=precision,
        max_lateness_ms=max_lateness_ms,
        check=check,
        seed=seed,
        json=json,
        plot=plot,
    )
    # the run
    if run(options):
        raise typer.Exit(130)
