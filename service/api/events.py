"""POST /pymk/events: the events of a body are checked as a whole, then written, then acknowledged."""

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
"""entries of a body; other requests run in between"""


class EventsAnswer(BaseModel):
    """The events that were written and are in effect."""

    accepted: int
    """those that were new and had an effect: a repeated event is acknowledged without an effect, and so is one that
    names an erased user whose id no PUT has registered again"""


@router.post(
    "/events",
    status_code=HTTPStatus.ACCEPTED,
    dependencies=[MAY_WRITE],
    responses=problems(401, 403, 413, 422, 503),
    openapi_extra=documented(SCHEMA),
)
async def post(request: Request, container: AppContainer) -> EventsAnswer:
    """Record events. If any entry is wrong, nothing is written; what is acknowledged is never lost.

    The next list of either user reflects them. The order is that of acknowledgement, whatever `at` says. Events of one
    user with the same `event_id`, or with equal kind, users and `at`, are the same event for 48 hours.
    """
    events = await _events(request)
    erased = await _erased(container, events)
    store, keys = container.stores.requests, container.keys
    written = await write_events(store, keys, events, watermark=container.live_sync.state.watermark, gone=erased)
    container.metrics.posted(
        accepted=written.accepted, duplicate=written.duplicates, clamped=written.clamped, gone=written.dropped
    )
    return EventsAnswer(accepted=written.accepted)


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
    await live_sync.hidden(await store.get(keys.hidden_epoch))
    erased: dict[str, int] = {}
    for part in slices(events, CHECKED_AT_ONCE):
        erased |= await live_sync.erased({user_id for event in part for user_id in (event.user_id, event.other_id)})
        if len(events) > CHECKED_AT_ONCE:
            await asyncio.sleep(0)
    records = await read_records(store, keys, sorted(erased)) if erased else {}
    return {user_id for user_id, record in records.items() if record.profile <= erased[user_id]}
