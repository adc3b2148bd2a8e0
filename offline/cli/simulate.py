"""`pymk simulate`: simulated people use the real service for a month."""

from pathlib import Path
from typing import Annotated

import typer

from offline.cli.step_progress import step_progress


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("simulate")(simulate)


def simulate(
    out: Annotated[Path, typer.Option(help="Directory to write; replaces an earlier simulation.", metavar="DIR")],
    users: Annotated[int, typer.Option(help="Number of people.", min=20)] = 2000,
    days: Annotated[int, typer.Option(help="Number of days.", min=1, max=1000)] = 30,
    seed: Annotated[int, typer.Option(help="The same seed and sizes give the same people.", min=0)] = 0,
    config: Annotated[
        Path | None, typer.Option(help="How people behave, nights, settings: a TOML file.", metavar="FILE.toml")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the simulation in DIR, with the same options, after a stop.")
    ] = False,
) -> None:
    """Let simulated people with hidden tastes use the real service, day by day, with nights between.

    They look at the first places of a list more than at later ones; they click, invite, dismiss, tire of faces, answer
    invitations, and some join during the month. Store, worker and service run as processes in DIR/home for as long as
    this command does; none is left behind. DIR receives:

    \b
    days.parquet   by day, context, version and arms: shown, looked at, invited, accepted, ...; `expected` is the
                   true number of friendships that the places were worth
    truth.json     what is hidden of each person
    DATA, home     the dataset of the first day; versions, outcomes and events afterwards
    logs           what the processes said

    It takes about as long as its nights. Stopped with Ctrl-C, or killed, it leaves the days that are over; the same
    command with --resume goes on after the last of them.
    """
    from models.system.toml_file import read_model
    from offline.simulation.config import SimulationConfig
    from offline.simulation.month import DAYS, check_target
    from offline.simulation.month import simulate as run

    told = SimulationConfig() if config is None else read_model(config, SimulationConfig)
    check_target(out)
    try:
        with step_progress("pymk.simulate") as steps:
            record = run(out, users, days, seed, told, steps, resume=resume)
    except KeyboardInterrupt:
        typer.echo(f"stopped; {out / DAYS} has the days that are over; --resume goes on", err=True)
        raise
    table = record.table()
    shown, accepted = int(table["shown"].sum()), int(table["accepted"].sum())
    rate = 1000 * accepted / shown if shown else 0.0
    typer.echo(f"{out}: {days} days, {shown} people shown, {accepted} invitations accepted, {rate:.2f} of 1,000 shown")
