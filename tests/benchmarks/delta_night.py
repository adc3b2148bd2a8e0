"""How long a delta night takes beside a whole night that trains nothing, after 1% of the friendships changed.

    python tests/benchmarks/delta_night.py --directory DIR --users 20000

makes a network and a first night in DIR, unless they are there, replaces 1% of the friendships, and runs a whole night
with `--retrain never` and a delta night, each in a home of its own, from the same active version. Says the seconds of
every step, and how much of the first 20 of the lists made anew is the same.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
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


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--users", type=int, default=20_000)
    arguments = parser.parse_args()
    directory, first = arguments.directory, arguments.directory / "first"
    directory.mkdir(parents=True, exist_ok=True)
    config = directory / "night.toml"
    config.write_text(QUICK)
    if not (directory / "DATA").is_dir():
        pymk(first, "synth", "--users", str(arguments.users), "--out", str(directory / "DATA"))
    if not first.is_dir() or not Versions(first).ids():
        replaced_interactions = directory / "DATA" / "interactions.csv"
        replaced_interactions.unlink(missing_ok=True)
        night(first, directory / "DATA", "--config", str(config))
    replaced(directory / "DATA", directory / "CHANGED")
    results = {}
    for name, options in (("whole", ("--retrain", "never")), ("delta", ("--delta",))):
        home = directory / name
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(first, home)
        results[name] = night(home, directory / "CHANGED", "--config", str(config), *options)
        _, seconds, steps = results[name]
        print(f"{name}: {seconds:.0f} s; {', '.join(f'{step} {took:.0f}' for step, took in steps.items())}")  # noqa: T201
    manifest = Versions(directory / "delta").manifest(results["delta"][0])
    own, whole = (lists(directory / name, results[name][0]) for name in ("delta", "whole"))
    before = lists(directory / "first", str(manifest.delta_of))
    changed = [person for person in own if own[person] != before.get(person)]
    shared = np.mean([len(own[person] & whole[person]) / FIRST for person in changed])
    share = results["delta"][1] / results["whole"][1]
    told = f"{manifest.remade:,} of {manifest.users:,} people made anew, {share:.2f} of the time"
    print(f"{told}; {shared:.3f} of the first {FIRST} of the lists that changed are the whole night's")  # noqa: T201


if __name__ == "__main__":
    main()
