"""The exposure log: every list that is given out is recorded behind its answer, and no request waits for it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from models.errors import StoreRefusedError, StoreUnavailableError
from models.live_state.seldom_shown import SeldomShown
from models.outcomes.exposure_files import ExposureFiles
from models.outcomes.exposure_record import Batch, ExposureRecord, unpack_list
from models.schema.candidate_sources import Source
from models.store.protocol import STREAM_START
from models.system.clock import now_us
from models.version.candidate_block import quantise
from models.version.local_versions import Versions
from models.version.tables import Tables
from service.recommend.behind import exposure_log
from service.worker.exposure_log import ExposureLogWorker
from tests.support.api import ApiHarness
from tests.support.contacts import join, upload

OpenPlace = Callable[..., Any]

pytestmark = pytest.mark.anyio


async def recorded(service: ApiHarness) -> list[ExposureRecord]:
    """The lists in the log, in the order in which they were given out."""
    await service.parts.exposure_log.flush()
    entries = service.store.stream_read(service.keys.exposure_log, STREAM_START, 1000)
    return [unpack_list(record) for _, entry in entries for record in Batch.unpack(entry).records]


def filed(service: ApiHarness) -> pl.DataFrame:
    """What a worker files of the log."""

    def tables_of(version: str) -> Tables:
        return Tables.open(Versions(service.home).path(version) / "tables")

    worker = ExposureLogWorker(service.store, service.keys, service.home, 90, tables_of, lambda: True)
    while worker.run_once():
        pass
    return ExposureFiles(service.home).scan()


def outcomes(service: ApiHarness) -> dict[str, float]:
    return {labels[0]: numbers[0] for labels, numbers in service.parts.metrics.exposures.series.items()}


async def test_a_ranked_list_is_recorded_as_it_was_shown(service: ApiHarness) -> None:
    shown = await service.recommended("bea", fresh=True, context="email", limit=2)
    (record,) = await recorded(service)
    head = record.head
    assert (head.viewer, head.context, head.served) == ("bea", "email", "ranked")
    assert (head.request_id, head.version) == (shown["request_id"], shown["version"])
    frame = filed(service)
    entries = shown["recommendations"]
    assert frame["candidate"].to_list() == [entry["user_id"] for entry in entries]
    assert frame["position"].to_list() == [1, 2]
    assert frame["score"].to_list() == pytest.approx([entry["score"] for entry in entries], abs=1e-4)
    assert frame["sources"].to_list() == [["friends_of_friends"]] * 2, "those of the block"
    assert frame["propensity"].to_list() == [1, 1]
    assert record.codes[:, 0].tolist() == [170, 85], "the codes of the block, in the order of the list"
    assert record.places.tolist() == [2, 1], "the fourth of the block is not discoverable"
    assert frame["request_id"].unique().to_list() == [shown["request_id"]]


async def test_a_cached_list_is_recorded_with_what_the_ranker_read_of_it(service: ApiHarness) -> None:
    await service.recommended("bea", limit=3)
    assert (await service.recommended("bea", limit=3))["served"] == "cache"
    await service.post(("dismiss", "bea", "gus"))
    assert (await service.recommended("bea", limit=3))["served"] == "cache"
    ranked, cached, filtered = await recorded(service)
    assert [one.head.served for one in (ranked, cached, filtered)] == ["ranked", "cache", "cache"]
    for name in ("rows", "scores", "sources", "places", "codes", "low", "high"):
        assert getattr(cached, name).tolist() == getattr(ranked, name).tolist(), name
    frame = filed(service)
    gone = frame.filter(pl.col("request_id") == filtered.head.request_id)
    assert "gus" not in gone["candidate"].to_list()
    kept = frame.filter((pl.col("request_id") == ranked.head.request_id) & (pl.col("candidate") != "gus"))
    assert gone["codes"].to_list()[: len(kept)] == kept["codes"].to_list()


async def test_positions_count_the_contacts_above(service: ApiHarness) -> None:
    await join(service, "gus")
    await upload(service, "cid", "gus")
    shown = (await service.recommended("cid", fresh=True, limit=3))["recommendations"]
    assert shown[0]["sources"][0] == "contacts"
    assert len(await recorded(service)) == 1
    frame = filed(service)
    positions = (frame["offset"] + frame["position"]).to_list()
    at = dict(zip(frame["candidate"].to_list(), positions, strict=True))
    assert at == {one["user_id"]: one["position"] for one in shown[1:]}
    assert frame["unrecorded"].to_list() == [1] * len(frame)


def write_block(service: ApiHarness, viewer: str, people: dict[str, Source]) -> None:
    """Writes a block as the worker does for a viewer with contacts, with the people in this order."""
    active = service.parts.versions.active
    assert active is not None
    row, *rows = active.tables.vocabulary.rows([viewer, *people]).tolist()
    values = np.tile(np.linspace(3, 1, len(rows), dtype=np.float32), (2, 1))
    sources = np.array([*people.values()], np.uint8)
    block = replace(quantise(row, np.array(rows, np.uint32), sources, values), made_at=now_us())
    service.store.set(service.keys.block(active.version, row), block.pack())


async def test_the_log_names_no_contact(service: ApiHarness) -> None:
    """Somebody of the version, somebody who joined since, and somebody whom they know: a record says how many there
    were, and not who; nor does it say of anybody what the ranker read beside people whom contacts know.
    """
    known = Source.FRIENDS_OF_FRIENDS | Source.CONTACTS
    write_block(service, "cid", {"eva": known, "fay": Source.EMBEDDING, "gus": Source.POPULAR})
    await join(service, "gus", "zoe")
    await upload(service, "cid", "gus", "zoe")
    lists = [await service.recommended("cid", limit=6), await service.recommended("cid", limit=6)]
    lists.append(await service.recommended("cid", limit=6, exclude="gus"))
    assert [one["served"] for one in lists] == ["ranked", "cache", "cache"]
    shown = lists[0]["recommendations"]
    from_contacts = [one["user_id"] for one in shown if "contacts" in one["sources"]]
    assert from_contacts[-1] == "eva"
    assert set(from_contacts) == {"gus", "zoe", "eva"}
    records = await recorded(service)
    assert [record.head.unrecorded for record in records] == [3, 3, 2]
    assert [(record.codes.shape[1], len(record.low)) for record in records] == [(0, 0)] * 3
    ((_, entry),) = service.store.stream_read(service.keys.exposure_log, STREAM_START, 1000)
    assert b"zoe" not in entry
    frame = filed(service)
    assert not set(from_contacts) & set(frame["candidate"])
    assert "contacts" not in set(frame["sources"].explode())
    assert frame["codes"].null_count() == frame["common_neighbours"].null_count() == len(frame)
    for one in lists[:2]:
        at = {person["user_id"]: person["position"] for person in one["recommendations"]}
        own = frame.filter(pl.col("request_id") == one["request_id"])
        places = own.select(pl.col("offset") + pl.col("position")).to_series().to_list()
        assert dict(zip(own["candidate"], places, strict=True)) == {
            person: place for person, place in at.items() if person not in from_contacts
        }


async def test_of_a_list_of_those_whom_contacts_know_the_count_is_recorded(service: ApiHarness) -> None:
    known = Source.FRIENDS_OF_FRIENDS | Source.CONTACTS
    write_block(service, "cid", {"eva": known, "fay": known})
    shown = await service.recommended("cid", fresh=True)
    assert [one["user_id"] for one in shown["recommendations"]] == ["eva", "fay"]
    (record,) = await recorded(service)
    assert (record.head.unrecorded, record.head.draw, len(record.rows)) == (2, "none", 0)
    assert filed(service).is_empty()
    lists = ExposureFiles(service.home).scan_lists(0, ["at", "candidate", "unrecorded"])
    assert lists.select("candidate", "unrecorded").rows() == [(None, 2)]


async def test_a_draw_keeps_the_places_of_those_whom_contacts_know(open_place: OpenPlace) -> None:
    settings = {"exploration_temperature": 1.0, "exploration_fixed": 0, "exploration_uniform_share": 1.0}
    async with open_place(**settings) as service:
        people = {"eva": Source.CONTACTS, "fay": Source.EMBEDDING, "gus": Source.POPULAR}
        write_block(service, "cid", people)
        shown = [one["user_id"] for one in (await service.recommended("cid", fresh=True))["recommendations"]]
        await recorded(service)
        frame = filed(service)
        assert dict(zip(frame["position"], frame["candidate"], strict=True)) == {
            place: one for place, one in enumerate(shown, 1) if one != "eva"
        }
        assert frame["propensity"].to_list() == pytest.approx([1 / len(shown)] * (len(shown) - 1))


async def test_places_of_further_pages_count_the_contacts_of_the_first(service: ApiHarness) -> None:
    await join(service, "gus")
    await upload(service, "cid", "gus")
    first = await service.recommended("cid", fresh=True, limit=2, cursor="")
    await service.recommended("cid", fresh=True, limit=2, cursor=first["next"])
    heads = [record.head for record in await recorded(service)]
    assert [(head.offset, head.unrecorded) for head in heads] == [(1, 1), (2, 0)]


async def test_a_stale_list_and_one_without_a_block_are_recorded(service: ApiHarness) -> None:
    before = (await service.recommended("bea", limit=2))["version"]
    version = service.publish()
    await service.serving(version)
    active = service.parts.versions.active
    assert active is not None
    row = active.tables.vocabulary.row("bea")
    assert row is not None
    service.store.delete([service.keys.block(version, row)])
    stale = await service.recommended("bea", limit=2, fresh=True)
    assert (stale["served"], stale["version"]) == ("stale", before)
    cold = await service.recommended("nobody", limit=2)
    records = (await recorded(service))[1:]
    assert [one.head.served for one in records] == ["stale", "cold_start"]
    assert [one.head.version for one in records] == [before, version]
    assert (len(records[0].low), len(records[1].low)) == (2, 0)
    frame = filed(service).filter(pl.col("viewer") == "nobody")
    assert frame["candidate"].to_list() == [entry["user_id"] for entry in cold["recommendations"]]
    assert frame["codes"].null_count() == frame["common_neighbours"].null_count() == len(frame)


async def test_every_list_of_a_batch_is_recorded(service: ApiHarness) -> None:
    body = {"user_ids": ["bea", "cid", "nobody"], "limit": 2}
    answer = await service.client.post("/pymk/recommendations", json=body)
    records = await recorded(service)
    assert [record.head.viewer for record in records] == ["bea", "cid", "nobody"]
    assert {record.head.request_id for record in records} == {answer.headers["x-request-id"]}


async def test_pages_say_how_many_people_came_before(service: ApiHarness) -> None:
    first = await service.recommended("bea", limit=2, cursor="")
    await service.recommended("bea", limit=2, cursor=first["next"])
    await service.recommended("bea", limit=2, exclude="gus")
    assert [record.head.offset for record in await recorded(service)] == [0, 2, 1]


async def test_of_a_list_without_people_the_list_is_recorded(service: ApiHarness) -> None:
    everybody = [entry["user_id"] for entry in (await service.recommended("bea"))["recommendations"]]
    last = await service.recommended("bea", exclude=",".join(everybody))
    assert last["recommendations"] == [], "a page after the last person is no empty list"
    for other in everybody:
        await service.post(("dismiss", "bea", other))
    assert (await service.recommended("bea", fresh=True))["served"] == "empty"
    shown, empty = await recorded(service)
    assert (empty.head.served, empty.head.viewer, empty.rows.tolist()) == ("empty", "bea", [])
    assert filed(service)["request_id"].unique().to_list() == [shown.head.request_id]
    lists = ExposureFiles(service.home).scan_lists(0, ["at", "request_id", "served", "candidate"])
    assert lists.filter(request_id=empty.head.request_id).rows() == [
        (lists["at"][-1], empty.head.request_id, "empty", None)
    ]
    # an erasure removes it, and whatever else names the viewer
    assert ExposureFiles(service.home).forget({"nobody": 2**60}) == 0
    assert len(ExposureFiles(service.home).scan_lists(0, ["at"])) == len(everybody) + 1
    ExposureFiles(service.home).forget({"bea": 2**60})
    assert ExposureFiles(service.home).scan_lists(0, ["at"]).is_empty()


async def test_whoever_may_get_no_list_is_not_recorded(service: ApiHarness) -> None:
    service.flag("bea", active=False)
    assert (await service.recommended("bea"))["served"] == "empty"
    assert await recorded(service) == []


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0, 0), (0.5, 60, 140), (1.0, 200, 200)])
async def test_the_share_that_is_set_is_recorded(open_place: OpenPlace, share: float, least: int, most: int) -> None:
    async with open_place(exposure_share=share) as service:
        for _ in range(200):
            await service.client.get("/pymk/recommendations", params={"user_id": "bea"})
        assert least <= len(await recorded(service)) <= most


async def test_what_the_store_does_not_take_is_lost_and_counted(
    service: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> int:
        raise StoreUnavailableError("away")

    async def full(*_: Any) -> int:
        raise StoreRefusedError("full")

    for fault in (away, full):
        with monkeypatch.context() as patched:
            patched.setattr(service.parts.exposure_log._store, "stream_offer", fault)
            assert (await service.recommended("bea"))["recommendations"]
            assert not await service.parts.exposure_log.flush()
    assert outcomes(service) == {"store_away": 2}
    await service.recommended("bea")
    (record,) = await recorded(service)
    assert record.head.viewer == "bea"
    assert outcomes(service) == {"store_away": 2, "logged": 1}


async def test_a_log_that_nobody_files_stays_within_its_bounds(
    open_place: OpenPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_place(exposure_log_mb=1) as service:
        monkeypatch.setattr(exposure_log, "MOST_BYTES", 2000)
        for _ in range(40):
            await service.recommended("bea")
        assert 1 <= len(await recorded(service)) < 40
        lost = outcomes(service)["buffer_full"]
        assert lost + outcomes(service)["logged"] == 40
        for _ in range(64):
            await service.recommended("cid")
            await service.parts.exposure_log.flush()
        assert service.store.stream_length(service.keys.exposure_log) == 64
        assert outcomes(service)["store_full"] == 1


async def test_old_lists_are_not_written_after_an_erasure_may_have_passed(
    service: ApiHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    await service.recommended("bea")
    monkeypatch.setattr(exposure_log, "OLDEST_S", 0.0)
    assert await recorded(service) == []
    assert outcomes(service) == {"store_away": 1}


async def test_what_waits_is_written_when_the_service_stops(open_place: OpenPlace, tmp_path: Path) -> None:
    async with open_place() as service:
        await service.recommended("bea")
    assert service.store.stream_length(service.keys.exposure_log) == 1


@pytest.mark.parametrize(("share", "how"), [(0.0, "sampled"), (1.0, "uniform")])
async def test_drawn_lists_say_how_and_with_which_probability(open_place: OpenPlace, share: float, how: str) -> None:
    settings = {"exploration_temperature": 1.0, "exploration_fixed": 1, "exploration_uniform_share": share}
    async with open_place(**settings) as service:
        viewers = ("bea", "cid", "fay", "gus")
        lists = {}
        for viewer in viewers:
            first = await service.recommended(viewer)
            again = await service.recommended(viewer)
            assert (first["served"], again["served"]) == ("ranked", "cache")
            assert first["recommendations"] == again["recommendations"], "a viewer's draw stays for a while"
            lists[viewer] = [entry["user_id"] for entry in first["recommendations"]]
        records, frame = await recorded(service), filed(service)
        assert {record.head.draw for record in records} == set(frame["draw"]) == {how}
        for viewer in viewers:
            own = frame.filter(pl.col("viewer") == viewer)
            assert own["candidate"].to_list() == 2 * lists[viewer]
            n = len(lists[viewer])
            if how == "uniform":
                assert own["propensity"].to_list() == pytest.approx([1 / n] * 2 * n)
            else:
                assert own["propensity"][0] == 1
                assert all(0 < one <= 1 for one in own["propensity"])


async def test_pages_of_a_drawn_list_repeat_nobody(open_place: OpenPlace) -> None:
    async with open_place(exploration_temperature=5.0, exploration_fixed=0) as service:
        whole = [entry["user_id"] for entry in (await service.recommended("bea"))["recommendations"]]
        first = await service.recommended("bea", limit=1, cursor="")
        second = await service.recommended("bea", limit=1, cursor=first["next"])
        third = await service.recommended("bea", limit=1, exclude=",".join(whole[:2]))
        pages = [page["recommendations"][0]["user_id"] for page in (first, second, third)]
        assert pages == whole[:3][: len(pages)]
        places = [record.drawn.places.tolist() for record in (await recorded(service))[1:] if record.drawn is not None]
        assert places == [[0], [1], [2]]


async def test_who_is_hardly_shown_is_drawn_sooner(open_place: OpenPlace) -> None:
    async with open_place(exploration_temperature=1.0, exploration_fixed=0, exploration_boost=100.0) as service:
        vocabulary = service.parts.versions.active.tables.vocabulary
        seldom = SeldomShown(vocabulary.digest, np.array([vocabulary.user_id(row) == "fay" for row in range(8)]))
        service.store.set(service.keys.seldom_shown, seldom.pack(), 60)
        await service.parts.live_sync.refresh()
        await service.recommended("bea", fresh=True)
        (record,) = await recorded(service)
        assert record.drawn is not None
        (at,) = np.flatnonzero(record.rows == vocabulary.row("fay"))
        weight = float(record.drawn.weights[record.drawn.people[at]])
        others = [one for one in record.drawn.weights.tolist() if one != weight]
        assert weight > max(others), "the factor outweighs the scores"
        await service.parts.live_sync.refresh()
        service.store.delete([service.keys.seldom_shown])
        await service.parts.live_sync.refresh()
        assert service.parts.live_sync.state.seldom is not None
        assert len(service.parts.live_sync.state.seldom.rows) == 0
