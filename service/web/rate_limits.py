"""Token buckets: how many requests a second a key, or an address, may make within a scope."""

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from math import ceil

from models.errors import StoreError
from models.setting_texts import RateLimit
from service.metrics import Metrics
from service.web.problems import ProblemError
from service.web.record import Record

MOST_BUCKETS = 10_000
"""buckets of a process; the one used longest ago is dropped first, and is full when it comes back"""

TakeShared = Callable[[str, RateLimit], Awaitable[float]]
"""takes a token of a named bucket that all processes share; returns what is left, below 0 if there was none"""


class TokenBuckets:
    """Buckets by name in this process. `clock` gives seconds that never go back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """by name, tokens and the time of that count; the last used at the end"""

    def take(self, name: str, limit: RateLimit) -> float:
        """Takes a token; returns the tokens left, or if there was no whole one, what is missing, below 0."""
        now = self._clock()
        tokens, at = self._buckets.pop(name, (float(limit.burst), now))
        tokens = min(limit.burst, tokens + (now - at) * limit.rate)
        left = tokens - 1
        self._buckets[name] = (left if left >= 0 else tokens, now)
        if len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        return left


class RateLimiter:
    """Takes a token for each request of a limited scope.

    With `shared` the buckets are in the store. If the store does not answer, those of this process count, so that a
    request is neither refused nor unlimited for that reason.
    """

    def __init__(
        self,
        limits: Mapping[str, RateLimit],
        metrics: Metrics,
        *,
        by_address: bool = False,
        shared: TakeShared | None = None,
        buckets: TokenBuckets | None = None,
    ) -> None:
        self._limits = dict(limits)
        self._metrics = metrics
        self._by_address = by_address
        self._shared = shared
        self._buckets = buckets or TokenBuckets()
        self._policies = {
            scope: f'"{scope}";q={limit.burst};w={ceil(limit.burst / limit.rate)}'.encode()
            for scope, limit in self._limits.items()
        }

    async def take(self, record: Record, scope: str) -> None:
        """Returns if the caller of the record may ask, and notes the headers that say what is left.

        Raises ProblemError 429 with the seconds after which to ask again.
        """
        limit = self._limits.get(scope)
        if limit is None:
            return
        caller = record.client if self._by_address or record.key is None else record.key
        left = await self._left(f"{scope}:{caller}", limit)
        # the headers of draft-ietf-httpapi-ratelimit-headers: tokens left, seconds until the bucket is full again
        full_s = ceil((limit.burst - max(0.0, left)) / limit.rate)
        record.rate = (
            (b"ratelimit-policy", self._policies[scope]),
            (b"ratelimit", f'"{scope}";r={max(0, int(left))};t={full_s}'.encode()),
        )
        if left < 0:
            wait_s = max(1, ceil(-left / limit.rate))
            raise ProblemError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"more than {limit.rate:g} requests a second that need {scope} (PYMK_RATE_LIMITS); wait {wait_s} s",
                headers={"Retry-After": str(wait_s)},
            )

    async def _left(self, bucket: str, limit: RateLimit) -> float:
        if self._shared is not None:
            try:
                return await self._shared(bucket, limit)
            except StoreError:
                self._metrics.degraded.labels("rate_limit").inc()
        return self._buckets.take(bucket, limit)
