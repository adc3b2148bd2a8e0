"""Lists in bulk: the same lists, one document a line, and files as people write them."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray

from models.errors import CorruptRecordError, UsageError, VersionError
from models.experiments.assignment import arms_of
from models.experiments.experiment import Run
from models.experiments.registry import Registry
from models.live_state.edges import Direction
from models.live_state.exposure import Exposed
from models.live_state.flag_change import FlagChange
from models.live_state.user_record import LiveRecord
from models.live_state.visibility import append_change_blocking
from models.publishing.publish import publish
from models.ranker.ranker import ViewerInputs
from models.schema.columns import Flag
from models.schema.event_kinds import EventKind
from models.settings import Settings
from models.store.keys import Keys
from models.system.clock import now_us
from models.version.candidate_block import Block
from models.version.local_versions import Versions
from models.version.tables import Tables
from service.ranking.rerank import Diversity, RerankSettings
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer
from service.recommend import responses
from service.recommend.batch import BatchRecommender
from service.recommend.query import Query
from service.recommend.viewers_file import read_user_ids
from service.state.experiments import ArmsOfViewers
from service.state.served_version import VersionOpener
from tests.support.api import FirstFeature
from tests.support.experiments.arms import two_arms
from tests.support.memory_store import MemoryStore

KEYS = Keys("pymk")
RULES = RerankSettings(Diversity("company", 5))


def fail(reason: str, error: Exception) -> None:
    raise error


def open_scorer(directory: Path) -> FirstFeature:
    return FirstFeature()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path)


@pytest.fixture
def published(store: MemoryStore, versions: Versions, make_version: Callable[..., str]) -> str:
    version = make_version()
    publish(versions.path(version), store, versions, keys=KEYS)
    return version


def recommender(store: MemoryStore, versions: Versions) -> BatchRecommender:
    return BatchRecommender(store, versions, KEYS, open_scorer, RULES)


def test_a_batch_answers_what_singles_answer(
    store: MemoryStore, versions: Versions, published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.recommend.batch.BATCH", 3)
    asked = ["ann", "nobody", "cid", "héloïse", "cid", "gus", "eva"]
    documents = [orjson.loads(one) for one in recommender(store, versions).answers(asked, "web", 2)]
    assert [one["user_id"] for one in documents] == asked
    served = VersionOpener(store, versions, KEYS, open_scorer, RULES).open(published)
    for document in documents:
        row = served.tables.vocabulary.row(document["user_id"])
        record = store.get(KEYS.block(published, row)) if row is not None else None
        query, viewer = Query(document["user_id"], 2, "web"), Viewer(document["user_id"], row)
        if record is None or row is None:
            single = responses.from_cold_start(query, served, viewer, Trace())
        else:
            single = responses.from_block(query, served, viewer, Block.unpack(record), Trace(), fail)
        assert document["served"] == single.served
        assert document["version"] == published
        assert document["recommendations"] == orjson.loads(b"[" + single.entries + b"]")


def test_who_has_no_block_is_queued(store: MemoryStore, versions: Versions, published: str) -> None:
    assert len(list(recommender(store, versions).answers(["ann", "héloïse", "nobody"], "web", 5))) == 3
    assert store.queue_take(KEYS.refresh, time.time() + 1, 1, 10) == ["héloïse".encode()]


def test_a_block_that_the_ranker_cannot_read_counts_as_none(
    store: MemoryStore, versions: Versions, published: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = recommender(store, versions)
    scores = FirstFeature.scores

    def readable(
        self: FirstFeature, tables: Tables, block: Block, context: str, inputs: ViewerInputs | None = None
    ) -> NDArray[np.float32]:
        if block.viewer == 2:
            raise CorruptRecordError("features number 9 where the ranker reads 8")
        return scores(self, tables, block, context, inputs)

    monkeypatch.setattr(FirstFeature, "scores", readable)
    documents = [orjson.loads(one) for one in batch.answers(["ann", "cid"], "web", 5)]
    assert [one["served"] for one in documents] == ["ranked", "cold_start"]
    assert store.queue_take(KEYS.refresh, time.time() + 1, 1, 10) == [b"cid"]


def test_a_missing_block_is_stale_where_the_version_before_has_it(
    store: MemoryStore, versions: Versions, published: str, make_version: Callable[..., str]
) -> None:
    later = make_version()
    publish(versions.path(later), store, versions, keys=KEYS)
    store.delete([KEYS.block(later, 2)])
    (document,) = map(orjson.loads, recommender(store, versions).answers(["cid"], "web", 5))
    assert (document["served"], document["version"]) == ("stale", published)


def test_a_damaged_block_counts_as_none(store: MemoryStore, versions: Versions, published: str) -> None:
    store.set(KEYS.block(published, 0), b"damaged")
    (document,) = map(orjson.loads, recommender(store, versions).answers(["ann"], "web", 5))
    assert document["served"] == "cold_start"


def test_a_damaged_live_record_is_its_viewers_trouble_alone(
    store: MemoryStore, versions: Versions, published: str
) -> None:
    whole = [orjson.loads(one) for one in recommender(store, versions).answers(["ann", "cid"], "web", 5)]
    store.set(KEYS.live("ann"), b"damaged")
    ann, cid = (orjson.loads(one) for one in recommender(store, versions).answers(["ann", "cid"], "web", 5))
    assert (ann["served"], ann["recommendations"]) == ("empty", [])
    assert cid["recommendations"] == whole[1]["recommendations"] != []
    assert store.members(KEYS.damaged) == {b"ann"}


def test_everybody_is_everybody_active(store: MemoryStore, versions: Versions, published: str) -> None:
    assert list(recommender(store, versions).active_users) == [
        "ann",
        "bea",
        "cid",
        "dan",
        "eva",
        "fay",
        "gus",
        "héloïse",
    ]


def test_nobody_asked_is_nothing_said(store: MemoryStore, versions: Versions, published: str) -> None:
    assert list(recommender(store, versions).answers([], "web", 5)) == []


def test_without_a_version_there_is_nothing_to_rank_with(store: MemoryStore, versions: Versions) -> None:
    with pytest.raises(VersionError, match="no version is active"):
        recommender(store, versions)


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        (b"", []),
        (b"\n \n\n", []),
        (b"ann\n\nb/e a\n", ["ann", "b/e a"]),
        (b"ann\r\nbea\r\n", ["ann", "bea"]),
        (b"\xef\xbb\xbfann\nann", ["ann", "ann"]),
        ("🦊\n".encode(), ["🦊"]),
    ],
)
def test_a_file_of_ids(tmp_path: Path, content: bytes, ids: list[str]) -> None:
    (tmp_path / "ids").write_bytes(content)
    assert read_user_ids(tmp_path / "ids") == ids


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"ann\n" + b"x" * 129, "line 2"), (b"ann\n\n\xff", "line 3"), (b"a\x00b", "control character")],
)
def test_a_line_that_is_no_id_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "ids").write_bytes(content)
    with pytest.raises(UsageError, match=said):
        read_user_ids(tmp_path / "ids")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_user_ids(tmp_path / "ids")


def test_lists_in_bulk_heed_what_is_live(store: MemoryStore, versions: Versions, published: str) -> None:
    def shown(user_id: str) -> tuple[str, list[str]]:
        (body,) = [orjson.loads(one) for one in recommender(store, versions).answers([user_id], "web", 5)]
        return body["served"], [person["user_id"] for person in body["recommendations"]]

    assert shown("cid") == ("ranked", ["gus", "fay", "eva"])
    record = LiveRecord()
    record.apply("gus", Direction.IN, EventKind.BLOCK, now_us())
    store.set(KEYS.live("cid"), record.next_revision(now_us()).pack())
    append_change_blocking(store, KEYS, FlagChange("fay", now_us(), {Flag.DISCOVERABLE: False}))
    append_change_blocking(store, KEYS, FlagChange("ann", now_us(), {Flag.ACTIVE: False}))
    assert shown("cid") == ("ranked", ["eva"])
    assert shown("ann") == ("empty", [])
    assert "ann" not in set(recommender(store, versions).active_users)
    store.set(KEYS.exposure, Exposed.of(1, ["cid"]).pack())
    assert shown("gus")[1][-1] == "cid", "shown too often, and yet the list is not shortened"


def test_each_viewer_gets_the_list_of_their_arm(store: MemoryStore, versions: Versions, published: str) -> None:
    asked = ["ann", "bea", "cid", "dan", "eva", "fay", "gus", "nobody"]
    plain = [orjson.loads(one) for one in recommender(store, versions).answers(asked, "web", 5)]
    assert not any("arms" in one for one in plain)
    experiment = two_arms(context_limits={"web": [1, 0.0]})
    arms = ArmsOfViewers(Settings(diversity_most=5))
    arms.take(Registry(runs=(Run(experiment=experiment, started_at=datetime.now(UTC)),)))
    batch = BatchRecommender(store, versions, KEYS, open_scorer, RULES, arms=arms)
    found = [orjson.loads(one) for one in batch.answers(asked, "web", 5)]
    assert [one["arms"] for one in found] == [{"short": arm} for arm in arms_of(experiment, asked)]
    assert {one["arms"]["short"] for one in found} == {"control", "treatment"}
    for one, other in zip(found, plain, strict=True):
        wanted = other["recommendations"]
        assert one["recommendations"] == (wanted[:1] if one["arms"]["short"] == "treatment" else wanted)
