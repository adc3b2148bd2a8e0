"""A night killed with SIGKILL in each of its steps: what is served goes on being served, and the next run goes on."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from models.store.keys import SHARDS, Keys
from models.store.protocol import SyncStore
from tests.support.clock import wait_for
from tests.support.contacts import keys_of_uploads
from tests.support.homes import Home

KEYS = Keys("pymk")


@dataclass(frozen=True)
class Blow:
    """Where a night is killed, and which steps it found finished by those before it."""

    step: str
    event: str
    done: list[str] | None
    """None where it took nothing up"""
    awaited: Callable[[int, SyncStore], object] = lambda night, store: True
    """what has to come about after the line, of the night's process and the store, before the blow"""


def has_child(night: int, store: SyncStore) -> bool:
    """Whether the index is being built: in a process of its own."""
    return bool(descendants(night))


def is_loading(night: int, store: SyncStore) -> bool:
    """Whether the store has begun to receive a second version."""
    return len(store.members(KEYS.versions)) > 1


BLOWS = (
    Blow("snapshot", "step_begins", None),
    Blow("training", "encoder_training_begins", None),
    Blow("training", "ranker_begins", ["snapshot"]),
    Blow("evaluation", "step_begins", ["snapshot"], has_child),
    Blow("version", "candidates_made", ["snapshot", "training"]),
    Blow("publish", "step_begins", ["evaluation", "snapshot", "training"], is_loading),
)
"""each night is killed a step further than the one before, so that each goes on from another step"""


@pytest.mark.slow
def test_a_night_killed_in_each_step_is_taken_up_and_published(
    tmp_path: Path,
    small_network: Path,
    small_night: Path,
) -> None:
    home = Home(tmp_path / "home")
    night = ("nightly", str(small_network), "--config", str(small_night), "--retrain", "always")
    first = home.run(*night)
    assert first.returncode == 0, first.stderr
    served = first.stdout.strip()
    viewers = [line.split(",")[0] for line in (small_network / "users.csv").read_text().splitlines()[1:20]]
    made: set[str] = set()

    with home.serving() as service, home.opened() as store:
        for blow in BLOWS:
            resumed, left = killed(home, store, night, blow)
            assert resumed.get("done") == blow.done, blow
            made |= {resumed["version"]} if resumed else set()
            wait_for(lambda left=left: not any(map(is_alive, left)))
            for viewer in viewers:
                status, answer = service.get(f"/pymk/recommendations?user_id={viewer}")
                assert status == 200, blow
                # the last blow may fall after the switch, which is the end of a publication but for the tidying
                assert answer["version"] == served or blow == BLOWS[-1], blow

        last = home.run(*night)
        assert last.returncode == 0, last.stderr
        assert [one["done"] for one in lines(last.stderr.splitlines()) if one.get("event") == "run_resumed"] == [
            ["evaluation", "snapshot", "training"]
        ]
        assert '"step":"version"' not in last.stderr, "a finished version is not made again"
        assert made == {last.stdout.strip()}, "every run went on with the same version"
        wait_for(lambda: service.get("/pymk/version")[1]["version"] in made)
        for viewer in viewers:
            status, answer = service.get(f"/pymk/recommendations?user_id={viewer}")
            assert status == 200, answer
            assert answer["version"] in made
    nothing_half_made_is_left(home, {served, *made}, keys_of_uploads(KEYS, small_network))


def killed(home: Home, store: SyncStore, night: Iterable[str], blow: Blow) -> tuple[dict[str, Any], set[int]]:
    """What a night said of the run it took up, and the processes it had started, after it was killed."""
    resumed: dict[str, Any] = {}
    step = ""
    # at the lowest priority, so that it does not run past the blow while this process waits for a core
    with home.begin(
        *night, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=lambda: os.nice(19)
    ) as process:
        for line in lines(process.stderr):
            resumed = line if line.get("event") == "run_resumed" else resumed
            step = line["step"] if line.get("event") == "step_begins" else step
            if step == blow.step and line.get("event") == blow.event:
                break
        while process.poll() is None and not blow.awaited(process.pid, store):
            time.sleep(0.002)
        left = descendants(process.pid)
        process.kill()
        assert process.wait() == -signal.SIGKILL, f"the night ended by itself before {blow}"
    return resumed, left


def lines(stderr: Iterable[str]) -> Iterator[dict[str, Any]]:
    """The log lines among what a command says."""
    return (json.loads(line) for line in stderr if line.startswith("{"))


def descendants(process: int) -> set[int]:
    """Every process that this one, or one below it, has started and that still runs."""
    parents = {
        one: parent_of(one) for one in map(int, filter(str.isdigit, (path.name for path in Path("/proc").iterdir())))
    }
    found: set[int] = set()
    while more := {one for one, parent in parents.items() if parent in {process, *found}} - found:
        found |= more
    return found


def parent_of(process: int) -> int | None:
    try:
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def nothing_half_made_is_left(home: Home, versions: set[str], uploads: set[str]) -> None:
    assert not (home.path / "night").exists()
    assert {path.name for path in home.versions.directory.iterdir() if path.is_dir()} == versions
    unfinished = [path for path in home.path.rglob("*") if path.suffix in {".aside", ".old"} or "staging-" in path.name]
    assert not unfinished
    for version in versions:
        home.versions.manifest(version).verify(home.versions.path(version))
    with home.opened() as store:
        assert {one.decode() for one in store.members(KEYS.versions)} == versions
        of_versions = {key for one in versions for key in store.scan(KEYS.version(one))}
        lasting = {KEYS.active, KEYS.versions, KEYS.lease, KEYS.watermark, KEYS.live_processes, KEYS.clock}
        lasting |= {KEYS.fence(shard) for shard in range(SHARDS)} | {KEYS.audit, KEYS.drift, KEYS.nights}
        waiting = {KEYS.exposure_log}  # lists that were given out, for a worker to file
        assert set(store.scan("pymk:")) - of_versions - waiting == lasting | uploads
        kept = {key for one in versions for key in store.scan(KEYS.ranked_lists(one))}
        assert all(store.ttl_s(key) is None for key in of_versions - kept)
