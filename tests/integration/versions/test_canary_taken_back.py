"""A canary on a real service with a real store and worker: broken ones are taken back by themselves, good ones stay."""

import asyncio
import csv
import json
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from models.version.local_versions import Versions
from offline.synth import directory, network
from tests.support.canary.broken import BROKEN, Breaking, copied, name_another_ranker
from tests.support.canary.load import CanaryLoad, Viewers
from tests.support.clock import wait_for
from tests.support.homes import Home, Service
from tests.support.memory_store import MemoryStore

PEOPLE = 1200
WITHIN = 2000
"""requests within which a broken canary is gone"""
NAMES = {
    "embeddings": {"towers", "embeddings"},
    "calibration": {"odds", "scores"},
    "blocks": {"candidates", "empty_answers"},
    "scores": {"agreement", "order"},
}
"""guardrails that may take it back"""


@dataclass(frozen=True)
class Tried:
    """A home whose version is active, and a service and a worker on it."""

    home: Home
    service: Service
    active: str
    viewers: Viewers

    def start(self, breaking: Breaking | None, share: str) -> str:
        """Makes a copy of the active version the canary; returns its id."""
        version = copied(self.home.versions, self.active, breaking)
        started = self.home.run("activate", version, "--share", share)
        assert started.returncode == 0, started.stderr
        assert started.stdout.splitlines()[-1] == version
        return version

    def report(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.home.run("canary", "--json").stdout)
        return found

    def load(self, version: str, share: float, wanted: int, connections: int, **options: object) -> CanaryLoad:
        load = CanaryLoad(
            self.service.port,
            self.viewers,
            self.active,
            version,
            share,
            wanted,
            connections,
            **options,  # type: ignore[arg-type]
        )
        asyncio.run(load.run())
        return load


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "DATA"
    directory.write(network.generate(PEOPLE, 12, seed=4), path)
    return path


@pytest.fixture(scope="module")
def viewers(data: Path) -> Viewers:
    friends = defaultdict(set)
    with (data / "connections.csv").open() as rows:
        for row in csv.DictReader(rows):
            friends[row["user_id"]].add(row["other_id"])
            friends[row["other_id"]].add(row["user_id"])
    return Viewers({one: frozenset(others) for one, others in friends.items()})


@pytest.fixture(scope="module")
def prepared(data: Path, small_night: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one version, not published; not to be changed."""
    from offline.night.config import NightConfig
    from offline.night.nightly import Night
    from tests.support.nights import KEYS

    home = tmp_path_factory.mktemp("prepared")
    config = NightConfig.read(small_night)
    Night(data=data, home=home, store=MemoryStore(), keys=KEYS, config=config, force=True).run()
    return home


@contextmanager
def running_canary(prepared: Path, path: Path, viewers: Viewers, **settings: str) -> Iterator[Tried]:
    """A service and a worker of a home of its own."""
    import shutil

    shutil.copytree(prepared / "versions", path / "versions")
    defaults = {"PYMK_REDIS_TIMEOUT_MS": "5000", "PYMK_CANARY_MINUTES": "0", "PYMK_CANARY_LISTS": "100"}
    home = Home(path, {**defaults, **settings})
    active = home.publish()
    with home.serving() as service, (path / "worker.log").open("w") as log:
        worker = home.begin("worker", stderr=log)
        try:
            wait_for(lambda: "worker_started" in (path / "worker.log").read_text(), timeout_s=60)
            yield Tried(home, service, active, viewers)
        finally:
            worker.send_signal(signal.SIGTERM)
            worker.wait(20)


@pytest.mark.slow
@pytest.mark.parametrize("broken", list(BROKEN))
def test_a_broken_canary_is_taken_back_within_two_thousand_requests(
    broken: str, prepared: Path, viewers: Viewers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_canary(prepared, tmp_path, viewers, PYMK_CANARY_LISTS="100000") as tried:
        version = tried.start(BROKEN[broken], "10%")
        load = tried.load(version, 0.1, WITHIN * 2, 8, pace_s=0.01, until_gone=True)
        report = tried.report()
        trail = json.loads(tried.home.run("audit", "--json").stdout)
        states = {one["version"]: one["state"] for one in json.loads(tried.home.run("versions", "--json").stdout)}
    told = f"{broken}: gone after {load.last_of_canary} requests, {load.versions[version]} of it; {report['failed']}"
    with capsys.disabled():
        print(f"\n{told}")  # noqa: T201
    assert not load.faults
    assert set(load.statuses) == {200}
    assert report["state"] == "rolled_back", report
    assert load.last_of_canary <= WITHIN
    assert set(report["failed"]) & NAMES[broken], report["failed"]  # type: ignore[call-overload]
    assert (trail[0]["what"], trail[0]["version"]) == ("canary_rolled_back", version)
    assert all(f"guardrail {name}" in trail[0]["note"] for name in report["failed"])  # type: ignore[attr-defined]
    assert states == {tried.active: "active", version: "published"}


@pytest.mark.slow
def test_a_good_canary_is_promoted_step_by_step_under_load(
    prepared: Path, viewers: Viewers, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_canary(prepared, tmp_path, viewers, PYMK_CANARY_LISTS="100") as tried:
        version = tried.start(None, "5%")
        began = time.monotonic()
        load = tried.load(version, 1.0, 6000, 64)
        seconds = time.monotonic() - began
        wait_for(lambda: tried.home.active() == version, timeout_s=20)
        trail = [one["what"] for one in json.loads(tried.home.run("audit", "--json").stdout)][::-1]
        assert tried.report()["state"] == "promoted"
    p50, p99 = (1000 * float(np.quantile(load.latencies_s, share)) for share in (0.5, 0.99))
    with capsys.disabled():
        print(f"\n{load.begun} requests in {seconds:.0f} s, p50 {p50:.1f} ms, p99 {p99:.1f} ms; {dict(load.served)}")  # noqa: T201
    assert load.statuses == {200: 6000}, load.faults
    assert not load.faults
    assert trail == ["published", "canary_started", "canary_stepped", "published", "canary_promoted"]


@pytest.mark.slow
def test_a_canary_that_no_process_can_open_is_taken_back_and_nobody_notices(
    prepared: Path, viewers: Viewers, tmp_path: Path
) -> None:
    with running_canary(prepared, tmp_path, viewers) as tried:
        version = copied(Versions(tmp_path), tried.active, name_another_ranker)
        tried.home.run("activate", version, "--share", "50%")
        wait_for(lambda: tried.report()["state"] == "rolled_back", timeout_s=20)
        load = tried.load(version, 0.5, 200, 4)
        assert "opened" in tried.report()["failed"]  # type: ignore[operator]
    assert load.versions == {tried.active: 200}
