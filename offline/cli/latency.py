"""`pymk inference`: the time of one prediction of every model family."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offline.cli.device import Device

if TYPE_CHECKING:
    from offline.compare.latency import Timing


_OWN_TIME = "--own-time measures one CPU thread; leave it out, or use --device cpu --threads 1"


def register(app: typer.Typer) -> None:
    """Adds `inference` to the application."""
    app.command("inference")(latency)


def latency(
    runs: Annotated[int, typer.Option(help="Timed predictions of each model, after a warm-up.", min=1)] = 1000,
    candidates: Annotated[int, typer.Option(help="Candidates that a fusion scores in one prediction.", min=5)] = 1000,
    people: Annotated[int, typer.Option(help="Users that an encoder embeds in one prediction.", min=1)] = 1,
    device: Annotated[Device, typer.Option(help="Where to time.")] = Device.AUTO,
    threads: Annotated[int, typer.Option(help="CPU threads.", min=1)] = 1,
    own_time: Annotated[
        bool, typer.Option("--own-time", help="Measure the CPU time of the thread, not elapsed time; CPU only.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Also write the timings to this file.", metavar="OUT")] = None,
) -> None:
    """Time one prediction of every encoder and every fusion on this machine.

    An encoder embeds users from their sampled neighbourhoods; a fusion scores one viewer's candidates. The weights are
    untrained, which does not change the time. On a shared machine, --own-time excludes time spent waiting.
    """
    import time

    from models.cli.paths import check_output_file
    from models.errors import UsageError

    # arguments: nothing that takes seconds to load before they are right
    check_output_file(json, "--json")
    if own_time and (device not in (Device.AUTO, Device.CPU) or threads > 1):
        raise UsageError(_OWN_TIME)
    import torch

    from models.system.files import write_json
    from offline.compare.latency import encoder_timings, fusion_timings
    from offline.encoders.device import chosen_device

    chosen, before = chosen_device(device.value), torch.get_num_threads()
    if own_time and chosen.type != "cpu":
        raise UsageError(_OWN_TIME)
    clock = time.thread_time if own_time else time.perf_counter
    torch.set_num_threads(threads)
    try:
        timings = [*fusion_timings(runs, chosen, candidates, clock), *encoder_timings(runs, chosen, people, clock)]
    finally:
        torch.set_num_threads(before)
    if json is not None:
        write_json(json, [timing.model_dump() for timing in timings])
    typer.echo(table(timings))


def table(timings: "list[Timing]") -> str:
    """The timings as a Markdown table."""
    lines = [
        "| | | device | mean ms | p50 | p95 | p99 | a second | parameters | KiB |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.kind} | {one.name} | {one.device} | {one.mean_ms:.3f} | {one.p50_ms:.3f} | {one.p95_ms:.3f} "
        f"| {one.p99_ms:.3f} | {one.per_second:,.0f} | {one.parameters:,} | {one.size_bytes / 1024:,.0f} |"
        for one in timings
    ]
    return "\n".join(lines)
