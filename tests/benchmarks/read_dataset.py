"""How long a dataset takes to be read, and how much memory, by format.

    python tests/benchmarks/read_dataset.py --directory DIR --people 1000000 --friendships 10000000

writes the same random network to DIR in every format, unless it is there, and reads each in a process of its own.
"""

import argparse
import datetime as dt
import gzip
import multiprocessing
import resource
import shutil
import time
from pathlib import Path

import numpy as np
import polars as pl

FORMATS = ("csv", "csv.gz", "parquet", "jsonl")


def write(directory: Path, people: int, friendships: int) -> None:
    """Writes the tables of a random network, in a directory a format."""
    rng = np.random.default_rng(1)
    ids = rng.integers(10**9, 10**11, people)
    made = pl.Series(rng.integers(1_500_000_000, 1_790_000_000, friendships))
    tables = {
        "users": pl.DataFrame(
            {
                "user_id": ids,
                "company": [f"Company, {number % 5000}" for number in range(people)],
                "age": rng.integers(18, 80, people),
                "discoverable": rng.random(people) < 0.99,
            }
        ).unique("user_id"),
        "connections": pl.DataFrame(
            {
                "user_id": rng.choice(ids, friendships),
                "other_id": rng.choice(ids, friendships),
                "created_at": pl.from_epoch(made, "s").dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
            }
        ),
    }
    for name, frame in tables.items():
        for form in FORMATS:
            (directory / form).mkdir(parents=True, exist_ok=True)
        frame.write_csv(directory / "csv" / f"{name}.csv")
        frame.write_parquet(directory / "parquet" / f"{name}.parquet")
        frame.write_ndjson(directory / "jsonl" / f"{name}.jsonl")
        plain, packed = directory / "csv" / f"{name}.csv", directory / "csv.gz" / f"{name}.csv.gz"
        with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=6) as target:
            shutil.copyfileobj(source, target, 1 << 20)


def measure(directory: Path) -> None:
    """Reads one dataset and prints what it took."""
    from offline.dataset.reader import read_dataset

    begun = time.perf_counter()
    read = read_dataset(directory, started_at=dt.datetime.now(dt.UTC))
    seconds, busy = time.perf_counter() - begun, time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    counts = f"{read.users.frame.height:,} people, {read.connections.height:,} friendships"
    print(f"{directory.name:8} {counts}: {seconds:.1f} s, {busy:.1f} s of processor, {peak:.2f} GiB at most")  # noqa: T201


def main() -> None:
    """Writes what is missing, then measures every format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--people", type=int, default=1_000_000)
    parser.add_argument("--friendships", type=int, default=10_000_000)
    given = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    if not all((given.directory / form).is_dir() for form in FORMATS):
        writer = spawn.Process(target=write, args=(given.directory, given.people, given.friendships))
        writer.start()
        writer.join()
    for form in FORMATS:
        reader = spawn.Process(target=measure, args=(given.directory / form,))
        reader.start()
        reader.join()


if __name__ == "__main__":
    main()
