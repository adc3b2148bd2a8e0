"""`pymk warm`: compiles the kernels ahead, so that no start of service, worker or night waits for a compiler."""

import os
import tempfile
import time
from pathlib import Path

import typer

USERS = 400
"""of the network that the kernels are run on: enough for a trained ranker, few enough for seconds"""

NIGHT = """
[sage]
hidden = 16
outputs = 16
fan_outs = [5, 3]
batch_pairs = 128
max_steps = 8
evaluations = 2

[ranker]
epochs = 2
lists = 120
least_pairs = 50

[candidates]
kept = 60
nearest = 30

[split]
judged_users = 80
"""
"""configuration of a night that learns little"""


def warm() -> None:
    """Compile the kernels of service, worker and night ahead, and say how long that took.

    Makes a small network in a scratch home, runs a night on it, makes lists and candidates in its version, and
    removes it: your own home and store are not touched. The machine code is kept beside the source, or in
    NUMBA_CACHE_DIR, for this release and this kind of processor.
    """
    from models.cli.subprocesses import Children
    from models.version.local_versions import Versions

    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="pymk-warm-") as scratch, Children() as children:
        home, data, night, viewers = (Path(scratch) / name for name in ("home", "DATA", "night.toml", "viewers.txt"))
        for name in [name for name in os.environ if name.startswith("PYMK_")]:
            del os.environ[name]
        os.environ["PYMK_HOME"] = str(home)
        # the night
        night.write_text(NIGHT)
        children.run("synth", "--users", str(USERS), "--mean-friends", "14", "--out", str(data))
        version = children.run("nightly", str(data), "--config", str(night), "--force").rstrip().rpartition("\n")[2]
        # the service, which warms a version up when it opens it
        directory = Versions(home).path(version)
        viewers.write_text(f"{_somebody(directory)}\n")
        children.run("recommend", "--users", str(viewers))
        # the worker, likewise
        _open_as_the_worker_does(directory)
        _score_with_outcomes(directory, Path(scratch))
    typer.echo(f"kernels compiled in {time.monotonic() - start:.1f} seconds; kept in {_kept_in()}")


def _somebody(directory: Path) -> str:
    """A user of a version."""
    from models.schema.vocabulary import Row
    from models.version.tables import Tables

    return Tables.open(directory / "tables").vocabulary.user_id(Row(0))


def _open_as_the_worker_does(directory: Path) -> None:
    """Opens a version's generator, which generates one block of each kind."""
    from models.candidate_refresh.generator import load_version

    load_version(directory)


def _score_with_outcomes(directory: Path, scratch: Path) -> None:
    """Scores a list of a version as one does whose night learned from outcomes."""
    from models.ranker.outcome_heads import OutcomeHeads
    from models.ranker.ranker import Ranker
    from models.version.block_file import Blocks
    from models.version.candidate_block import Block
    from models.version.tables import Tables

    tables, ranker = Tables.open(directory / "tables"), Ranker.open(directory / "model")
    if not ranker.inputs:
        return
    blocks = Blocks.open(directory / "blocks", tables.n)
    OutcomeHeads.plain(ranker.inputs).save(scratch)
    heads = OutcomeHeads.open(scratch, ranker.inputs)  # read-only arrays are a type of their own to a kernel
    for row in blocks.rows()[:1].tolist():
        ranker.with_outcomes(heads).scores(tables, Block.unpack(blocks.record(row), tables.n), "")


def _kept_in() -> str:
    """Where the machine code of the kernels is, for the operator."""
    from models.kernels.numba_cache import cache_directory

    found = cache_directory()
    return "no directory, for none is writable" if found is None else str(found)
