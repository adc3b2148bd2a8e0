"""POST /pymk/recommendations: lists for many people at once, made as GET makes one."""

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from time import perf_counter
from typing import Any

import orjson
import structlog
from fastapi import APIRouter, Request, Response
from starlette.background import BackgroundTask

from models.errors import StoreError
from models.schema.columns import user_id_fault
from models.schema.vocabulary import UserId
from models.settings import CONTEXTS
from models.system.known_names import unknown_name
from service.api.dependencies import MAY_READ, AppContainer, Served, record_of
from service.api.openapi import problems
from service.api.recommendation_params import PATH, check_fields
from service.api.recommendations import server_timing
from service.api.request_body import documented, json_object
from service.api.schemas import BatchAnswer
from service.metrics import Metrics
from service.ranking.trace import Trace
from service.recommend.behind.exposure_log import ExposureLog
from service.recommend.list_document import document
from service.recommend.online import WAIT
from service.recommend.query import DEFAULT_LIMIT, MOST, Query
from service.recommend.responses import UNAVAILABLE, Answer
from service.recommend.shown_profiles import ShownProfiles, column_fault
from service.state.canary import ServedCanary
from service.state.served_version import ServedVersion
from service.state.version_watcher import ServedVersions
from service.web.compression import HEADERS
from service.web.problems import ProblemError, invalid_all, of_error

MOST_PEOPLE = 100
"""people of one request"""
MOST_NAMED = 20
"""faults of a body that an answer names at most"""

router = APIRouter(tags=["people"])

_BODY = {
    "type": "object",
    "title": "BatchRequest",
    "required": ["user_ids"],
    "additionalProperties": False,
    "properties": {
        "user_ids": {
            "type": "array",
            "maxItems": MOST_PEOPLE,
            "items": {"type": "string", "minLength": 1, "maxLength": 128},
            "description": "The viewers, each of whom gets a list; the same one may be named twice.",
        },
        "limit": {"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT_LIMIT},
        "context": {"type": "string", "default": CONTEXTS[0], "description": "As in GET."},
        "fields": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Profile columns that entries show in `profile`.",
        },
    },
    "example": {"user_ids": ["alice", "bob"], "limit": 10, "context": "email"},
}
_NAMES: tuple[str, ...] = tuple(_BODY["properties"])  # type: ignore[arg-type]  # of the literal above


@dataclass(frozen=True, slots=True)
class BatchQuery:
    """What one request asks for."""

    user_ids: tuple[UserId, ...]
    limit: int
    context: str
    fields: tuple[str, ...] = ()


@router.post(
    PATH,
    dependencies=[MAY_READ],
    response_model=BatchAnswer,
    responses=problems(401, 403, 413, 422, 503),
    openapi_extra=documented(_BODY),
)
async def recommendations_of_many(request: Request, served: Served, container: AppContainer) -> Response:
    """Lists for up to 100 viewers at once, in their order: the same ranking, rules and cache as for one.

    A viewer whose list cannot be made, such as for a damaged record, gets an entry with `served: "unavailable"` and
    `detail`, and the others their lists.
    """
    record, versions = record_of(request), container.versions
    query = parse_body(await json_object(request), container.settings.all_contexts)
    fresh = b"no-cache" in record.headers.get(b"cache-control", b"").lower()
    check_fields(query.fields, partial(column_fault, tables=served.tables), "body")
    # the lists
    queries = [Query(user_id, query.limit, query.context) for user_id in query.user_ids]
    traces = [Trace() for _ in queries]
    canary, own = versions.canary, [_versions(versions, query.user_id, served) for query in queries]
    try:
        made = await container.recommender.answers(queries, own, traces, fresh=fresh) if queries else []
        if query.fields:
            made = await _with_profiles(container.profiles, made, query.fields, [version for version, _ in own])
        _tell_faults(made, record.request_id)
    except Exception as error:
        if canary is not None:
            for asked in queries:
                canary.failed(asked.user_id)
        if isinstance(error, StoreError):
            raise _unavailable(container.metrics, error, len(queries)) from error
        raise
    pairs = zip(made, own, strict=True)
    answers = [one if isinstance(one, Answer) else Answer(UNAVAILABLE, of.version, b"") for one, (of, _) in pairs]
    # the answer, its counts and its stages
    if canary is not None:
        _count_of_canary(canary, queries, answers)
    if any(isinstance(one, StoreError) for one in made):
        container.metrics.degraded.labels("store").inc()
    record.facts["lists"] = dict(Counter(answer.served for answer in answers))
    record.facts |= _versions_told(answers, served)
    stages = _counted(container.metrics, answers, traces)
    lists = [document(user_id, record.request_id, one) for user_id, one in zip(query.user_ids, answers, strict=True)]
    for at, one in enumerate(made):
        if not isinstance(one, Answer):
            lists[at] = b'%b,"detail":%b}' % (lists[at][:-1], orjson.dumps(of_error(one).detail))
    headers = {"Server-Timing": server_timing({**stages, "total": perf_counter() - record.started}).decode()}
    body = b'{"lists":[%b]}' % b",".join(lists)
    packed = await container.compression.compressed(body, record.headers.get(b"accept-encoding"))
    if packed is not None:
        headers |= {name.decode(): value.decode() for name, value in HEADERS}
    behind = BackgroundTask(_record, container.exposure_log, record.request_id, queries, answers)
    sent = body if packed is None else packed
    return Response(sent, headers=headers, media_type="application/json", background=behind)


