"""The routes that erase a user and report the progress of an erasure."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import AwareDatetime, BaseModel

from models.errors import CorruptRecordError
from models.event_log.write_profile import write_erasure
from models.live_state.erasure_receipts import (
    Remains,
    State,
    erasure_by_receipt,
    erasure_of,
    open_erasure,
)
from models.live_state.record_excerpt import read_excerpt
from models.schema.vocabulary import UserId
from models.system.clock import MICROSECONDS
from service.api.dependencies import MAY_WRITE, AppContainer, PathUser
from service.api.events import write_wait_s
from service.api.openapi import problems
from service.container import Container
from service.web.problems import ProblemError, damaged

router = APIRouter(prefix="/pymk", tags=["people"], dependencies=[MAY_WRITE])


class Receipt(BaseModel):
    """The receipt by which the progress of an erasure is read."""

    receipt: str


class ErasureAnswer(BaseModel):
    """The progress of an erasure."""

    receipt: str
    state: State
    """hidden: the user is in no answer; done: nothing made before the erasure is left"""
    erased_at: AwareDatetime
    done_at: AwareDatetime | None = None
    waits_for: list[Remains] = []
    """what must happen before it is done, as of the worker's last check"""


@router.delete("/users/{user_id}", status_code=HTTPStatus.ACCEPTED, responses=problems(401, 403, 422, 503))
async def erase(user_id: PathUser, container: AppContainer) -> Receipt:
    """Erase a user, known or not: hidden when this answers, and removed from all stored data after the next night.

    A repeated request returns the same receipt, unless a PUT has registered the id again meanwhile.
    """
    receipt = await container.stores.requests.durably(lambda: _erase(container, user_id), write_wait_s(container))
    return Receipt(receipt=receipt)


@router.get("/erasures/{receipt}", responses=problems(401, 403, 404, 503))
async def erasure(
    receipt: Annotated[str, Path(description="What the DELETE answered.")], container: AppContainer
) -> ErasureAnswer:
    """The progress of an erasure."""
    try:
        opened = await erasure_by_receipt(container.stores.requests, container.keys, receipt)
    except CorruptRecordError as error:
        raise damaged(
            error, "the record of this erasure does not read back; a repeated DELETE writes it anew"
        ) from error
    if opened is None:
        raise ProblemError(HTTPStatus.NOT_FOUND, "no erasure has this receipt")
    timestamp_us, record = opened
    state = record.state(timestamp_us)
    return ErasureAnswer(
        receipt=receipt,
        state=state,
        erased_at=_utc(timestamp_us),
        done_at=_utc(record.done_at) if state is State.DONE and record.done_at else None,
        waits_for=list(record.waits_for) if state is State.HIDDEN else [],
    )


async def _erase(container: Container, user_id: UserId) -> str:
    """Hides a user and opens the erasure; returns the receipt."""
    store, keys = container.stores.requests, container.keys
    try:
        before = await erasure_of(store, keys, user_id)
    except CorruptRecordError:  # it is written anew
        before = None
    if before is not None:
        receipt, erasure = before
        with suppress(CorruptRecordError):  # a damaged record is erased like any other
            record = await read_excerpt(await store.get(keys.live(user_id)))
            if record.profile <= erasure.timestamp_us:
                return receipt
    versions = container.versions.open
    in_version = not versions or any(served.tables.vocabulary.row(user_id) is not None for served in versions)
    timestamp_us = await write_erasure(store, keys, user_id, in_version=in_version, after=container.live_sync.after)
    await store.delete(list(_lists(container, user_id)))
    return await open_erasure(store, keys, user_id, timestamp_us, is_known=False)


def _lists(container: Container, user_id: UserId) -> Iterator[str]:
    """The keys of a user's cached lists and newcomer records in the versions that this process has open."""
    contexts = container.settings.all_contexts
    for served in container.versions.open:
        yield container.keys.newcomer(served.version, user_id)
        row = served.tables.vocabulary.row(user_id)
        if row is not None:
            yield from (container.keys.ranked(served.version, row, context) for context in contexts)


def _utc(timestamp_us: int) -> datetime:
    return datetime.fromtimestamp(timestamp_us / MICROSECONDS, UTC)
