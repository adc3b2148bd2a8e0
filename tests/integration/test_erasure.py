"""Erasure, end to end: whatever is decoded, wherever it is kept, the erased person is not in it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import httpx2
import orjson
import polars as pl
import pytest

from models.candidate_refresh.refresh_queue import queue_people
from models.erasure.purge import purge_once
from models.errors import PymkError, VersionError
from models.event_log.archive.archive import Archive
from models.event_log.event import Event
from models.event_log.log_consumer import LogConsumer
from models.event_log.write_events import write_events
from models.event_log.write_profile import write_erasure, write_profile
from models.live_state.erasure_receipts import RECEIPT_S, open_erasure
from models.live_state.exposure import Exposed
from models.live_state.user_record import LiveRecord
from models.publishing.publish import publish, rollback
from models.schema.event_kinds import EventKind
from models.settings import Settings
from models.store.connect import open_async, open_sync
from models.store.keys import SHARDS, Keys
from models.system.clock import now_us
from models.version.local_versions import Versions
from models.version.tables import Tables
from offline.night import nightly
from offline.night.config import NightConfig
from offline.night.nightly import Night
from offline.night.workspace import workspace
from offline.snapshot.snapshot import write_snapshot
from service.app import create_app
from service.container import Stores
from service.worker.exposure_log import ExposureLogWorker
from tests.support.memory_store import AsyncMemoryStore, MemoryStore

KEYS = Keys("pymk")
GONE = "er/ika 🦊"
STAYS = "u08"
STRANGER = "nemo-1869"
ALONE = "Solo & Co"
"""what nobody else has said of themselves"""
PATH = "/pymk/users/" + quote(GONE, safe="")


def leaves(value: Any) -> Iterator[str]:
    """Every text in a JSON value, names of members included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield str(name)
            yield from leaves(one)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one)


def texts_of(content: bytes) -> Iterator[str]:
    """What bytes say, as JSON lines where they are, and as they stand: packed records keep ids as plain UTF-8."""
    for line in content.splitlines():
        with suppress(orjson.JSONDecodeError):
            yield from leaves(orjson.loads(line))
    yield content.decode("utf-8", "replace")


def in_file(path: Path) -> Iterator[str]:
    """Every text in a file, decoded by its kind."""
    content = path.read_bytes()
    if path.suffix == ".parquet":
        frame = pl.read_parquet(path)
        yield from frame.columns
        for column in frame.select(pl.col(pl.String)).iter_columns():
            yield from column.drop_nulls().to_list()
    elif path.suffix == ".json":
        yield from leaves(orjson.loads(content))
    elif path.name == "vocabulary.bin":
        yield from Tables.open(path.parent).vocabulary.user_ids() if (path.parent / "tables.json").exists() else ()
    yield from texts_of(content)


def in_value(value: Any) -> Iterator[str]:
    """Every text in a value of the store, of whichever kind."""
    if isinstance(value, bytes):
        yield from texts_of(value)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from in_value(name)
            yield from in_value(one)
    elif isinstance(value, (list, set, tuple)):
        for one in value:
            yield from in_value(one)


def traces(home: Path, store: MemoryStore, user_id: str) -> set[str]:
    """Where an id stands: files by room and name, keys by their kind."""
    found = set()
    for path in sorted(home.rglob("*")):
        name = path.relative_to(home)
        if path.is_file() and (user_id in str(name) or any(user_id in text for text in in_file(path))):
            found.add(f"{name.parts[0]}/{name.name}")
    for key, held in store._stored.items():
        if user_id in key or any(user_id in text for text in in_value(held.value)):
            found.add(":".join(part for part in key.split(":")[1:4] if not part[:1].isdigit() and part != user_id))
    return found


@asynccontextmanager
async def serving(home: Path, store: MemoryStore) -> AsyncIterator[tuple[httpx2.AsyncClient, Any]]:
    """A client of the service, and the parts behind it."""

    @asynccontextmanager
    async def stores(_: Settings) -> AsyncIterator[Stores]:
        yield Stores(AsyncMemoryStore(store), store)

    app = create_app(Settings(home=home), open_stores=stores)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost") as client,
    ):
        yield client, app.state.container


