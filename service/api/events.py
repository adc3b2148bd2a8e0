"""POST /pymk/events: the events of a body are checked as a whole, then written, then acknowledged."""

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel

from models.errors import CorruptRecordError
from models.event_log.event import Event
from models.event_log.write_events import Result, Written, write_events
from models.live_state.record_excerpt import read_excerpt
from service.api.dependencies import MAY_WRITE, AppContainer
from service.api.event_parsing import (
    SCHEMA,
    EventReader,
    entries_of,
    slices,
)
from service.api.openapi import problems
from service.api.request_body import documented, json_body
from service.container import Container

router = APIRouter(prefix="/pymk", tags=["people"])

CHECKED_AT_ONCE = 500
"""entries of a body; other requests run in between"""
WRITE_WAIT_FACTOR = 10
"""how much longer a write may take than a read: a store that syncs each write waits for its disk"""
_REPRESENTATION = re.compile(r"\breturn\s*=\s*\"?representation\b", re.IGNORECASE)


class EventsAnswer(BaseModel):
    """The events that were written and are in effect."""

    accepted: int
    """those that were new and had an effect: a repeated event is acknowledged without an effect, and so is one that
    names an erased user whose id no PUT has registered again"""
    full: int | None = None
    """those for which a live record has no room: if that is the user's own they have no effect; if it is the other's
    they are in effect for the user alone, and for the other after the next night. Absent if there are none"""
    results: list[Result] | None = None
    """what became of each event, in the order of the body; only with `Prefer: return=representation`"""


@router.post(
    "/events",
    status_code=HTTPStatus.ACCEPTED,
    dependencies=[MAY_WRITE],
    responses=problems(401, 403, 413, 422, 503),
    openapi_extra=documented(SCHEMA),
    response_model_exclude_none=True,
)
async def post(
    request: Request,
    response: Response,
    container: AppContainer,
    prefer: Annotated[str, Header(description="`return=representation` adds the result of each event.")] = "",
) -> EventsAnswer:
    """Record events. If any entry is wrong, nothing is written; what is acknowledged is never lost.

    The next list of either user reflects them. They take effect in the order of the list, whoever they concern, and
    after all that was acknowledged before, whatever `at` says. Events of one user with the same `event_id`, or with
    equal kind, users and `at`, are the same event for 48 hours.
    """
    events = await _events(request)
    written = await container.stores.requests.durably(lambda: _write(container, events), write_wait_s(container))
    answer = EventsAnswer(accepted=written.accepted, full=written.count(Result.FULL) or None)
    if _REPRESENTATION.search(prefer):
        answer.results = written.results
        response.headers["Preference-Applied"] = "return=representation"
    return answer


def write_wait_s(container: Container) -> float:
    """How long each operation of a write may take, seconds."""
    return container.settings.redis_timeout_ms / 1000 * WRITE_WAIT_FACTOR


async def _write(container: Container, events: Sequence[Event]) -> Written:
    """Writes the events; counts those that are in the log, also if the store fails midway."""
    erased, written = await _erased(container, events), Written()
    try:
        return await write_events(
            container.stores.requests,
            container.keys,
            events,
            after=container.live_sync.after,
            gone=erased,
            written=written,
        )
    finally:
        outcomes = {"duplicate": Result.DUPLICATE, "clamped": Result.CLAMPED, "gone": Result.GONE, "full": Result.FULL}
        counts = {outcome: written.count(result) for outcome, result in outcomes.items()}
        container.metrics.posted(accepted=written.accepted, **counts)
        if (canary := container.versions.canary) is not None:
            for event, result in zip(events, written.results, strict=False):  # some may not be written
                if result in (Result.ACCEPTED, Result.CLAMPED):
                    canary.acted(event.user_id, event.kind)


async def _events(request: Request) -> list[Event]:
    """The events of the body. Raises ProblemError 422."""
    entries = entries_of(await json_body(request))
    reader = EventReader()
    for part in slices(entries, CHECKED_AT_ONCE):
        reader.read(part)
        if len(entries) > CHECKED_AT_ONCE:
            await asyncio.sleep(0)
    if (problem := reader.problem()) is not None:
        raise problem
    return reader.events


async def _erased(container: Container, events: Sequence[Event]) -> set[str]:
    """The users in the events who were erased and not registered again by a PUT."""
    store, keys, live_sync = container.stores.requests, container.keys, container.live_sync
    erased: dict[str, int] = {}
    for part in slices(events, CHECKED_AT_ONCE):
        erased |= await live_sync.erased({user_id for event in part for user_id in (event.user_id, event.other_id)})
    gone = set()
    for user_id, packed in zip(erased, await store.get_many([*map(keys.live, erased)]), strict=True):
        with suppress(CorruptRecordError):  # nobody is shown them; a repair reads what the log has
            if (await read_excerpt(packed)).profile <= erased[user_id]:
                gone.add(user_id)
    return gone
