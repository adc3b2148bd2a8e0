"""GET /pymk/recommendations as a plain ASGI application, since it is the hot route."""

from collections.abc import Collection, Mapping
from functools import cache, partial
from http import HTTPStatus
from time import perf_counter

from starlette.types import Receive, Scope, Send

from models.errors import PymkError, StoreError
from models.settings import CONTEXTS
from service.api.recommendation_params import PATH, check_fields, parse
from service.metrics import Metrics
from service.ranking.trace import Trace
from service.recommend.behind.exposure_log import ExposureLog
from service.recommend.list_document import document
from service.recommend.online import OnlineRecommender
from service.recommend.query import Query
from service.recommend.responses import UNAVAILABLE, Answer
from service.recommend.shown_profiles import ShownProfiles, column_fault
from service.state.version_watcher import ServedVersions
from service.web.auth import READ, Access
from service.web.compression import HEADERS, Compression
from service.web.middleware import answer_problem
from service.web.problems import ProblemError, of_error, unavailable
from service.web.record import RECORD, Record
from service.web.whole_response import send_whole

ALLOW = "GET, HEAD, OPTIONS, POST"


@cache
def _timing(stages: tuple[str, ...]) -> bytes:
    """The template of a Server-Timing header with these stages, to be filled with their milliseconds."""
    return ", ".join([f"{stage};dur=%.3f" for stage in stages]).encode()


def server_timing(stages: Mapping[str, float]) -> bytes:
    """The Server-Timing header of the seconds of stages."""
    return _timing(tuple(stages)) % tuple([seconds * 1000 for seconds in stages.values()])


_FIXED_HEADERS = ((b"content-type", b"application/json"), (b"cache-control", b"private, no-store"))


class Recommendations:
    """Checks the key, parses the query, calls the recommender, joins the answer."""

    def __init__(
        self,
        versions: ServedVersions,
        recommender: OnlineRecommender,
        profiles: ShownProfiles,
        access: Access,
        metrics: Metrics,
        compression: Compression,
        contexts: Collection[str],
        exposure_log: ExposureLog,
    ) -> None:
        self._versions = versions
        self._recommender = recommender
        self._profiles = profiles
        self._access = access
        self._metrics = metrics
        self._compression = compression
        self._exposure_log = exposure_log
        self._contexts = frozenset(contexts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request of any method; expects its Record in the scope."""
        record: Record = scope[RECORD]
        record.route = PATH
        trace = Trace()
        try:
            query, answer, stages = await self._answer(scope, record, trace)
        except PymkError as error:
            await answer_problem(self._problem(error), record, send)
            return
        body = document(query.user_id, record.request_id, answer)
        record.status = 200
        stages["total"] = perf_counter() - record.started
        timing = server_timing(stages)
        headers = [
            *_FIXED_HEADERS,
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", record.request_id.encode()),
            (b"server-timing", timing),
            *record.rate,
        ]
        if len(body) > self._compression.above_bytes:
            body, headers = await self._compressed(body, headers, record)
        await send_whole(send, 200, headers, body)
        self._exposure_log.add(record.request_id, query, answer)

    async def _answer(self, scope: Scope, record: Record, trace: Trace) -> tuple[Query, Answer, dict[str, float]]:
        """The query, its answer, and the seconds of each stage."""
        headers = record.headers
        if scope["method"] != "GET":
            raise ProblemError(
                HTTPStatus.METHOD_NOT_ALLOWED, "GET and POST are answered here", headers={"Allow": ALLOW}
            )
        if self._access.is_limited:
            await self._access.admit(record, READ)
        else:
            record.key = self._access.check(headers.get(b"authorization"), READ)
        query = parse(scope["query_string"], self._contexts, CONTEXTS[0])
        record.user_id = query.user_id
        # pinned here: the answer is of one version, whatever is switched while this request waits
        canary, (version, previous) = self._versions.canary, self._versions.of(query.user_id)
        if version is None:
            raise unavailable("no version is active yet; pymk nightly DATA publishes one", served=UNAVAILABLE)
        if query.fields:
            check_fields(query.fields, partial(column_fault, tables=version.tables))
        fresh = b"no-cache" in headers.get(b"cache-control", b"").lower()
        try:
            answer = await self._recommender.answer(query, version, previous, trace, fresh=fresh)
            if query.fields:
                (answer,) = await self._profiles.added((answer,), query.fields, version)
                trace.marks.append(("profiles", perf_counter()))
        except Exception:
            if canary is not None:
                canary.failed(query.user_id)
            raise
        if canary is not None:
            canary.answered(query.user_id, answer.served, answer.exposed, perf_counter() - record.started)
        record.facts["served"] = answer.served
        record.facts["version"] = answer.version
        stages = trace.stages()
        self._metrics.listed(answer.served, stages, trace.drops, trace.moved)
        return query, answer, stages

    async def _compressed(
        self, body: bytes, headers: list[tuple[bytes, bytes]], record: Record
    ) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """The body and the headers of a large answer, compressed if the client accepts that."""
        packed = await self._compression.compressed(body, record.headers.get(b"accept-encoding"))
        if packed is None:
            return body, headers
        lengths = ((b"content-length", b"%d" % len(packed)), *HEADERS)
        return packed, [*(header for header in headers if header[0] != b"content-length"), *lengths]

    def _problem(self, error: PymkError) -> ProblemError:
        problem = of_error(error)
        if isinstance(error, StoreError):
            self._metrics.degraded.labels("store").inc()
            problem.members["served"] = UNAVAILABLE
        if problem.status is HTTPStatus.SERVICE_UNAVAILABLE:
            self._metrics.listed(UNAVAILABLE, {}, {}, {})
        return problem
