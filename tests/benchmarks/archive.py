"""What a night's reading of the event archive takes as lines and as Parquet.

    python tests/benchmarks/archive.py --users 20000 --events 1000000 --days 30

writes that many events of a store's last days, nearly all of them impressions as in a real log, and reads them as a
night does, before and after the days that are over become Parquet, and once more after those of long ago keep what
lasts. Prints bytes an event, seconds and most memory. Each reading is a process of its own.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from models.event_log.archive.archive import Archive
from models.event_log.archive.packing import pack
from models.event_log.event import Entry
from models.schema.event_kinds import EventKind
from models.store.keys import Keys, shard_of
from offline.snapshot.live_events import read_live_events
from tests.support.memory_store import MemoryStore

KEYS = Keys("bench")
KINDS = {
    EventKind.IMPRESSION: 0.9,
    EventKind.CLICK: 0.05,
    EventKind.INVITE: 0.03,
    EventKind.DISMISS: 0.015,
    EventKind.BLOCK: 0.005,
}
"""share of each kind among the events"""
AT_ONCE = 1000
"""entries that the worker archives together"""


def write(home: Path, users: int, events: int, days: int) -> None:
    """Archives random events, the last of them now."""
    draw = np.random.default_rng(0)
    end = datetime.now(UTC)
    at = np.linspace((end - timedelta(days)).timestamp() * 1e6, end.timestamp() * 1e6, events).astype(np.int64).tolist()
    pairs = draw.integers(0, users, (events, 2)).tolist()
    kinds = [EventKind(kind).word for kind in draw.choice(list(KINDS), events, p=list(KINDS.values())).tolist()]
    archive, waiting = Archive(home), defaultdict[int, list[tuple[str, bytes]]](list)
    for number, ((user, other), kind, timestamp_us) in enumerate(zip(pairs, kinds, at, strict=True)):
        entry = Entry(
            kind,
            f"user{user}",
            timestamp_us,
            other_id=f"user{other}",
            at=timestamp_us,
            request_id=f"{number:032x}",
            context="web",
        )
        lines = waiting[shard_of(f"user{user}")]
        lines.append((f"{timestamp_us // 1000}-{number}", entry.encode()))
        if len(lines) == AT_ONCE:
            archive.append(shard_of(f"user{user}"), lines)
            lines.clear()
    for shard, lines in waiting.items():
        archive.append(shard, lines)


def read(home: Path) -> None:
    """Reads the archive as a night does, and prints events, seconds and MiB."""
    before, began = peak_mib(), time.perf_counter()
    found = read_live_events(home, MemoryStore(), KEYS, cut=1 << 62)
    sys.stdout.write(f"{found.events.height} {time.perf_counter() - began:.2f} {peak_mib() - before:.0f}\n")


def peak_mib() -> float:
    """The most memory that this process held."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def row(home: Path, name: str, events: int) -> str:
    """A line of the table, of a process that reads."""
    command = [sys.executable, __file__, "--read", str(home)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    count, seconds, mib = ran.stdout.split()
    size = sum(path.stat().st_size for path in (home / "events").rglob("*") if path.is_file())
    return f"| {name} | {int(count):,} | {size / events:.0f} | {seconds} | {mib} |\n"


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        read(options.read)
        return
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        write(home, options.users, options.events, options.days)
        sys.stdout.write("| archive | events read | bytes an event | s | MiB |\n|---|---|---|---|---|\n")
        sys.stdout.write(row(home, "lines", options.events))
        now, archive, began = datetime.now(UTC), Archive(home), time.perf_counter()
        pack(archive, now, 10_000)
        packing = time.perf_counter() - began
        sys.stdout.write(row(home, "Parquet", options.events))
        pack(archive, now + timedelta(days=400), 365)
        sys.stdout.write(row(home, "what lasts", options.events))
        sys.stdout.write(f"\npacking took {packing:.1f} s\n")


if __name__ == "__main__":
    main()
