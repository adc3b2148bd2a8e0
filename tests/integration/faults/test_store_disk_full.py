"""Stores whose disk is full or nearly full: writes are refused, lists go on, and readiness says what is wrong."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
import redis

from models.errors import StoreRefusedError
from models.settings import Settings
from models.store.connect import open_sync
from models.store.protocol import SyncStore
from tests.support.clock import wait_for
from tests.support.homes import Home
from tests.support.stores import running_server

MB = 1 << 20
LIST = "/pymk/recommendations?user_id=cid"
EVENTS = [{"kind": "dismiss", "user_id": "cid", "other_id": "gus"}]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """An empty file system of 64 MB; the test is skipped where none may be mounted."""
    where = tmp_path / "disk"
    where.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(where)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("mounting a file system is not permitted here")
    yield where
    subprocess.run(["umount", "--lazy", str(where)], check=True)


def fill(disk: Path, left_mb: float) -> Path:
    """A file that leaves so much of a disk."""
    free = os.statvfs(disk)
    file = disk / "filler"
    with file.open("wb") as filler:
        os.posix_fallocate(filler.fileno(), 0, int(free.f_bavail * free.f_frsize - left_mb * MB))
    return file


def refusal(store: SyncStore) -> StoreRefusedError | None:
    """The error of a write, None if it is taken."""
    try:
        store.set("b", b"2")
    except StoreRefusedError as error:
        return error
    return None


def test_the_embedded_store_refuses_writes_before_its_disk_is_full_and_goes_on_reading(disk: Path) -> None:
    with closing(open_sync(Settings(home=disk, store_min_free_mb=16))) as store:
        store.set("a", b"1")
        filler = fill(disk, 8)
        error = wait_for(lambda: refusal(store))
        assert f"refuses writes: less of the disk of {disk / 'store'} is free than PYMK_STORE_MIN_FREE_MB" in str(error)
        assert error.public_message == "The store refuses writes at the moment; it answers reads."
        assert store.get("a") == b"1"
        assert store.info().refuses_writes
        filler.unlink()
        wait_for(lambda: refusal(store) is None)
        assert not store.info().refuses_writes
    log = disk / "store" / "supervisor.log"
    assert log.read_text().count("started the server") == 1, "the server has not ended"
    wait_for(lambda: "supervisor" in log.read_text() and " ended" in log.read_text().splitlines()[-1])
    # one that starts on a full disk refuses from its first write on
    fill(disk, 8)
    with closing(open_sync(Settings(home=disk, store_min_free_mb=16))) as store:
        assert refusal(store) is not None
        assert store.get("b") == b"2"


def test_lists_go_on_while_events_are_refused_and_readiness_warns(disk: Path, make_home: Callable[..., Home]) -> None:
    home = make_home(disk, PYMK_STORE_MIN_FREE_MB="16", PYMK_REDIS_TIMEOUT_MS="2000")
    with home.serving() as service:
        assert service.get("/health/ready")[1]["warnings"] == []
        fill(disk, 8)
        status, body = wait_for(lambda: (found := service.post("/pymk/events", EVENTS))[0] == 503 and found)
        assert (status, body["detail"]) == (503, "The store refuses writes at the moment; it answers reads.")
        for _ in range(20):
            assert service.get(LIST)[0] == 200
        status, body = service.get("/health/ready")
        assert status == 200
        (warning,) = body["warnings"]
        assert "less than 16 MB free: it refuses events and answers lists" in warning
        (disk / "filler").unlink()
        wait_for(lambda: service.post("/pymk/events", EVENTS)[0] == 202)


def test_readiness_warns_of_an_external_store_that_cannot_write_or_evicts_otherwise(
    disk: Path, tmp_path: Path, make_home: Callable[..., Home]
) -> None:
    options = ("--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "volatile-ttl")
    with running_server(disk, *options) as port, redis.Redis(port=port) as server:
        home = make_home(PYMK_REDIS_URL=f"redis://127.0.0.1:{port}", PYMK_REDIS_TIMEOUT_MS="2000")
        with home.serving() as service:

            def warns(words: str) -> bool:
                return any(words in warning for warning in service.get("/health/ready")[1]["warnings"])

            (warning,) = service.get("/health/ready")[1]["warnings"]
            assert warning.startswith("the store evicts by volatile-ttl, with which it was never tried")
            server.config_set("min-replicas-to-write", 1)
            assert warns("no replica is in step")
            assert service.post("/pymk/events", EVENTS)[0] == 503
            server.config_set("min-replicas-to-write", 0)
            fill(disk, 0)
            with suppress(redis.RedisError):
                server.bgsave()
            wait_for(lambda: warns("rdb_last_bgsave_status"))
            wait_for(lambda: service.post("/pymk/events", EVENTS)[0] == 503 and warns("aof_last_write_status"))
            assert service.get(LIST)[0] == 200
            (disk / "filler").unlink()
            wait_for(lambda: service.post("/pymk/events", EVENTS)[0] == 202)
            assert not warns("aof_last_write_status")
