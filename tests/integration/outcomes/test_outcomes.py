"""`pymk outcomes`: from lists over HTTP and in bulk to the table, with events on the way."""

from collections.abc import Callable
from pathlib import Path

import anyio
import orjson
import polars as pl
import pytest

from models.cli.app import run as run_command
from models.event_log.event import Event
from models.event_log.write_events import write_events
from models.outcomes.schema import OUTCOME_COLUMNS
from models.publishing.publish import publish
from models.schema.event_kinds import EventKind
from models.schema.vocabulary import UserId
from models.settings import Settings
from models.store.connect import open_async, open_sync
from models.store.keys import Keys
from models.version.local_versions import Versions
from models.version.tables import Tables
from service.worker.exposure_log import ExposureLogWorker
from tests.support.versions import MakeVersion, make_servable

KEYS = Keys("pymk")


@pytest.fixture
def home(tmp_path: Path, make_version: MakeVersion, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which a version of eight people is published in an embedded store."""
    place = tmp_path / "home"
    monkeypatch.setenv("PYMK_HOME", str(place))
    version = make_version(place)
    make_servable(place, version)
    versions, store = Versions(place), open_sync(Settings())
    publish(versions.path(version), store, versions, keys=KEYS)
    store.close()
    return place


@pytest.fixture
def run(home: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command in the home; returns what it wrote to stdout."""

    def call(*arguments: str, status: int = 0) -> str:
        capfd.readouterr()
        ended = run_command(list(arguments))
        written = capfd.readouterr()
        assert ended == status, written.err
        return written.out

    return call


def work(home: Path) -> None:
    """Files the lists, as a worker does."""
    store = open_sync(Settings())
    worker = ExposureLogWorker(
        store, KEYS, home, 90, lambda version: Tables.open(Versions(home).path(version) / "tables"), lambda: True
    )
    while worker.run_once():
        pass
    store.close()


def write(*events: Event) -> None:
    async def go() -> None:
        store = await open_async(Settings(redis_timeout_ms=5000))
        await write_events(store, KEYS, events)
        await store.aclose()

    anyio.run(go)


def test_lists_in_bulk_are_joined_with_what_came_of_them(home: Path, tmp_path: Path, run: Callable[..., str]) -> None:
    assert "no list is filed yet" in run("outcomes")
    users = tmp_path / "ids.txt"
    users.write_text("bea\ncid\n")
    plain = [orjson.loads(line) for line in run("recommend", "--users", str(users)).splitlines()]
    assert all("request_id" not in document for document in plain)
    bea, cid = map(orjson.loads, run("recommend", "--users", str(users), "--log", "--context", "email").splitlines())
    assert [entry["user_id"] for entry in bea["recommendations"]] == [
        one["user_id"] for one in plain[0]["recommendations"]
    ]
    first, second = (entry["user_id"] for entry in bea["recommendations"][:2])
    write(
        Event(EventKind.INVITE, UserId("bea"), UserId(first), request_id=bea["request_id"]),
        Event(EventKind.ACCEPT, UserId(first), UserId("bea")),
        Event(EventKind.DISMISS, UserId("bea"), UserId(second)),
    )
    work(home)
    out = tmp_path / "out"
    (file,) = run("outcomes", "--out", str(out)).split()
    table = pl.read_parquet(file)
    assert table.schema == OUTCOME_COLUMNS
    assert set(table["request_id"]) == {bea["request_id"], cid["request_id"]}
    assert table["context"].unique().to_list() == ["email"]
    own = {row["candidate"]: row for row in table.filter(pl.col("viewer") == "bea").rows(named=True)}
    assert [name for name in ("invited", "accepted", "dismissed") if own[first][name]] == ["invited", "accepted"]
    assert [name for name in ("invited", "accepted", "dismissed") if own[second][name]] == ["dismissed"]
    assert (own[first]["joined_by"], own[second]["joined_by"]) == ("request_id", "viewer")
    assert own[first]["common_neighbours"] is not None
    assert orjson.loads(run("outcomes", "--out", str(out), "--json")) == {"files": [file]}
    found = orjson.loads(run("outcomes", "--json", "--since", "1d"))
    assert found["all"]["shown"] == len(table)
    assert found["all"]["accepted_of_invited"] == 1
    assert "of invited" in run("outcomes", "--since", "2026-01-01")
    assert "parity" not in found
    assert orjson.loads(run("outcomes", "--json", "--since", "2200-01-01"))["all"]["shown"] == 0


def test_a_wrong_time_is_refused(run: Callable[..., str]) -> None:
    run("outcomes", "--since", "yesterday", status=2)
