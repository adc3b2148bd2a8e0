"""`pymk compare`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from offline.cli.device import Device

if TYPE_CHECKING:
    from rich.progress import TaskID

    from offline.compare.results import RunResult
    from offline.training.resume import RunState


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("compare")(compare)


def compare(
    data: Annotated[Path, typer.Argument(help="The dataset directory: users, connections, interactions, schema.toml.")],
    rows: Annotated[
        Path | None, typer.Option(help="A TOML file of rows. [default: the rows of the package]", metavar="FILE")
    ] = None,
    out: Annotated[
        Path,
        typer.Option(help="Directory of results, checkpoints and loss curves; a second run resumes.", metavar="DIR"),
    ] = Path("comparison"),
    only: Annotated[list[str] | None, typer.Option(help="Run only this row; may be repeated.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each row, with the seeds 0, 1, ...")] = 1,
    held_out: Annotated[
        Path | None,
        typer.Option(help="A table of friendships to predict (user_id, other_id), none of them in DATA."),
    ] = None,
    users: Annotated[int, typer.Option(min=1, help="Evaluate at most this many users.")] = 3000,
    lists: Annotated[int, typer.Option(min=10, help="Train a fusion on at most this many lists.")] = 1500,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Train at most this many steps and evaluate 200 users: a run of seconds.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes to run at a time.")] = 1,
    device: Annotated[Device, typer.Option(help="Where to train; a row's own device overrides auto.")] = Device.AUTO,
    config: Annotated[
        Path | None, typer.Option(help="Settings of the night, TOML; pymk config prints all.", metavar="FILE.toml")
    ] = None,
    print_rows: Annotated[bool, typer.Option("--print-rows", help="Print the rows of the package.")] = False,
) -> None:
    """Train the model families on your own data and compare them.

    A row is an encoder (graphsage, gat, gcn, vgae, dgi, temporal_gat, lightgcn), an encoding of the user's identity
    (none, lookup, hash), and optionally a fusion of its score with the others (two_tower, weighted_average, mlp, moe,
    linucb, dqn). Every row and seed is trained on the same friendships. Full ranking evaluates the encoder alone and
    the fused candidates on the same hidden friendships, beside the baselines. Hidden are those of --held-out, or the
    latest of DATA, or a random tenth if DATA has no dates.

    A file of rows looks like this; pymk compare DATA --print-rows shows every option:

    \b
    [[rows]]
    name = "attention"
    encoder = { name = "gat", heads = 4 }
    fusion = { name = "mlp" }
    \b
    [[rows]]
    name = "bare graph"
    encoder = { name = "lightgcn", outputs = 64 }
    identity = { name = "lookup", width = 64 }
    features = []
    training = { max_steps = 200 }

    Prints the table as Markdown and writes it to DIR as comparison.json, comparison.md and, if matplotlib is installed,
    comparison.png. The same command resumes a stopped comparison: finished runs are read, the stopped one continues
    from its last epoch. Published versions do not change.

    \b
    Examples:  pymk compare ./my-network --limit 20
               pymk compare ./my-network --rows rows.toml --seeds 3 --jobs 2 --out ./comparison
    """
    from models.cli.paths import make_output_directory
    from models.errors import UsageError
    from offline.compare.variants import DEFAULT_VARIANTS, chosen_variants, read_variants
    from offline.night.config import NightConfig

    # arguments, and then the data: nothing that takes seconds to load before they are right
    if print_rows:
        typer.echo(DEFAULT_VARIANTS.read_text("utf-8"), nl=False)
        return
    if not data.is_dir():
        raise UsageError(f"{data} is not a directory; pymk synth --out DIRECTORY makes a synthetic one")
    chosen = chosen_variants(read_variants(rows or DEFAULT_VARIANTS), tuple(only or ()))
    night_config = NightConfig.read(config)
    _check_data(data, held_out)
    make_output_directory(out, "--out")
    from offline.compare.comparison import Plan
    from offline.compare.comparison import compare as run
    from offline.compare.table import markdown, table
    from offline.encoders.device import chosen_device

    # the options override the rows' settings
    chosen_device(device.value)
    updated = []
    for variant in chosen:
        training = variant.training if limit is None else variant.training.limited(limit)
        if training.device == "auto":
            training = training.model_copy(update={"device": device.value})
        updated.append(variant.model_copy(update={"training": training}))
    if limit is not None:
        users, lists = min(users, 200), min(lists, 200)
    # run, then write and print the table
    plan = Plan(data, held_out, out, tuple(updated), tuple(range(seeds)), night_config, users, lists)
    with _Display(len(updated) * seeds) as display:
        note, results = run(plan, display, jobs)
    found = table(note, plan.rows, results)
    found.write(out)
    typer.echo(markdown(found), nl=False)


def _check_data(data: Path, held_out: Path | None) -> None:
    """Reads a dataset directory and the file of hidden friendships. Raises DatasetError.

    Each process of a comparison reads them again, when it builds its split.
    """
    from datetime import UTC, datetime

    from offline.dataset.pairs import read_connections
    from offline.dataset.reader import read_dataset
    from offline.dataset.table_files import open_table

    if held_out is not None:
        read_connections(open_table(held_out))
    read_dataset(data, started_at=datetime.now(UTC))


class _Display:
    """Progress bars for the runs and for the epochs of the current one, on stderr if it is a terminal."""

    def __init__(self, runs: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        console = Console(stderr=True)
        self._bars: Progress = Progress(*columns, console=console, transient=True, disable=not sys.stderr.isatty())
        self._runs: TaskID = self._bars.add_task("Rows", total=runs)
        self._epochs: TaskID = self._bars.add_task("", total=None, visible=False)

    def __enter__(self) -> "_Display":
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def epoch(self, variant: str, state: "RunState") -> None:
        """Updates the bar of epochs."""
        loss = state.history[-1]["loss"]
        self._bars.update(self._epochs, description=f"{variant}: loss {loss:.3f}", completed=state.epoch, visible=True)

    def done(self, result: "RunResult", number: int, of: int) -> None:
        """Updates the bar of runs."""
        self._bars.update(self._runs, completed=number, total=of)
