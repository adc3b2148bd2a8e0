"""How long what the workers have to do has waited, by the store's clock."""

from dataclasses import dataclass

from models.candidate_refresh.refresh_queue import RefreshRequest
from models.candidate_refresh.replay import live_workers
from models.store.keys import SHARDS, Keys
from models.store.protocol import AsyncStore, SyncStore
from models.system.clock import MICROSECONDS


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for the workers."""

    live_workers: int
    oldest_entry_s: float
    """age of the oldest entry of the event log that is not processed; 0 if there is none"""
    oldest_refresh_s: float
    """for how long the refresh that is due first has been due; 0 if none is due"""


def read_backlog(store: SyncStore, keys: Keys) -> Backlog:
    """Raises StoreError."""
    ages = store.stream_ages_s([keys.log(shard) for shard in range(SHARDS)])
    oldest, now_us = store.queue_oldest(keys.refresh), store.clock_us()
    return Backlog(len(live_workers(store, keys)), _oldest(ages), _due_for_s(oldest, now_us))


async def read_backlog_async(store: AsyncStore, keys: Keys) -> Backlog:
    """As `read_backlog`, awaited."""
    ages = await store.stream_ages_s([keys.log(shard) for shard in range(SHARDS)])
    oldest, now_us = await store.queue_oldest(keys.refresh), await store.clock_us()
    names = sorted(await store.fields(keys.workers))
    reports = await store.get_many([keys.process(name) for name in names])
    live = sum(report is not None for report in reports)
    return Backlog(live, _oldest(ages), _due_for_s(oldest, now_us))


def _oldest(ages: list[float | None]) -> float:
    return max((age for age in ages if age is not None), default=0.0)


def _due_for_s(oldest: tuple[bytes, float] | None, now_us: int) -> float:
    """How long a member of the queue has been due; those who acted are queued ahead of their own change."""
    if oldest is None:
        return 0.0
    member, due_s = oldest
    request = RefreshRequest.decode(member)
    changed_s = 0.0 if request is None else request.timestamp_us / MICROSECONDS
    now_s = now_us / MICROSECONDS
    return max(0.0, now_s - (max(due_s, changed_s) if changed_s <= now_s else due_s))
