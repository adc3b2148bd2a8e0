"""A request goes straight down: from the route to the answer, control enters each file of the service at most twice.

An entry is the start of a Python function of one file of `service/` while the nearest caller in `service/` is in
another file; properties and methods of value objects count like all others. Not counted are returns, coroutines that
go on after an await, functions that Python itself generated (the constructors of dataclasses), and everything in
`models/` with its compiled kernels. Middleware is outside: it surrounds the route. Bringing a version's flags up to
date is outside too: the first request after a change does it for all that follow, so it is done before one is traced.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

import service
from models.schema.vocabulary import Row
from service.api.recommendations import Recommendations
from service.ranking.cached_list import CachedList
from tests.support.api import ApiHarness

pytestmark = pytest.mark.anyio

PATH = "/pymk/recommendations"
ROOT = Path(service.__file__).parent
ROUTE: CodeType = Recommendations.__call__.__code__
MOST = 2
STALE_MOST = {"ranking/reasons.py": 3}
"""friends of the viewer in both versions, and what the viewer shares with others"""
STALE_PROFILE_MOST = {"ranking/reasons.py": 3, "recommend/viewer_loader.py": 4, "ranking/user_flags.py": 3}
"""the viewer too is loaded and completed with the changed profile in both versions, and looked up by id besides"""
CURSOR_MOST = {"recommend/cursor.py": 5}
"""a cursor is unpacked, its owner compared and its highest score asked for; the next one is made and packed"""


def file_of(frame: FrameType) -> str | None:
    """The file of `service/` that a frame runs in, None for any other."""
    path = Path(frame.f_code.co_filename)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else None


@contextmanager
def entries() -> Iterator[Counter[str]]:
    """Counts, by file, the entries below the route while the block runs."""
    counts: Counter[str] = Counter()
    seen: set[FrameType] = set()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        if event != "call" or (file := file_of(frame)) is None or frame in seen:
            return
        seen.add(frame)
        caller, callers = frame.f_back, []
        while caller is not None:
            callers.append(caller)
            caller = caller.f_back
        if frame.f_code is ROUTE:
            counts[file] += 1
        elif any(one.f_code is ROUTE for one in callers):
            counts[file] += next(name for one in callers if (name := file_of(one)) is not None) != file

    sys.setprofile(profile)
    try:
        yield counts
    finally:
        sys.setprofile(None)


def over(counts: Counter[str]) -> dict[str, int]:
    """The files that were entered more often than MOST, with the number."""
    return {file: count for file, count in counts.items() if count > MOST}


async def traced(service: ApiHarness, user_id: str, *, fresh: bool = False, **query: Any) -> tuple[str, Counter[str]]:
    """How a list was served, and the entries on its way."""
    headers = {"Cache-Control": "no-cache"} if fresh else {}
    with entries() as counts:
        answer = await service.client.get(PATH, params={"user_id": user_id, **query}, headers=headers)
    assert answer.status_code == 200
    return answer.json()["served"], counts


async def test_a_ranked_request_enters_each_file_at_most_twice(service: ApiHarness) -> None:
    served, counts = await traced(service, "cid", fresh=True)
    assert served == "ranked"
    assert {"recommend/online.py", "ranking/pipeline.py", "ranking/filters.py", "ranking/json_encoder.py"} <= set(
        counts
    )
    assert over(counts) == {}
    assert counts["recommend/responses.py"] == counts["recommend/online.py"] == 1


async def test_a_cached_request_enters_each_file_at_most_twice(service: ApiHarness) -> None:
    await service.recommended("cid")
    served, counts = await traced(service, "cid")
    assert served == "cache"
    assert "ranking/cached_list.py" in counts
    assert over(counts) == {}


async def test_a_cached_list_that_is_filtered_again_enters_each_file_at_most_twice(service: ApiHarness) -> None:
    await service.recommended("cid")
    await service.post(("dismiss", "cid", "gus"))
    served, counts = await traced(service, "cid", exclude="fay")
    assert served == "cache"
    assert "ranking/filters.py" in counts
    assert over(counts) == {}


async def test_a_cached_list_with_one_event_since_enters_each_file_at_most_twice(service: ApiHarness) -> None:
    await service.recommended("cid")
    await service.post(("dismiss", "cid", "gus"))
    served, counts = await traced(service, "cid")
    assert served == "cache"
    assert {"ranking/filters.py", "ranking/list_json.py"} <= set(counts)
    assert over(counts) == {}


async def test_a_list_ranked_for_the_cache_and_a_page_enters_each_file_at_most_twice(service: ApiHarness) -> None:
    served, counts = await traced(service, "fay", exclude="hal,ann")
    assert served == "ranked"
    assert {"ranking/filters.py", "ranking/list_json.py"} <= set(counts)
    assert over(counts) == {}


async def test_a_cached_list_with_too_few_left_enters_each_file_at_most_twice(service: ApiHarness) -> None:
    await service.recommended("fay")
    key = service.keys.ranked(service.parts.versions.active.version, 5, "web")
    cut_short = CachedList.unpack(service.store.get(key), Row(5)).pack(1)
    service.store.set(key, cut_short, 60)
    served, counts = await traced(service, "fay", exclude="cid")
    assert served == "ranked"
    assert counts["ranking/pipeline.py"] == 2, "from the cache, and from the block"
    opened_unpacked_packed = {"ranking/cached_list.py": 3}
    assert over(counts) == {**opened_unpacked_packed, "ranking/rerank.py": 3}, "and the list to cache, and without cid"
    await service.parts.cache_writer.flush()
    service.store.set(key, cut_short, 60)
    await service.post(("dismiss", "fay", "cid"))
    served, counts = await traced(service, "fay")
    assert served == "ranked"
    assert over(counts) == opened_unpacked_packed


async def test_a_cached_list_after_a_new_connection_enters_each_file_at_most_twice(service: ApiHarness) -> None:
    await service.recommended("gus")
    await service.post(("connect", "cid", "gus"))
    served, counts = await traced(service, "gus")
    assert served == "ranked"
    assert counts["ranking/pipeline.py"] == 2, "from the cache, and from the block"
    assert over(counts) == {}


async def test_a_stale_list_enters_files_no_more_often_than_two_versions_need(service: ApiHarness) -> None:
    version = service.publish()
    await service.serving(version)
    service.store.delete([service.keys.block(version, 2)])
    served, counts = await traced(service, "cid")
    assert served == "stale"
    assert over(counts) == STALE_MOST
    await service.put("cid", company="Bolt")
    served, counts = await traced(service, "cid", exclude="fay")
    assert served == "stale"
    assert over(counts) == STALE_PROFILE_MOST


async def test_a_page_after_another_enters_only_the_cursor_more_than_twice(service: ApiHarness) -> None:
    first = await service.recommended("cid", limit=1, cursor="")
    query = {"limit": 1, "cursor": first["next"]}
    for served in ("cache", "ranked"):
        way, counts = await traced(service, "cid", fresh=served == "ranked", **query)
        assert (way, over(counts)) == (served, CURSOR_MOST)
    service.store.delete([service.keys.ranked(service.parts.versions.active.version, 2, "web")])
    way, counts = await traced(service, "cid", **query)
    assert (way, over(counts)) == ("ranked", CURSOR_MOST), "for the cache and for the page"


async def test_a_cold_start_enters_each_file_at_most_twice(service: ApiHarness) -> None:
    served, counts = await traced(service, "héloïse", fresh=True)
    assert served == "cold_start"
    assert over(counts) == {}


async def test_a_second_trip_to_the_store_enters_each_file_at_most_twice(service: ApiHarness) -> None:
    served, counts = await traced(service, "cid")
    assert served == "ranked"
    assert over(counts) == {}
    for user_id, ways in (("zoe", "cold_start"), ("dan", "ranked")):
        await service.put(user_id, company="Bolt")
        served, counts = await traced(service, user_id)
        assert served == ways
        assert over(counts) == {}
