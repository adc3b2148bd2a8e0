"""The JSON of the people shown: score, sources and reasons, all from one version."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from models import sources
from models.live.newcomer import ProfileCodes
from models.sources import Source
from models.tables import Tables
from service.reasons import (
    SharedAttributes,
    attribute_text,
    mutual_connections,
    mutual_text,
)

_SOURCES = tuple(b',"sources":%b,"reasons":[' % orjson.dumps(sources.names(bits)) for bits in range(256))
"""by source bits, what stands between an entry's position and its reasons"""

_NEAR = np.uint8(Source.FRIENDS_OF_FRIENDS)
_AROUND = np.uint8(Source.RANDOM_WALK)
_IDS_KEPT = 1 << 16
_ATTRIBUTES_KEPT = 1 << 14
_COUNTS_KEPT = 1 << 12


class Told(NamedTuple):
    """What a viewer is told of the people shown (k)."""

    reasons: list[bytes]
    """of each the JSON without its brackets"""
    mutuals: NDArray[np.int64]
    """(k,) connections in common who may be named"""

    def sources(self, bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(k,) the source bits (k,) that may be told: a friend of a friend only where the friend may be named.

        Whoever was found through hidden friends alone was met on a walk, so that nothing seems to have been left out.
        """
        hidden = (self.mutuals == 0) & ((bits & _NEAR) != 0)
        return np.where(hidden, (bits & ~_NEAR) | _AROUND, bits) if hidden.any() else bits


class EntryEncoder:
    """Encodes people of one version for one viewer at a time; keeps the ids and texts that come up often.

    Holds one byte a user as scratch; one thread at a time.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._marks = np.zeros(tables.n, dtype=np.bool_)
        self._attributes = SharedAttributes(tables)
        vocabulary = tables.vocabulary

        @lru_cache(maxsize=_IDS_KEPT)
        def quoted(row: int) -> bytes:
            return b"%b" % orjson.dumps(vocabulary.user_id(row))  # a copy: orjson's own bytes take four kilobytes each

        self._quoted = quoted

    def told(self, viewer: int | ProfileCodes | None, shown: NDArray[np.intp], friends: NDArray[np.int32]) -> Told:
        """What is told of the people shown (k,).

        `viewer` is a row, or the profile of somebody without one; None shares no attribute. `friends` are the viewer's
        connections that may be named.
        """
        mutuals = mutual_connections(self._tables.graph, friends, shown, self._marks)
        shared = self._attributes.of(viewer, shown) if viewer is not None else [[] for _ in range(len(shown))]
        quoted = self._quoted
        reasons = []
        for count, examples, attributes in zip(mutuals.counts.tolist(), mutuals.examples, shared, strict=True):
            parts = [_attribute_reason(column, value) for column, value in attributes]
            if count:
                head, tail = _mutual_reason(count)
                parts.insert(0, head + b",".join([quoted(row) for row in examples]) + tail)
            reasons.append(b",".join(parts))
        return Told(reasons, mutuals.counts)

    def halves(
        self, rows: NDArray[np.uint32], scores: NDArray[np.float32], bits: NDArray[np.uint8], told: Told
    ) -> list[tuple[bytes, bytes]]:
        """What stands before and after the position in each person's entry, all of length k."""
        quoted, k = self._quoted, len(rows)
        shown = (b"%.6g " * k % tuple(scores.tolist())).split()
        return [
            (
                b'{"user_id":' + quoted(row) + b',"score":' + score + b',"position":',
                _SOURCES[found] + reason + b"]}",
            )
            for row, score, found, reason in zip(
                rows.tolist(), shown, told.sources(bits).tolist(), told.reasons, strict=True
            )
        ]


@lru_cache(maxsize=_COUNTS_KEPT)
def _mutual_reason(count: int) -> tuple[bytes, bytes]:
    """What stands before and after the ids named of so many mutual connections."""
    head = b'{"code":"mutual_connections","count":%d,"examples":[' % count
    return head, b'],"text":%b}' % orjson.dumps(mutual_text(count))


@lru_cache(maxsize=_ATTRIBUTES_KEPT)
def _attribute_reason(column: str, value: str) -> bytes:
    told = {"code": "same_attribute", "attribute": column, "value": value, "text": attribute_text(column, value)}
    return b"%b" % orjson.dumps(told)  # a copy, as of ids
