"""`pymk inference`: how long one prediction of every model family takes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from offline.compare.latency import Timing


def register(app: typer.Typer) -> None:
    """Adds `inference` to the application."""
    app.command("inference")(inference)


def inference(
    runs: Annotated[int, typer.Option(help="Predictions timed of each, after a warm-up.", min=1)] = 1000,
    candidates: Annotated[int, typer.Option(help="Candidates that a fusion scores in a run.", min=5)] = 1000,
    people: Annotated[int, typer.Option(help="People whom an encoder embeds in a run.", min=1)] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int, typer.Option(help="Threads of the CPU.", min=1)] = 1,
    own_time: Annotated[
        bool, typer.Option("--own-time", help="Count the time that the thread ran, not that which passed; CPU alone.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Also write the figures to this file.", metavar="OUT")] = None,
) -> None:
    """Time one prediction of every encoder and every fusion on this machine.

    An encoder embeds people from their sampled neighbourhood, a fusion scores one viewer's candidates. Weights are
    those that training begins with: they change no time. On a machine that others use, --own-time leaves out what it
    waited for them.
    """
    import time

    import torch

    from models.errors import UsageError
    from models.system.files import write_json
    from offline.compare.latency import encoder_timings, fusion_timings
    from offline.encoders.device import chosen_device

    chosen, before = chosen_device(device), torch.get_num_threads()
    if own_time and (chosen.type != "cpu" or threads > 1):
        raise UsageError("--own-time counts one thread of the CPU; leave it out, or say --device cpu --threads 1")
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
    """The figures as a Markdown table."""
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
