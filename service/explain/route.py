"""The route that explains why a person is, or is not, suggested to a viewer, and what it reads of the two."""

from http import HTTPStatus

from fastapi import APIRouter, Request

from models.errors import CorruptRecordError
from models.live_state.edges import derive_one
from models.live_state.record_excerpt import read_excerpt
from models.schema.vocabulary import UserId
from models.settings import CONTEXTS
from models.system.clock import DAY_US, now_us
from service.api.dependencies import (
    MAY_ADMINISTER,
    AppContainer,
    PathOther,
    PathUser,
    Served,
    record_of,
)
from service.api.openapi import problems
from service.container import Container
from service.explain.explain import Pair, why
from service.explain.schema import WhyAnswer
from service.recommend.responses import read_block
from service.recommend.viewer_loader import Loaded
from service.state.served_version import ServedVersion
from service.web.problems import ProblemError, damaged, invalid

router = APIRouter(prefix="/pymk", tags=["people"])


@router.get(
    "/users/{user_id}/why/{other_id}", dependencies=[MAY_ADMINISTER], responses=problems(401, 403, 404, 422, 503)
)
async def why_of(
    user_id: PathUser,
    other_id: PathOther,
    request: Request,
    served: Served,
    container: AppContainer,
    context: str = CONTEXTS[0],
) -> WhyAnswer:
    """Why the other is, or is not, suggested to the user: sources, features, contributions, score and rules.

    Either may be a newcomer, of whom the version knows nothing yet; no newcomer is suggested before the next night.
    """
    if context not in (known := container.settings.all_contexts):
        raise invalid("context", f"must be one of {', '.join(sorted(known))}")
    # the list that the viewer is shown, of the version and by the rules of the viewer's arms
    own, previous = container.versions.of(user_id)
    served, _ = container.experiments.arms.versions(user_id, own or served, previous)
    viewer, live = await _load(container, served, user_id, "user_id")
    other, _ = await _load(container, served, other_id, "other_id")
    relationship = derive_one(
        0,
        (await read_excerpt(live, [other_id])).edges.get(other_id, {}),
        cut=0,
        refused_after=now_us() - container.settings.forbidden_days * DAY_US,
    )
    pair = Pair(viewer.viewer, other.viewer, relationship)
    return why(served, pair, viewer.block, context, record_of(request).request_id)


async def _load(
    container: Container, served: ServedVersion, user_id: UserId, parameter: str
) -> tuple[Loaded, bytes | None]:
    """A user in a version with their candidates, and their live record. Raises ProblemError 404 if there is no user."""
    store, loader = container.stores.requests, container.loader
    row = served.tables.vocabulary.row(user_id)
    keys = [*container.keys.viewer_records(served.version, user_id, row), container.keys.hidden_epoch]
    live, *block, epoch = await store.get_many(keys)
    await container.live_sync.hidden(epoch)
    try:
        await loader.prepare(served, user_id, row, live)
        loaded = loader.load(served, user_id, row, live)
    except CorruptRecordError as error:
        raise damaged(
            error, f"the record of this user does not read back ({parameter})", parameter=parameter
        ) from error
    view = loaded.viewer.view
    if (view is None and loaded.viewer.row is None) or (view is not None and view.is_gone):
        raise ProblemError(
            HTTPStatus.NOT_FOUND, f"no user of this id is known ({parameter})", members={"parameter": parameter}
        )
    if loaded.missing:
        loaded = loader.complete(served, loaded, await store.get_many(loaded.missing))
    if loaded.viewer.row is not None:
        loaded = loaded._replace(block=read_block(served, loaded.viewer, block[0], loader.degrade))
    return loaded, live
