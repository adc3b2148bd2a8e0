"""A request goes straight down: from the route to the answer, control enters each file of the service at most twice.

An entry is the start of a Python function of one file of `service/` while the nearest caller in `service/` is in
another file; properties and methods of value objects count like all others. Not counted are returns, coroutines that
go on after an await, functions that Python itself generated (the constructors of dataclasses), and everything in
`models/` with its compiled kernels. Middleware is outside: it surrounds the route.
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
from service.api.recommendations import Recommendations

pytestmark = pytest.mark.anyio

PATH = "/pymk/recommendations"
ROOT = Path(service.__file__).parent
ROUTE: CodeType = Recommendations.__call__.__code__
MOST = 2


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


async def traced(place: Any, user_id: str, *, fresh: bool = False, **query: Any) -> tuple[str, Counter[str]]:
    """How a list was served, and the entries on its way."""
    headers = {"Cache-Control": "no-cache"} if fresh else {}
    with entries() as counts:
        answer = await place.client.get(PATH, params={"user_id": user_id, **query}, headers=headers)
    assert answer.status_code == 200
    return answer.json()["served"], counts


async def test_a_ranked_request_enters_each_file_at_most_twice(place: Any) -> None:
    served, counts = await traced(place, "cid", fresh=True)
    assert served == "ranked"
    assert {"recommend/online.py", "ranking/pipeline.py", "ranking/filters.py", "ranking/json_encoder.py"} <= set(
        counts
    )
    assert {file: count for file, count in counts.items() if count > MOST} == {}
    assert counts["recommend/responses.py"] == counts["recommend/online.py"] == 1


async def test_a_cached_request_enters_each_file_at_most_twice(place: Any) -> None:
    await place.recommended("cid")
    served, counts = await traced(place, "cid")
    assert served == "cache"
    assert "ranking/cached_list.py" in counts
    assert {file: count for file, count in counts.items() if count > MOST} == {}


async def test_a_cached_list_that_is_filtered_again_enters_each_file_at_most_twice(place: Any) -> None:
    await place.recommended("cid")
    await place.post(("dismiss", "cid", "gus"))
    served, counts = await traced(place, "cid", exclude="fay")
    assert served == "cache"
    assert "ranking/filters.py" in counts
    assert {file: count for file, count in counts.items() if count > MOST} == {}


async def test_a_cold_start_enters_each_file_at_most_twice(place: Any) -> None:
    served, counts = await traced(place, "héloïse", fresh=True)
    assert served == "cold_start"
    assert {file: count for file, count in counts.items() if count > MOST} == {}


async def test_a_second_trip_to_the_store_enters_each_file_at_most_twice(place: Any) -> None:
    served, counts = await traced(place, "cid")
    assert served == "ranked"
    assert {file: count for file, count in counts.items() if count > MOST} == {}
    for user_id, ways in (("zoe", "cold_start"), ("dan", "ranked")):
        await place.put(user_id, company="Bolt")
        served, counts = await traced(place, user_id)
        assert served == ways
        assert {file: count for file, count in counts.items() if count > MOST} == {}