class LaterStore(MemoryStore):
    """A store where it is ten seconds later, so that lists given out a moment ago are not waited for."""

    def clock_us(self) -> int:
        return super().clock_us() + 10_000_000


class ErasureHarness:
    """A home, a store and a dataset of three groups of friends, with GONE in the first and friends in all."""

    def __init__(self, home: Path, data: Path) -> None:
        self.home, self.data, self.store = home, data, LaterStore()
        data.mkdir()
        people = [GONE, *(f"u{number:02d}" for number in range(24))]
        rows = [f"{one},Name of {one},{'Acme' if at % 2 else 'Bolt' if at else ALONE}" for at, one in enumerate(people)]
        (data / "users.csv").write_text("\n".join(["user_id,name,company", *rows]) + "\n")
        pairs = [(a, b) for a in range(24) for b in range(a) if a // 8 == b // 8 and (a + b) % 7]
        lines = [f"u{a:02d},u{b:02d}" for a, b in pairs] + [f"{GONE},u{at:02d}" for at in (1, 2, 9, 17)]
        (data / "connections.csv").write_text("\n".join(["user_id,other_id", *lines]) + "\n")

    def night(self, **more: Any) -> str:
        version, _ = Night(
            data=self.data, home=self.home, store=self.store, keys=KEYS, config=NightConfig(), **more
        ).run()
        return version

    def tables(self, version: str) -> Tables:
        return Tables.open(Versions(self.home).path(version) / "tables")

    def work(self, *, later_s: float = 3.0) -> int:
        """What a worker does: the log, the lists, then the erasures, `later_s` from now."""
        consumer = LogConsumer(self.store, KEYS, Archive(self.home))
        for shard in range(SHARDS):
            consumer.run_once(shard)
        self.file_lists()
        return purge_once(self.store, KEYS, Versions(self.home), clock=lambda: now_us() + int(later_s * 1_000_000))

    def file_lists(self) -> None:
        """Files the lists that were given out."""
        worker = ExposureLogWorker(self.store, KEYS, self.home, 90, self.tables, lambda: True)
        while worker.run_once():
            pass

    def http(self, ask: Callable[[httpx2.AsyncClient, Any], Any]) -> Any:
        async def run() -> Any:
            async with serving(self.home, self.store) as (client, parts):
                return await ask(client, parts)

        return anyio.run(run)

    def request(self, method: str, url: str, **more: Any) -> tuple[int, Any]:
        async def ask(client: httpx2.AsyncClient, _: Any) -> tuple[int, Any]:
            answer = await client.request(method, url, **more)
            return answer.status_code, answer.json()

        status, body = self.http(ask)
        return int(status), body

    def lists(self) -> dict[str, Any]:
        """Everybody's list, which the store keeps then."""

        async def ask(client: httpx2.AsyncClient, parts: Any) -> dict[str, Any]:
            found = {}
            for user_id in parts.versions.active.tables.vocabulary.user_ids():
                answer = await client.get("/pymk/recommendations", params={"user_id": user_id, "limit": 100})
                found[user_id] = answer.json()
            await parts.cache_writer.flush()
            return found

        return dict(self.http(ask))


@pytest.fixture
def harness(tmp_path: Path) -> ErasureHarness:
    return ErasureHarness(tmp_path / "home", tmp_path / "data")


def live_on(harness: ErasureHarness) -> None:
    """GONE does, and has done to them, what leaves a trace everywhere."""

    def write(*events: Event) -> None:
        async def run() -> None:
            await write_events(AsyncMemoryStore(harness.store), KEYS, events)

        anyio.run(run)

    write(
        Event(EventKind.CONNECT, GONE, "u00", event_id="1"),
        Event(EventKind.BLOCK, "u11", GONE),
        Event(EventKind.IMPRESSION, "u12", GONE),
    )
    harness.request("PUT", PATH, json={"company": "Acme", "connections_visible": False})
    harness.work()
    write(Event(EventKind.INVITE, "u20", GONE, event_id="2"), Event(EventKind.DISMISS, GONE, "u21"))
    harness.store.timestamps_raise(KEYS.touched, {GONE: now_us(), STAYS: now_us()})
    queue_people(harness.store, KEYS, {GONE: now_us(), STAYS: 1})
    harness.store.set(KEYS.exposure, Exposed.of(1, [GONE, STAYS]).pack())
    with suppress(PymkError), workspace(harness.home, "a night that was killed") as work:
        write_snapshot(harness.data, work.step("snapshot"), started_at=work.run.started_at)
        raise PymkError("killed")


@pytest.mark.parametrize("kind", [{"retrain": "never"}, {"delta": True}], ids=["whole night", "delta night"])
def test_nothing_is_left_of_who_was_erased(harness: ErasureHarness, kind: dict[str, Any]) -> None:
    first = harness.night(group_column="company")
    live_on(harness)
    assert any(GONE in str(one) for user_id, one in harness.lists().items() if user_id != GONE)
    harness.file_lists()
    alone = {"versions/tables.json", "versions/profile_encoder.json", "versions/report.json"}
    assert traces(harness.home, harness.store, ALONE) >= alone
    there = traces(harness.home, harness.store, GONE)
    assert there >= {
        "versions/vocabulary.bin",
        "versions/profiles.bin",
        "night/users.parquet",
        "v:t",
        "v:l",
        "{hidden}:log",
        "touched",
        "refresh",
        "exposure",
    }, there
    assert {name for name in there if name.startswith("events/")}
    assert {name for name in there if name.startswith("outcomes/")}
    assert {name.partition(":")[2] for name in there if name.startswith("{")} >= {"u", "p", "people", "log"}

    status, body = harness.request("DELETE", PATH)
    assert status == 202
    receipt = f"/pymk/erasures/{body['receipt']}"
    assert harness.request("GET", PATH)[0] == 404
    assert harness.request("GET", receipt)[1]["state"] == "hidden"
    assert harness.work() == 1
    assert harness.request("GET", receipt)[1]["waits_for"] == ["night"]
    left = traces(harness.home, harness.store, GONE)
    assert not {name for name in left if name.startswith(("events/", "night/"))}, left
    assert {name for name in left if name.startswith("{")} <= {
        "{hidden}:log",
        *(f"{{{n}}}:{kind}" for n in range(SHARDS) for kind in ("u", "people")),
    }
    for shard in range(SHARDS):
        for key in harness.store.scan(f"{KEYS.shard(shard)}u:"):
            record = LiveRecord.unpack(harness.store.get(key))
            assert GONE not in {*record.edges, *record.shown}

    second = harness.night(**kind)  # from the same files, which still have the person
    assert harness.tables(second).vocabulary.row(GONE) is None
    assert not any(GONE in str(one) for one in harness.lists().values())
    assert harness.work() == 0
    assert harness.request("GET", receipt)[1]["state"] == "done"
    assert traces(harness.home, harness.store, GONE) == set()
    assert traces(harness.home, harness.store, ALONE) == set()
    assert traces(harness.home, harness.store, STAYS) >= {"versions/vocabulary.bin", "versions/profiles.bin", "refresh"}
    assert Versions(harness.home).ids() == [second]
    with pytest.raises(VersionError, match=f"{first} was built before a person was erased"):
        rollback(harness.store, Versions(harness.home), keys=KEYS)

    assert harness.request("PUT", PATH, json={"name": "Another"}) == (202, {"accepted": 1})
    assert harness.request("GET", PATH) == (200, {"name": "Another"})
    third = harness.night(retrain="never")
    tables = harness.tables(third)
    row = tables.vocabulary.row(GONE)
    assert row is not None
    assert tables.profile(row) == {"name": "Another"}
    assert len(tables.graph.neighbours(row)) == 0
    assert not len(tables.forbidden.neighbours(row))
    assert rollback(harness.store, Versions(harness.home), keys=KEYS).version == second


def test_the_erasure_of_nobody_leaves_nothing_but_a_receipt_that_expires(harness: ErasureHarness) -> None:
    harness.night()
    harness.work()
    harness.request("DELETE", "/pymk/users/u23")  # the key of all hashes is drawn
    receipts = [
        f"/pymk/erasures/{harness.request('DELETE', f'/pymk/users/{user_id}')[1]['receipt']}"
        for user_id in (STRANGER, "newcomer")
    ]
    assert len(harness.store.fields(KEYS.erased)) == 3
    (harness.data / "users.csv").write_text((harness.data / "users.csv").read_text() + "newcomer,Name,Acme\n")
    harness.work()
    version = harness.night(retrain="never")
    harness.work()
    assert harness.tables(version).vocabulary.row("newcomer") is None
    assert [harness.request("GET", receipt)[1]["state"] for receipt in receipts] == ["done", "done"]
    hashes = harness.store.fields(KEYS.erased)
    assert len(hashes) == 2, "one that a dataset named stays, to keep its user out of the next"
    assert receipts[0][-48:-16] not in hashes
    assert traces(harness.home, harness.store, STRANGER) == set()
    receipt_key = KEYS.erasure(receipts[0][-48:-16])
    assert 0 < (harness.store.ttl_s(receipt_key) or 0) <= RECEIPT_S
    name = receipts[0][-48:-16]
    assert {key for key, held in harness.store._stored.items() if name in f"{key} {held.value!r}"} == {receipt_key}
    assert harness.store.members(KEYS.erasures) == set()
    # once more, and again nothing
    assert harness.request("DELETE", f"/pymk/users/{STRANGER}")[0] == 202


def test_a_night_that_began_before_an_erasure_is_begun_anew(
    harness: ErasureHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed when its version was whole and not published; the erasure came then."""
    first = harness.night()

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(nightly, "publish_or_try", killed)
    with pytest.raises(KeyboardInterrupt):
        harness.night(retrain="never")
    monkeypatch.undo()
    (unpublished,) = set(Versions(harness.home).ids()) - {first}
    assert harness.tables(unpublished).vocabulary.row(GONE) is not None
    harness.request("DELETE", PATH)
    harness.work()
    second = harness.night(retrain="never")
    assert second != unpublished
    assert harness.tables(second).vocabulary.row(GONE) is None
    assert harness.work() == 0
    assert Versions(harness.home).ids() == [second]
    assert traces(harness.home, harness.store, GONE) == set()


def test_a_version_that_holds_the_erased_again_is_not_published(harness: ErasureHarness, make_version: Any) -> None:
    before = make_version(harness.home, live_cut=1)
    after = make_version(harness.home, live_cut=now_us() + 60_000_000)
    versions = Versions(harness.home)
    publish(versions.path(after), harness.store, versions, keys=KEYS)
    harness.request("DELETE", "/pymk/users/eva")
    with pytest.raises(VersionError, match=f"{before} started before a person was erased"):
        publish(versions.path(before), harness.store, versions, keys=KEYS)


def test_the_embedded_store_keeps_no_file_with_the_erased(tmp_path: Path, make_version: Any) -> None:
    """A real server: what was deleted is not in its append-only file either."""
    versions, settings = Versions(tmp_path), Settings(home=tmp_path, redis_timeout_ms=5000)
    store = open_sync(settings)

    def files_with(user_id: str) -> list[str]:
        return [path.name for path in tmp_path.rglob("*") if path.is_file() and user_id.encode() in path.read_bytes()]

    async def live_and_go() -> str:
        opened = await open_async(settings)
        events = [Event(EventKind.BLOCK, GONE, "bea", event_id="1"), Event(EventKind.INVITE, STAYS, GONE)]
        await write_events(opened, KEYS, events)
        await write_profile(opened, KEYS, GONE, {"name": "Erika"})
        timestamp_us = await write_erasure(opened, KEYS, GONE)
        receipt = await open_erasure(opened, KEYS, GONE, timestamp_us)
        await opened.aclose()
        return receipt

    try:
        publish(versions.path(make_version()), store, versions, keys=KEYS)
        receipt = anyio.run(live_and_go)
        consumer = LogConsumer(store, KEYS, Archive(tmp_path))
        for shard in range(SHARDS):
            consumer.run_once(shard)
        publish(versions.path(make_version(live_cut=now_us())), store, versions, keys=KEYS)
        assert [name for name in files_with(GONE) if "aof" in name]
        assert purge_once(store, KEYS, versions, clock=lambda: now_us() + 3_000_000) == 0
        assert files_with(GONE) == []
        assert len(files_with(STAYS)) > 0
        record = orjson.loads(store.get(KEYS.erasure(receipt[:32])) or b"")
        assert (record["done"], record["user_id"]) == (record["stamps"][-1], None)
    finally:
        store.close()