def _count_of_canary(canary: ServedCanary, queries: Sequence[Query], answers: Sequence[Answer]) -> None:
    """Counts lists, and those that could not be made, for the canary's side or the other."""
    for asked, answer in zip(queries, answers, strict=True):
        if answer.served == UNAVAILABLE:
            canary.failed(asked.user_id)
        else:
            canary.answered(asked.user_id, answer.served, answer.exposed, None)


def _versions_told(answers: Sequence[Answer], served: ServedVersion) -> dict[str, Any]:
    """What the log says of versions: the active one, and how many lists are of which if some are of another."""
    lists = Counter(answer.version for answer in answers)
    return {"version": served.version} | ({"lists_of_version": dict(lists)} if lists.keys() - {served.version} else {})


def _versions(
    versions: ServedVersions, user_id: UserId, served: ServedVersion
) -> tuple[ServedVersion, ServedVersion | None]:
    """The version of a viewer's list, and the one that stands in; `served` is the active one of the request."""
    own, previous = versions.of(user_id)
    return own or served, previous


async def _with_profiles(
    profiles: ShownProfiles,
    made: Sequence[Answer | Exception],
    fields: Sequence[str],
    versions: Sequence[ServedVersion],
) -> list[Answer | Exception]:
    """The answers with profiles, each of the version of its viewer; a fault of one version is that of its lists.

    Raises StoreUnavailableError.
    """
    shown = list(made)
    for version in {one.version: one for one in versions}.values():
        own = {
            at: one
            for at, (one, of) in enumerate(zip(made, versions, strict=True))
            if isinstance(one, Answer) and of.version == version.version
        }
        try:
            shown_of = await profiles.added(list(own.values()), fields, version)
        except StoreError:
            raise
        except Exception as error:
            shown = [error if at in own else one for at, one in enumerate(shown)]
        else:
            for at, answer in zip(own, shown_of, strict=True):
                shown[at] = answer
    return shown


def _tell_faults(made: Sequence[Answer | Exception], request_id: str) -> None:
    """Logs faults of the service among lists that were asked for; raises the first if each list is one."""
    faults = [
        one for one in made if isinstance(one, Exception) and of_error(one).status is HTTPStatus.INTERNAL_SERVER_ERROR
    ]
    if not faults:
        return
    if len(faults) == len(made):
        raise faults[0]
    structlog.get_logger().error(
        "lists_not_made", request_id=request_id, route=PATH, lists=len(faults), exc_info=faults[0]
    )


async def _record(log: ExposureLog, request_id: str, queries: Sequence[Query], answers: Sequence[Answer]) -> None:
    """Records the lists of an answer that was sent; other requests are answered between two lists."""
    for query, answer in zip(queries, answers, strict=True):
        log.add(request_id, query, answer)
        await asyncio.sleep(0)


def _unavailable(metrics: Metrics, error: StoreError, lists: int) -> ProblemError:
    """The problem of a store that does not answer; counts it once, and every list."""
    metrics.degraded.labels("store").inc()
    for _ in range(lists):
        metrics.listed(UNAVAILABLE, {}, {}, {})
    problem = of_error(error)
    problem.members["served"] = UNAVAILABLE
    return problem


def _counted(metrics: Metrics, answers: list[Answer], traces: list[Trace]) -> dict[str, float]:
    """Counts every list; returns the seconds of each stage, summed over the lists."""
    total: dict[str, float] = {}
    for answer, trace in zip(answers, traces, strict=True):
        stages = trace.stages()
        stages.pop(WAIT, None)
        metrics.listed(answer.served, stages if answer.served != UNAVAILABLE else {}, trace.drops, trace.moved)
        for stage, seconds in stages.items():
            total[stage] = total.get(stage, 0.0) + seconds
    return total


def parse_body(body: Mapping[str, Any], contexts: Collection[str]) -> BatchQuery:
    """The query of a body. Raises ProblemError 422 that names what is wrong with each part."""
    faults = list(_faults(body, contexts))
    if faults:
        raise invalid_all([(name, "body", fault) for name, fault in faults[:MOST_NAMED]])
    return BatchQuery(
        tuple(map(UserId, body["user_ids"])),
        body.get("limit", DEFAULT_LIMIT),
        body.get("context", CONTEXTS[0]),
        tuple(dict.fromkeys(body.get("fields", ()))),
    )


def _faults(body: Mapping[str, Any], contexts: Collection[str]) -> Iterator[tuple[str, str]]:
    """(name of a part, what is wrong with it)."""
    for name in body:
        if name not in _NAMES:
            yield name, unknown_name(name, "member of this body", _NAMES)
    user_ids = body.get("user_ids")
    if not isinstance(user_ids, list):
        yield "user_ids", "must be a list of the ids of the viewers"
    elif len(user_ids) > MOST_PEOPLE:
        yield "user_ids", f"names {len(user_ids)} people; at most {MOST_PEOPLE} are allowed"
    else:
        for at, user_id in enumerate(user_ids):
            if not isinstance(user_id, str):
                yield f"user_ids.{at}", "must be a string of 1-128 bytes without control characters"
            elif fault := user_id_fault(user_id):
                yield f"user_ids.{at}", f"{fault}; it must be 1-128 bytes without control characters"
    limit = body.get("limit", DEFAULT_LIMIT)
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST:
        yield "limit", f"must be a whole number from 1 to {MOST}"
    context = body.get("context", CONTEXTS[0])
    if not isinstance(context, str) or context not in contexts:
        yield "context", f"must be one of {', '.join(sorted(contexts))}"
    fields = body.get("fields", [])
    if not isinstance(fields, list) or not all(isinstance(column, str) for column in fields):
        yield "fields", "must be a list of names of profile columns"
