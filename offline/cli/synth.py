"""`pymk synth`: writes a synthetic dataset directory."""

from pathlib import Path
from typing import Annotated

import typer

from offline.cli.step_progress import step_progress


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("synth")(synth)


def synth(
    users: Annotated[int, typer.Option(help="Number of users.", min=1)],
    out: Annotated[
        Path, typer.Option(help="Directory to write; replaces an earlier synthetic dataset.", metavar="DATA")
    ],
    mean_friends: Annotated[
        float | None,
        typer.Option(help="Mean friends of a user before the cut. [default: 20, less in a tiny network]"),
    ] = None,
    fakes: Annotated[float, typer.Option(help="Share of fake accounts; fakes.csv lists them.", min=0, max=0.5)] = 0.0,
    seed: Annotated[int, typer.Option(help="The same seed and sizes give the same files.", min=0)] = 0,
) -> None:
    """Write a synthetic social network, to try pymk without data of your own.

    Users live in cities, went to schools and work at companies. They join over two years and befriend classmates,
    colleagues and, mostly, friends of friends, as densely clustered as a real Facebook network. DATA receives:

    \b
    users.csv         profiles, with missing values
    connections.csv   the friendships up to the cut, with their dates
    interactions.csv  impressions, invites, refusals and blocks of the last weeks
    schema.toml       the kind of each column, and the time of the cut
    held_out.csv      the friendships of the four weeks after the cut, to predict
    contacts.csv      address books of some people, as hashes
    fakes.csv         with --fakes: the fake accounts, which invite strangers or form link farms

    \b
    Then:  pymk nightly DATA
           pymk evaluate DATA --held-out DATA/held_out.csv
    """
    from models.cli.paths import make_output_directory
    from offline.synth.arguments import check_target, checked_mean

    # check the arguments, and state them in schema.toml
    target = check_target(out)
    checked_mean(users, mean_friends)
    make_output_directory(target.parent, "--out")
    origin = f"--users {users} --seed {seed}"
    if mean_friends is not None:
        origin += f" --mean-friends {mean_friends:g}"
    if fakes:
        origin += f" --fakes {fakes:g}"
    # generate and write
    from offline.synth import directory, network

    with step_progress("pymk.synth") as steps:

        def progress(step: str, done: float) -> None:
            steps(step, round(100 * done), 100)

        made = network.generate(users, mean_friends, seed, progress, fake_share=fakes)
        directory.write(made, out, origin, progress)
    typer.echo(
        f"{out}: {users} users, {len(made.connections)} friendships, {len(made.held_out)} held out, "
        f"{len(made.interactions.at)} interactions" + (f", {int((made.fakes > 0).sum())} fakes" if fakes else "")
    )
