"""How the steps of a night grow with the number of people: seconds, memory, and the exponent fitted to them.

    python tests/benchmarks/growth.py --directory DIR --people 10000 100000 --kept 1000

makes a synthetic network of each size in DIR unless it is there, runs a night that trains and then one that keeps the
weights, each in a home of its own, and prints a table in Markdown; `--plot FILE` draws it. What is done already is read
from DIR. The exponent is the slope of log time over log people: 1 is in proportion, 2 in proportion to the square.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

STEPS = ("snapshot", "training", "evaluation", "version", "publish")
Figures = dict[str, tuple[float, float]]
"""by step, seconds and megabytes at most"""


def pymk(home: Path, *arguments: str) -> str:
    """The output of a command in a home; what it logs goes to a file beside the home."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYMK_")}
    environment["PYMK_HOME"] = str(home)
    with home.with_suffix(".log").open("a") as log:
        ran = subprocess.run(
            [sys.executable, "-m", "models.cli", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            check=True,
        )
    return ran.stdout


def network(directory: Path, people: int, friends: int) -> Path:
    """A dataset directory of so many people."""
    data = directory / f"data-{people}"
    if not (data / "connections.csv").exists():
        pymk(directory / "synth", "synth", "--users", str(people), "--mean-friends", str(friends), "--out", str(data))
    return data


def night(home: Path, data: Path, kept: int, *, trains: bool) -> Figures:
    """The steps of one night, and their sum as "night"; a night that is not to train has weights to keep."""
    settings = home.parent / f"kept-{kept}.toml"
    settings.write_text(f"[candidates]\nkept = {kept}\n")
    name = home.with_name(f"{home.name}-{'trained' if trains else 'kept'}.json")
    if not name.exists():
        begun = time.monotonic()
        retrain = "always" if trains else "never"
        pymk(home, "nightly", str(data), "--config", str(settings), "--retrain", retrain, "--force")
        seconds = time.monotonic() - begun
        run = json.loads(pymk(home, "nights", "--json", "--limit", "1"))[0]
        name.write_text(json.dumps(run | {"seconds": seconds}))
    run = json.loads(name.read_text())
    found = {step["name"]: (step["seconds"], step["peak_mb"]) for step in run["steps"]}
    return found | {"night": (run["seconds"], max(peak for _, peak in found.values()))}


def exponent(people: Sequence[int], seconds: Sequence[float]) -> float:
    """The slope of log seconds over log people, by least squares."""
    x, y = [math.log(one) for one in people], [math.log(max(one, 1e-3)) for one in seconds]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum((a - mean_x) ** 2 for a in x)


def table(people: Sequence[int], of: Sequence[Figures]) -> str:
    """Markdown: a row a step, seconds and megabytes by size, and the exponent."""
    lines = [f"| step | {' | '.join(f'{one:,} people' for one in people)} | exponent |"]
    lines.append("|---" * (len(people) + 2) + "|")
    for step in (*STEPS, "night"):
        cells = [figures.get(step, (math.nan, math.nan)) for figures in of]
        said = (f"{seconds:,.1f} s, {peak:,.0f} MB" for seconds, peak in cells)
        slope = exponent(people, [seconds for seconds, _ in cells]) if len(people) > 1 else math.nan
        lines.append(f"| {step} | {' | '.join(said)} | {slope:.2f} |")
    return "\n".join(lines)


def plot(path: Path, people: Sequence[int], trained: Sequence[Figures], kept: Sequence[Figures]) -> None:
    """Draws seconds over people, both on logarithmic scales."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True)
    for place, (title, of) in zip(axes, (("with training", trained), ("without", kept)), strict=True):
        for step in (*STEPS, "night"):
            seconds: list[Any] = [figures[step][0] for figures in of]
            place.loglog(people, seconds, "o-", label=f"{step} ({exponent(people, seconds):.2f})")
        place.set(title=f"a night {title}", xlabel="people", ylabel="seconds")
        place.legend(fontsize="small")
        place.grid(visible=True, which="both", alpha=0.3)
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--people", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--friends", type=int, default=20, help="mean friends of a person")
    parser.add_argument("--kept", type=int, default=1000, help="candidates of a person")
    parser.add_argument("--plot", type=Path, help="draw the growth to this file")
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    trained, kept = list[Figures](), list[Figures]()
    for people in arguments.people:
        data = network(arguments.directory, people, arguments.friends)
        home = arguments.directory / f"home-{people}-{arguments.kept}"
        trained.append(night(home, data, arguments.kept, trains=True))
        kept.append(night(home, data, arguments.kept, trains=False))
    sys.stdout.write(f"With training:\n\n{table(arguments.people, trained)}\n\n")
    sys.stdout.write(f"Without:\n\n{table(arguments.people, kept)}\n")
    if arguments.plot is not None:
        plot(arguments.plot, arguments.people, trained, kept)


if __name__ == "__main__":
    main()
