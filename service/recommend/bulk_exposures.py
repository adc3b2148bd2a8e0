"""Records the lists of `pymk recommend --log` in the exposure log, a batch at a time."""

import random
from collections.abc import Sequence
from itertools import count
from secrets import randbits, token_hex

from models.errors import StoreError
from models.outcomes.exposure_record import batches
from models.store.keys import Keys
from models.store.protocol import SyncStore
from models.system.clock import now_us
from service.recommend.behind.exposure_log import TTL_S, most_batches, record_of
from service.recommend.query import Query
from service.recommend.responses import Answer


class BulkExposures:
    """Gives every list a request id and records the lists, as the service does for those over HTTP."""

    def __init__(self, store: SyncStore, keys: Keys, *, share: float, most_mb: int) -> None:
        """`share` of the lists is recorded; `most_mb` megabytes of the store are used at most."""
        self.logged = 0
        self.lost = 0
        """lists that the store did not take, or may not have taken"""
        self._store, self._key, self._share, self._most = store, keys.exposure_log, share, most_batches(most_mb)
        self._process, self._prefix, self._numbers = randbits(64), token_hex(6), count()
        self._recorded = 0

    def write(self, queries: Sequence[Query], answers: Sequence[Answer]) -> list[str]:
        """Records the lists of these answers; returns the request id of each."""
        request_ids = [f"{self._prefix}-{next(self._numbers):x}" for _ in queries]
        at, records = now_us(), []
        for request_id, query, answer in zip(request_ids, queries, answers, strict=True):
            is_drawn = self._share >= 1 or random.random() < self._share  # noqa: S311  # a sample, not a secret
            if is_drawn and (record := record_of(request_id, query, answer, at)) is not None:
                records.append(record)
        made = list(batches(self._process, self._recorded, records))
        self._recorded += len(records)
        try:
            taken = self._store.stream_offer(self._key, [one.pack() for one in made], self._most, TTL_S)
        except StoreError:  # the lists are made all the same
            taken = 0
        logged = sum(len(one.records) for one in made[:taken])
        self.logged, self.lost = self.logged + logged, self.lost + len(records) - logged
        return request_ids
