"""A store whose trips are counted into histograms by operation."""

from bisect import bisect_left
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from time import perf_counter
from typing import Any, cast

from models.store.protocol import AsyncStore

Series = MutableMapping[tuple[str, ...], list[float]]
"""by operation the count in each bucket, and the sum of the seconds; a missing operation is made"""


_READS = ("get", "get_many")


class _TimedStore:
    def __init__(self, store: AsyncStore, bounds: Sequence[float], series: Series) -> None:
        for name in vars(AsyncStore):
            if not name.startswith("_") and name != "aclose":
                setattr(self, name, _timed(store, name, bounds, series))
        self.aclose = store.aclose


def _timed(store: AsyncStore, name: str, bounds: Sequence[float], series: Series) -> Callable[..., Awaitable[Any]]:
    labels = (name,)

    def count(seconds: float) -> None:
        numbers = series[labels]
        numbers[bisect_left(bounds, seconds)] += 1
        numbers[-1] += seconds

    async def call(*arguments: Any, **named: Any) -> Any:
        started = perf_counter()
        try:
            return await getattr(store, name)(*arguments, **named)
        finally:
            count(perf_counter() - started)

    async def read(keys: Any) -> Any:
        """As `call`, for the operations of every list: it costs them a microsecond instead of two."""
        started = perf_counter()
        try:
            return await getattr(store, name)(keys)
        finally:
            seconds = perf_counter() - started
            numbers = series[labels]
            numbers[bisect_left(bounds, seconds)] += 1
            numbers[-1] += seconds

    return read if name in _READS else call


def timed(store: AsyncStore, bounds: Sequence[float], series: Series) -> AsyncStore:
    """The same store; each call of an operation counts once, failed calls too. `bounds` are those of the buckets."""
    return cast("AsyncStore", _TimedStore(store, bounds, series))
