"""How long a delta night takes beside a whole night that trains nothing, after 1% of the friendships changed.

    python tests/benchmarks/delta_night.py --directory DIR --users 20000

makes a network and a first night in DIR, unless they are there, replaces 1% of the friendships, and runs a whole night
with `--retrain never` and a delta night, each in a home of its own, from the same active version. Prints JSON: the
seconds of both and of every step, their `ratio`, for how many people candidates were made anew, and how much of the
first 20 of the lists that changed is the whole night's. Asked for is a ratio of at most a tenth at 100,000 people. The
log of each home is beside it.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from models.ranker.ranker import Ranker
from models.version.block_file import Blocks
from models.version.candidate_block import Block
from models.version.local_versions import Versions
from models.version.tables import Tables

CHANGED = 0.01
FIRST = 20
STORE_STOPS_S = 60.0
QUICK = """
[sage]
max_steps = 60
evaluations = 2
[ranker]
epochs = 2
lists = 2000
"""
"""a first training of a minute: how long it takes is not what is measured, and how well it ranks is not either"""


def pymk(home: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYMK_")}
    command = [sys.executable, "-m", "models.cli", *arguments]
    with (home.parent / f"{home.name}.log").open("a") as log:
        environment["PYMK_HOME"] = str(home)
        return subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, check=True
        ).stdout


def replaced(data: Path, target: Path) -> None:
    """A copy of a dataset in which 1% of the friendships ended and as many were made."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(data, target)
    (target / "interactions.csv").unlink(missing_ok=True)
    pairs, draw = pl.read_csv(target / "connections.csv"), random.Random(1)
    half = round(len(pairs) * CHANGED / 2)
    kept = pairs.sample(len(pairs) - half, seed=1)
    people = pairs["user_id"].unique().to_list()
    made = kept[:half].with_columns(
        pl.Series("user_id", draw.choices(people, k=half)), pl.Series("other_id", draw.choices(people, k=half))
    )
    pl.concat([kept, made]).write_csv(target / "connections.csv")


def copy_home(source: Path, target: Path) -> None:
    """Copies a home once its embedded store, which outlives the last command by a moment, has stopped."""
    until = time.monotonic() + STORE_STOPS_S
    while (source / "store" / "server.sock").exists() and time.monotonic() < until:
        time.sleep(0.1)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.sock"))


def lists(home: Path, version: str) -> dict[str, set[str]]:
    """The first people of everybody's list."""
    path = Versions(home).path(version)
    tables, ranker = Tables.open(path / "tables"), Ranker.open(path / "model")
    found = {}
    for row, record in Blocks.open(path / "blocks", tables.n).records():
        block = Block.unpack(record)
        best = np.argsort(-ranker.scores(tables, block, "web"), kind="stable")[:FIRST]
        found[tables.vocabulary.user_id(row)] = {tables.vocabulary.user_id(one) for one in block.rows[best].tolist()}
    return found


def night(home: Path, data: Path, *options: str) -> tuple[str, float, dict[str, Any]]:
    """The version, the seconds, and those of each step."""
    began = time.monotonic()
    version = pymk(home, "nightly", str(data), "--force", *options).splitlines()[-1]
    seconds = time.monotonic() - began
    runs = json.loads(pymk(home, "nights", "--json"))
    steps = next(run["steps"] for run in runs if run["run"] == version)
    return version, seconds, {step["name"]: step["seconds"] for step in steps}


def measured(directory: Path, users: int, mean_friends: int | None) -> dict[str, Any]:
    """Seconds of both nights and of their steps, their ratio, who was made anew, and how alike the lists are."""
    first = directory / "first"
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "night.toml"
    config.write_text(QUICK)
    if not (directory / "DATA").is_dir():
        friends = () if mean_friends is None else ("--mean-friends", str(mean_friends))
        pymk(first, "synth", "--users", str(users), *friends, "--out", str(directory / "DATA"))
        (directory / "DATA" / "interactions.csv").unlink(missing_ok=True)
    if not first.is_dir() or not Versions(first).ids():
        night(first, directory / "DATA", "--config", str(config))
    replaced(directory / "DATA", directory / "CHANGED")

    # both nights, from the same active version
    results = {}
    for name, options in (("whole", ("--retrain", "never")), ("delta", ("--delta",))):
        home = directory / name
        shutil.rmtree(home, ignore_errors=True)
        copy_home(first, home)
        results[name] = night(home, directory / "CHANGED", "--config", str(config), *options)
        _, seconds, steps = results[name]
        print(f"{name}: {seconds:.0f} s; {told(steps)}", file=sys.stderr)  # noqa: T201

    # what came of them
    manifest = Versions(directory / "delta").manifest(results["delta"][0])
    own, whole = (lists(directory / name, results[name][0]) for name in ("delta", "whole"))
    before = lists(first, str(manifest.delta_of))
    changed = [person for person in own if own[person] != before.get(person)]
    shared = float(np.mean([len(own[person] & whole[person]) / FIRST for person in changed])) if changed else None
    return {
        "people": manifest.users,
        "friendships": manifest.connections,
        "changed": CHANGED,
        "made_anew": manifest.remade,
        "whole_s": round(results["whole"][1], 2),
        "delta_s": round(results["delta"][1], 2),
        "ratio": round(results["delta"][1] / results["whole"][1], 4),
        "whole_steps_s": results["whole"][2],
        "delta_steps_s": results["delta"][2],
        "lists_changed": len(changed),
        "like_the_whole_night": None if shared is None else round(shared, 4),
    }


def told(steps: dict[str, float]) -> str:
    """The seconds of each step in a line."""
    return ", ".join(f"{step} {took:.0f}" for step, took in steps.items())


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True, help="of network and homes; kept for the next time")
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--mean-friends", type=int, default=None, help="of the network; default: that of pymk synth")
    chosen = parser.parse_args(arguments)
    print(json.dumps(measured(chosen.directory, chosen.users, chosen.mean_friends), indent=2))  # noqa: T201


if __name__ == "__main__":
    main()
