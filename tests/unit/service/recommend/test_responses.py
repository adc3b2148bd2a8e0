"""The ways to a response: each differs in where the candidates come from, and none in what is done with them."""

import json
from typing import Any

import numpy as np
import pytest

from models.errors import CorruptRecordError
from models.store.keys import Keys
from models.version.candidate_block import Block
from service.ranking.page import CACHED, PageRequest
from service.ranking.ranked_list import Candidates
from service.ranking.trace import Trace
from service.ranking.viewer import Viewer
from service.recommend import responses
from service.recommend.query import Query
from service.recommend.responses import Answer
from service.state.served_version import ServedVersion
from tests.support.memory_store import MemoryStore

KEYS = Keys("pymk")
CID = Viewer("cid", 2)


def fail(reason: str, error: Exception) -> None:
    raise error


def ids(answer: Answer | None) -> list[str]:
    assert answer is not None
    return [person["user_id"] for person in json.loads(b"[%b]" % answer.entries)]


@pytest.fixture
def block(memory: MemoryStore, served: ServedVersion) -> Block:
    """cid's block: eva, fay, gus and héloïse, who is not discoverable."""
    record = memory.get(KEYS.block(served.version, 2))
    assert record is not None
    return Block.unpack(record)


def query(**changed: Any) -> Query:
    return Query(**{"user_id": "cid", "limit": 20, "context": "web", **changed})


def test_a_page_is_filtered_re_ranked_and_encoded_in_any_order_of_the_candidates(served: ServedVersion) -> None:
    for order in ([0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        rows, scores = np.array([2, 3, 4, 5, 7], np.uint32)[order], np.array([1, 0.9, 0.2, 0.4, 0.8], np.float32)[order]
        trace = Trace()
        candidates = Candidates(rows, scores, np.ones(5, np.uint8))
        page = served.ranking.page(candidates, PageRequest("web", 20), CID, trace)
        assert page is not None
        assert [one["user_id"] for one in json.loads(b"[%b]" % page.text)] == ["fay", "eva"]
        assert trace.drops == {"self": 1, "connected": 1, "undiscoverable": 1}
        assert list(trace.stages()) == ["rules", "encode"]


def test_a_page_is_as_long_as_asked_for_and_leaves_the_excluded_out(served: ServedVersion, block: Block) -> None:
    trace = Trace()
    assert ids(responses.from_block(query(limit=1), served, CID, block, Trace(), fail)) == ["gus"]
    answer = responses.from_block(query(excluded=("gus", "héloïse", "who")), served, CID, block, trace, fail)
    assert ids(answer) == ["fay", "eva"]
    assert trace.drops == {"undiscoverable": 1, "excluded": 1}, "a drop counts under the first rule"


def test_everybody_excluded_is_a_ranked_list_without_people(served: ServedVersion, block: Block) -> None:
    excluded = ("eva", "fay", "gus")
    answer = responses.from_block(query(excluded=excluded), served, CID, block, Trace(), fail)
    assert (answer and answer.served, ids(answer)) == ("ranked", [])
    served.ranking.user_flags.flags = np.full(8, 6, np.uint8)
    answer = responses.from_block(query(), served, CID, block, Trace(), fail)
    assert (answer and answer.served, ids(answer)) == ("empty", [])


def test_a_list_to_cache_does_not_depend_on_limit_and_exclusions(served: ServedVersion, block: Block) -> None:
    def packed(**changed: Any) -> bytes:
        answer = responses.from_block(query(**changed), served, CID, block, Trace(), fail, cacheable=True)
        assert answer is not None
        assert answer.cacheable is not None
        return answer.cacheable.pack(CACHED)

    assert packed() == packed(limit=1) == packed(excluded=("gus",))


def test_the_cache_answers_what_the_block_answers(served: ServedVersion, block: Block) -> None:
    first = responses.from_block(query(), served, CID, block, Trace(), fail, cacheable=True)
    assert first is not None
    assert first.cacheable is not None
    assert CID.row is not None
    record = first.cacheable.pack(CACHED)
    for asked in (query(), query(limit=2), query(excluded=("gus",)), query(limit=1, excluded=("fay",))):
        cached = responses.from_cache(asked, served, CID, CID.row, record, Trace(), fail)
        ranked = responses.from_block(asked, served, CID, block, Trace(), fail)
        assert cached is not None
        assert ranked is not None
        assert (cached.served, cached.entries) == ("cache", ranked.entries)


def test_no_block_and_one_that_the_ranker_cannot_read_are_no_answer(
    served: ServedVersion, block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise CorruptRecordError("features number 9 where the ranker reads 8")

    faults: list[str] = []
    assert responses.from_block(query(), served, CID, None, Trace(), fail) is None
    monkeypatch.setattr(served.ranking.scorer, "scores", refuse)
    assert responses.from_block(query(), served, CID, block, Trace(), lambda reason, _: faults.append(reason)) is None
    assert faults == ["corrupt_block"]


def test_the_previous_version_shows_no_one_whom_the_active_one_drops(served: ServedVersion, block: Block) -> None:
    previous = ServedVersion("before", served.manifest, served.ranking)
    answer = responses.from_previous_version(query(), served, CID, previous, CID, block, Trace(), fail)
    assert answer is not None
    assert (answer.served, answer.version, ids(answer)) == ("stale", "before", ["gus", "fay", "eva"])
    gus, trace = Viewer("gus", 6), Trace()
    answer = responses.from_previous_version(query(), served, gus, previous, CID, block, trace, fail)
    assert (answer, trace.drops) == (None, {}), "eva, fay and gus are a clique"


def test_a_cold_start_is_never_called_empty(served: ServedVersion) -> None:
    answer = responses.from_cold_start(query(excluded=tuple(served.tables.vocabulary.user_ids())), served, CID, Trace())
    assert (answer.served, ids(answer)) == ("cold_start", [])
    assert responses.empty(served) == Answer("empty", served.version, b"")
