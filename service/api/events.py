"""POST /pymk/events: what people did, checked as a whole, then written, then acknowledged."""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus

from fastapi import APIRouter, Request
from pydantic import BaseModel

from models.event_log.event import Event
from models.event_log.write_events import read_records, write_events
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
"""entries of a body, so that other requests get their turn in between"""


class EventsAnswer(BaseModel):
    """Events that are written and in effect."""

    accepted: int
    """those that were new and had an effect: the same event again is acknowledged and does nothing more, nor does one
    that names somebody erased before a PUT makes a new person of the id"""


@router.post(
    "/events",
    status_code=HTTPStatus.ACCEPTED,
    dependencies=[MAY_WRITE],
    responses=problems(401, 403, 413, 422, 503),
    openapi_extra=documented(SCHEMA),
)
async def post(request: Request, container: AppContainer) -> EventsAnswer:
    """Tell what people did. Nothing is written where anything is wrong; what is acknowledged is never lost.

    The next list of either person heeds it. Order is that of acknowledgement, whatever `at` says. The same `event_id`
    of one person, or kind, people and `at` all equal, is the same event for 48 hours.
    """
    events = await _events(request)
    gone = await _gone(container, events)
    store, keys = container.stores.requests, container.keys
    written = await write_events(store, keys, events, watermark=container.live_sync.state.watermark, gone=gone)
    container.metrics.posted(
        accepted=written.accepted, duplicate=written.duplicates, clamped=written.clamped, gone=written.dropped
    )
    return EventsAnswer(accepted=written.accepted)


async def _events(request: Request) -> list[Event]:
    """The events of the body. Raises ProblemError 422."""
    entries = entries_of(await json_body(request))
    reader = EventReader()
    for some in slices(entries, CHECKED_AT_ONCE):
        reader.read(some)
        if len(entries) > CHECKED_AT_ONCE:
            await asyncio.sleep(0)
    if (problem := reader.problem()) is not None:
        raise problem
    return reader.events


async def _gone(container: Container, events: Sequence[Event]) -> set[str]:
    """The people among the events who were erased and did not come back by a PUT."""
    store, keys, following = container.stores.requests, container.keys, container.live_sync
    await following.hidden(await store.get(keys.hidden_epoch))
    erased: dict[str, int] = {}
    for some in slices(events, CHECKED_AT_ONCE):
        erased |= await following.erased({one for event in some for one in (event.user_id, event.other_id)})
        if len(events) > CHECKED_AT_ONCE:
            await asyncio.sleep(0)
    records = await read_records(store, keys, sorted(erased)) if erased else {}
    return {person for person, record in records.items() if record.profile <= erased[person]}
