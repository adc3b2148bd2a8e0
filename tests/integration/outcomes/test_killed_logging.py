"""The exposure log with real processes: the store stops, service and worker are killed, and nothing is filed twice."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import polars as pl
import pytest
import redis

from models.outcomes.exposure_files import ExposureFiles
from models.publishing.publish import publish
from models.settings import Settings
from models.store.connect import open_sync
from models.store.keys import Keys
from models.version.local_versions import Versions
from tests.support.clock import wait_for
from tests.support.homes import Home, Service
from tests.support.stores import free_port, running_server
from tests.support.versions import MakeVersion, make_servable

pytestmark = pytest.mark.slow
KEYS = Keys("pymk")
STOPPED_S = 3.0
COUNTER = "pymk_exposures_total{"


class Processes:
    """A store, a service and a worker in processes of their own, and the lists that were given out."""

    def __init__(self, home: Home, store_port: int) -> None:
        self.home, self.service = home, Service(free_port())
        self.worker_address = Service(free_port())
        self.client = redis.Redis(port=store_port)
        self.store_pid = int(self.client.info()["process_id"])
        self.answered: list[str] = []

    def serve(self) -> subprocess.Popen[str]:
        process = self.home.begin("serve", "--port", str(self.service.port), stderr=subprocess.DEVNULL)
        wait_for(lambda: self.service.get("/health/ready")[0] == 200)
        return process

    def work(self) -> subprocess.Popen[str]:
        return self.home.begin("worker", "--metrics-port", str(self.worker_address.port), stderr=subprocess.DEVNULL)

    def lists(self, count: int) -> int:
        """Asks for so many lists; returns how many were answered."""
        done = 0
        for number in range(count):
            viewer = ("bea", "cid", "fay", "gus")[number % 4]
            status, body = self.service.get(f"/pymk/recommendations?user_id={viewer}")
            if status == 200:
                self.answered.append(body["request_id"])
                done += 1
        return done

    def outcomes(self) -> dict[str, int]:
        """Lists by what became of them, as the service counts."""
        counted = {name: count for name, count in self.service.metrics().items() if name.startswith(COUNTER)}
        return {name.split('"')[1]: round(count) for name, count in counted.items()}

    def missing(self) -> int:
        """Lists that the worker which runs now found missing."""
        return round(self.worker_address.metrics().get('pymk_worker_exposures_total{outcome="missing"}', 0))

    def filed(self) -> pl.DataFrame:
        return ExposureFiles(self.home.path).scan()

    def settled(self) -> None:
        """Returns once the log is filed to its end."""
        wait_for(lambda: not self.client.xlen(KEYS.exposure_log), timeout_s=90)


@pytest.fixture
def processes(tmp_path: Path, make_version: MakeVersion) -> Iterator[Callable[[], Processes]]:
    with ExitStack() as closing:
        port = closing.enter_context(running_server(tmp_path))
        place = tmp_path / "home"
        url = f"redis://127.0.0.1:{port}"
        version = make_version(place)
        make_servable(place, version)
        store = open_sync(Settings(home=place, redis_url=url))
        publish(Versions(place).path(version), store, Versions(place), keys=KEYS)
        store.close()
        yield lambda: Processes(Home(place, {"PYMK_REDIS_URL": url}), port)


def test_nothing_is_filed_twice_and_what_is_lost_is_counted(processes: Callable[[], Processes]) -> None:
    place = processes()
    with ExitStack() as closing:

        def begun(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
            closing.callback(process.wait)
            closing.callback(process.kill)
            return process

        service, worker = begun(place.serve()), begun(place.work())
        # the worker is killed while it files
        for _ in range(2):
            assert place.lists(60) == 60
            wait_for(lambda: place.client.xlen(KEYS.exposure_log) > 0)
            worker.kill()
            worker = begun(place.work())
        place.settled()
        wait_for(lambda: place.outcomes() == {"logged": 120})
        assert set(place.filed()["request_id"]) == set(place.answered)
        # the store stops: lists need it, and those given out just before may be lost
        assert place.lists(20) == 20
        os.kill(place.store_pid, signal.SIGSTOP)
        time.sleep(STOPPED_S)
        worker.kill()
        os.kill(place.store_pid, signal.SIGCONT)
        worker = begun(place.work())
        wait_for(lambda: place.service.get("/pymk/recommendations?user_id=nobody-of-note")[0] == 200)
        assert place.lists(40) == 40
        wait_for(lambda: sum(place.outcomes().values()) == 181)
        lost = place.outcomes().get("store_away", 0)
        place.settled()
        missing = set(place.answered) - set(place.filed()["request_id"])
        assert len(missing) <= lost <= 20 + len(missing), "a write whose answer did not come may have arrived"
        assert place.missing() == len(missing), "counted by a worker that did not read what came before"
        # the service is killed: what it held for less than a second goes with it
        assert place.lists(20) == 20
        time.sleep(2)
        kept = len(place.answered)
        assert place.lists(10) == 10
        service.kill()
        service.wait()
        begun(place.serve())
        assert place.lists(20) == 20
        wait_for(lambda: place.outcomes() == {"logged": 20})
        place.settled()
        wait_for(lambda: place.answered[-1] in set(place.filed()["request_id"]))
        frame = place.filed()
        assert len(frame) == len(frame.unique(["request_id", "viewer", "candidate"])), "nobody twice"
        killed = set(place.answered) - set(frame["request_id"]) - missing
        assert killed <= set(place.answered[kept : kept + 10])
        assert place.missing() == len(missing), "nothing follows what a killed process held: at most its last second"
