"""The route that tells why somebody is, or is not, suggested to a viewer, and what it reads of the two."""

from http import HTTPStatus
from time import time_ns

from fastapi import APIRouter, Request

from models.candidate_refresh.refresher import DAY_US
from models.errors import CorruptRecordError
from models.live_state.edges import derive_one
from models.live_state.user_record import LiveRecord
from models.settings import CONTEXTS
from models.version.candidate_block import Block
from service.api.dependencies import (
    MAY_ADMINISTER,
    AppParts,
    PathOther,
    PathUser,
    Served,
    record_of,
)
from service.api.openapi import problems
from service.container import Parts
from service.explain.explain import Pair, why
from service.explain.schema import WhyAnswer
from service.ranking.viewer import Viewer
from service.recommend.new_users import changed, met, newcomer_keys
from service.recommend.responses import read_block
from service.state.served_version import ServedVersion
from service.web.problems import ProblemError, invalid

router = APIRouter(prefix="/pymk", tags=["people"])


@router.get(
    "/users/{user_id}/why/{other_id}", dependencies=[MAY_ADMINISTER], responses=problems(401, 403, 404, 422, 503)
)
async def why_of(
    user_id: PathUser,
    other_id: PathOther,
    request: Request,
    served: Served,
    parts: AppParts,
    context: str = CONTEXTS[0],
) -> WhyAnswer:
    """Why the other is, or is not, suggested to the user: sources, features, contributions, score and rules.

    Either may be a newcomer, of whom the version knows nothing yet; nobody is suggested before a night knows them.
    """
    if context not in (known := {*CONTEXTS, *parts.settings.contexts}):
        raise invalid("context", f"must be one of {', '.join(sorted(known))}")
    (viewer, block), (other, _) = [
        await _person(parts, served, one, parameter)
        for one, parameter in ((user_id, "user_id"), (other_id, "other_id"))
    ]
    packed = await parts.stores.requests.get(parts.keys.live(user_id))
    holds = derive_one(
        0,
        LiveRecord.unpack(packed).edges.get(other_id, {}),
        cut=0,
        refused_after=time_ns() // 1000 - parts.settings.forbidden_days * DAY_US,
    )
    return why(served, Pair(viewer, other, holds), block, context, record_of(request).request_id)


async def _person(parts: Parts, served: ServedVersion, user_id: str, parameter: str) -> tuple[Viewer, Block | None]:
    """Somebody by what is live, and the candidates of them. Raises ProblemError 404 where nobody has the id."""
    person = await parts.following.viewer(served, user_id)
    view = person.view
    if (view is None and person.row is None) or (view is not None and view.is_gone):
        raise ProblemError(
            HTTPStatus.NOT_FOUND, f"no user of this id is known ({parameter})", members={"parameter": parameter}
        )
    store, keys, tables = parts.stores.requests, parts.keys, served.tables
    if person.row is None:
        record, profile = await store.get_many(newcomer_keys(keys, served.version, user_id))
        try:
            return met(person, tables, record, profile)
        except CorruptRecordError:
            parts.metrics.degraded.labels("corrupt_newcomer").inc()
            return person, None
    packed, profile = await store.get_many([keys.block(served.version, person.row), keys.live_profile(user_id)])
    person = changed(person, tables, served.manifest.cut_us, profile)
    try:
        return person, read_block(
            packed, person.row, tables.n
        ) if packed is not None and person.row is not None else None
    except CorruptRecordError:
        parts.metrics.degraded.labels("corrupt_block").inc()
        return person, None
