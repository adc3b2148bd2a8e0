"""What the candidate jobs of the Spark engine send and take, a viewer, as the number of people grows.

    python -m tests.benchmarks.spark_growth --directory DIR --people 4000 16000 --viewers 2048

makes a synthetic network of each size in DIR unless it is there, finds the candidates of some of its people with an
untrained model in Spark on this machine and in this process, checks that they are the same, and prints a table in
Markdown. A viewer's share of what Spark sends is what grows on a cluster: its tasks are of viewers.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from models.candidates.config import CandidateConfig
from offline.spark.candidates import SparkCandidates
from offline.spark.config import SparkConfig
from offline.spark.session import spark_session
from offline.synth import directory, network
from tests.support.offline.candidate_networks import untrained_network

COLUMNS = (
    "people",
    "friendships",
    "rounds",
    "rows of friends",
    "friends",
    "people described",
    "KB sent",
    "ms",
    "local ms",
)


def sent(job: Path) -> dict[str, float]:
    """What the joins of a job sent to its tasks: records of friends, friends in them, people, and kilobytes."""
    lists = [pq.ParquetFile(path) for path in sorted(job.glob("friends-*/*.parquet"))]
    friends = sum(np.diff(one.read(["friends"])["friends"].combine_chunks().offsets).sum() for one in lists)
    pooled = [pq.ParquetFile(path) for path in sorted(job.glob("pooled/*.parquet"))]
    size = sum(path.stat().st_size for path in job.glob("friends-*/*.parquet"))
    people = sum(one.metadata.num_rows for one in pooled)
    described = next(job.parent.glob("people.parquet"))
    each = described.stat().st_size / pq.ParquetFile(described).metadata.num_rows
    return {
        "rounds": len(list(job.glob("friends-*"))),
        "rows of friends": sum(one.metadata.num_rows for one in lists),
        "friends": int(friends),
        "people described": people,
        "KB sent": (size + people * each) / 1000,
    }


def measured(place: Path, people: int, viewers: int, master: str, config: CandidateConfig) -> list[float]:
    """One line of the table; what is not a size of the network is for one viewer, but the rounds."""
    data = place / f"data-{people}"
    if not (data / "connections.csv").exists():
        directory.write(network.generate(people, 20, seed=1), data)
    work = place / f"work-{people}"
    shutil.rmtree(work, ignore_errors=True)
    made = untrained_network(data, viewers, config, work)
    begun = time.monotonic()
    local = [block.pack() for block in made.local.blocks(made.viewers)]
    alone = time.monotonic() - begun
    with spark_session(master) as session:
        spark = SparkCandidates(made.inputs, made.nearest, config, lambda: session, SparkConfig(), work / "spark")
        begun = time.monotonic()
        assert [block.pack() for block in spark.blocks(made.viewers)] == local, "Spark finds other candidates"
        took = time.monotonic() - begun
    found = sent(work / "spark" / "viewers-0")
    each = [found[name] / viewers for name in COLUMNS[3:7]]
    return [
        people,
        len(made.inputs.graph.indices) // 2,
        found["rounds"],
        *each,
        took / viewers * 1e3,
        alone / viewers * 1e3,
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--people", type=int, nargs="+", required=True)
    parser.add_argument("--viewers", type=int, default=2048)
    parser.add_argument("--kept", type=int, default=200)
    parser.add_argument("--master", default="local[2]")
    given = parser.parse_args()
    given.directory.mkdir(parents=True, exist_ok=True)
    sys.stdout.write("| " + " | ".join(COLUMNS) + " |\n" + "|" + "---|" * len(COLUMNS) + "\n")
    for people in given.people:
        config = CandidateConfig.model_validate({"kept": given.kept})
        line = measured(given.directory.resolve(), people, given.viewers, given.master, config)
        cells = (f"{value:,.0f}" if value >= 10 else f"{value:.1f}" for value in line)
        sys.stdout.write("| " + " | ".join(cells) + " |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
